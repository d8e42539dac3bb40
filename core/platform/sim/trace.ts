interface Event {
  readonly atMs: number;
  readonly where: string;
  readonly what: string;
}

/** The last events of a run, for failure reports, and a hash over all of them. */
export class Trace {
  readonly #events: Event[] = [];
  readonly #lengthMax: number;
  #count = 0;
  #hash = 0;

  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax;
  }

  /** Events so far, those that fell out of the ring included. */
  get count(): number {
    return this.#count;
  }

  /** Equal for two runs exactly if (but for collisions) the same happened in both. */
  get hash(): number {
    return this.#hash;
  }

  /** Lines are made when somebody reads them: a run has thousands, and ends well as a rule. */
  add(atMs: number, where: string, what: string): void {
    // Nanoseconds, so that two runs whose clocks differ in the end only are told apart too.
    const time = Math.imul(this.#hash ^ Math.round(atMs * 1e6), PRIME);
    this.#hash = hashText(hashText(time, where), what);
    this.#events[this.#count % this.#lengthMax] = { atMs, where, what };
    this.#count += 1;
  }

  /** The last `count` events, oldest first. */
  last(count: number): readonly string[] {
    const some = Math.min(count, this.#events.length);
    return Array.from({ length: some }, (_none, index) => {
      const event = this.#events[(this.#count - some + index) % this.#lengthMax];
      return event === undefined ? '' : lineOf(event.atMs, event.where, event.what);
    });
  }
}

export function lineOf(atMs: number, where: string, what: string): string {
  return `${atMs.toFixed(3)} ${where}: ${what}`;
}

const PRIME = 0x01000193;

/** FNV-1a over the characters; the length keeps `a` + `bc` and `ab` + `c` apart. */
function hashText(basis: number, text: string): number {
  let value = Math.imul(basis ^ text.length, PRIME);
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), PRIME);
  }
  return value ^ (value >>> 15);
}
