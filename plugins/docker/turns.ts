/**
 * Runs the calls of one key one after another, in the order they came. dockerd repeats a call
 * whose connection broke; the repetition must not overtake the undoing of the first.
 */
export class Turns {
  /** The end of the last call of each key that has one. Never rejects. */
  readonly #last = new Map<string, Promise<void>>();

  get busyKeyCount(): number {
    return this.#last.size;
  }

  async run<Result>(key: string, call: () => Promise<Result>): Promise<Result> {
    const before = this.#last.get(key);
    const ended = Promise.withResolvers<void>();
    this.#last.set(key, ended.promise);
    try {
      await before;
      return await call();
    } finally {
      if (this.#last.get(key) === ended.promise) this.#last.delete(key);
      ended.resolve();
    }
  }
}
