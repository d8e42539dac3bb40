import { crc32c } from '../../crc32c/index.ts';

/** The last events of a run, for failure reports, and a hash over all of them. */
export class Trace {
  readonly #lines: string[] = [];
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

  add(atMs: number, where: string, what: string): void {
    const line = `${atMs.toFixed(3)} ${where}: ${what}`;
    this.#hash = crc32c(Buffer.from(line), this.#hash);
    this.#lines[this.#count % this.#lengthMax] = line;
    this.#count += 1;
  }

  /** The last `count` events, oldest first. */
  last(count: number): readonly string[] {
    const some = Math.min(count, this.#lines.length);
    return Array.from(
      { length: some },
      (_none, index) => this.#lines[(this.#count - some + index) % this.#lengthMax] ?? '',
    );
  }
}
