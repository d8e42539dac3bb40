/** Something that will happen; `cancel` makes it not happen. */
export class SimEvent {
  readonly atMs: number;
  /** Orders events of one instant; equal ones go by insertion. */
  readonly tie: number;
  readonly order: number;
  #run: (() => void) | null;

  constructor(atMs: number, tie: number, order: number, run: () => void) {
    this.atMs = atMs;
    this.tie = tie;
    this.order = order;
    this.#run = run;
  }

  get pending(): boolean {
    return this.#run !== null;
  }

  cancel(): void {
    this.#run = null;
  }

  fire(): void {
    const run = this.#run;
    this.#run = null;
    run?.();
  }

  before(other: SimEvent): boolean {
    if (this.atMs !== other.atMs) return this.atMs < other.atMs;
    if (this.tie !== other.tie) return this.tie < other.tie;
    return this.order < other.order;
  }
}

/** A binary heap of events, the earliest first. */
export class EventQueue {
  readonly #heap: SimEvent[] = [];

  push(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || !event.before(parent)) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = event;
  }

  /** The earliest event that still is to happen, without taking it out. */
  peek(): SimEvent | null {
    while (this.#heap[0] !== undefined && !this.#heap[0].pending) this.#take();
    return this.#heap[0] ?? null;
  }

  pop(): SimEvent | null {
    return this.peek() === null ? null : this.#take();
  }

  #take(): SimEvent | null {
    const heap = this.#heap;
    const first = heap[0] ?? null;
    const last = heap.pop();
    if (last === undefined || last === first) return first;
    let at = 0;
    for (;;) {
      let childAt = 2 * at + 1;
      let child = heap[childAt];
      if (child === undefined) break;
      const right = heap[childAt + 1];
      if (right?.before(child)) {
        childAt += 1;
        child = right;
      }
      if (!child.before(last)) break;
      heap[at] = child;
      at = childAt;
    }
    heap[at] = last;
    return first;
  }
}
