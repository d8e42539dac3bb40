/**
 * A barrier is answered when all writes and unmaps received before it have been applied, however
 * they ended. Writes are counted in groups: those between two barriers are one.
 */
export interface WriteGroup {
  outstanding: number;
  /** The barrier that ends the group; null: none yet. */
  barrierSequence: number | null;
}

export class Barriers {
  readonly #answer: (sequence: number) => void;
  /** Oldest first; the last one has no barrier yet. */
  readonly #groups: WriteGroup[] = [];
  #open: WriteGroup = { outstanding: 0, barrierSequence: null };

  constructor(answer: (sequence: number) => void) {
    this.#answer = answer;
    this.#groups.push(this.#open);
  }

  /** A write was received. */
  enter(): WriteGroup {
    this.#open.outstanding += 1;
    return this.#open;
  }

  /** It has been applied, or has failed. */
  leave(group: WriteGroup): void {
    group.outstanding -= 1;
    this.#settle();
  }

  /** A barrier was received. */
  add(sequence: number): void {
    this.#open.barrierSequence = sequence;
    this.#open = { outstanding: 0, barrierSequence: null };
    this.#groups.push(this.#open);
    this.#settle();
  }

  #settle(): void {
    for (;;) {
      const first = this.#groups[0];
      if (first === undefined || first.outstanding > 0 || first.barrierSequence === null) return;
      this.#groups.shift();
      this.#answer(first.barrierSequence);
    }
  }
}
