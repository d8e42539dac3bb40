import { assert } from '../../assert.ts';
import type { Random } from '../random.ts';

const TWO_32 = 0x1_0000_0000;

/**
 * sfc32 (Doty-Humphrey's small fast counter), seeded from text. `fork` gives a stream of its own
 * per purpose, so that one more choice in one place does not shift all choices elsewhere.
 */
export class SimRandom implements Random {
  readonly #seed: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: string) {
    this.#seed = seed;
    this.#a = hash(seed, 0x811c9dc5);
    this.#b = hash(seed, 0x9e3779b9);
    this.#c = hash(seed, 0x85ebca6b);
    for (let round = 0; round < 15; round += 1) this.next();
  }

  fork(label: string): SimRandom {
    return new SimRandom(`${this.#seed}/${label}`);
  }

  /** 32 bits. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    return sum >>> 0;
  }

  below(limit: number): number {
    assert(Number.isInteger(limit) && limit > 0 && limit <= 2 ** 48, 'a limit is 1 to 2^48');
    if (limit <= TWO_32) {
      const fair = TWO_32 - (TWO_32 % limit);
      let value = this.next();
      while (value >= fair) value = this.next();
      return value % limit;
    }
    const fair = 2 ** 53 - (2 ** 53 % limit);
    let value = this.#bits53();
    while (value >= fair) value = this.#bits53();
    return value % limit;
  }

  bytes(length: number): Buffer {
    const words = new Int32Array(Math.ceil(length / 4));
    for (let index = 0; index < words.length; index += 1) words[index] = this.next();
    return Buffer.from(words.buffer, 0, length);
  }

  uuid(): string {
    const bytes = this.bytes(16);
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const hex = bytes.toString('hex');
    const parts = [
      [0, 8],
      [8, 12],
      [12, 16],
      [16, 20],
      [20, 32],
    ] as const;
    return parts.map(([from, to]) => hex.slice(from, to)).join('-');
  }

  /** 0 ≤ result < 1 */
  fraction(): number {
    return this.#bits53() / 2 ** 53;
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  between(range: Range): number {
    return range[0] + (range[1] - range[0]) * this.fraction();
  }

  pick<Item>(items: readonly [Item, ...Item[]]): Item {
    return items[this.below(items.length)] ?? items[0];
  }

  #bits53(): number {
    return (this.next() >>> 5) * 0x400_0000 + (this.next() >>> 6);
  }
}

/** From … to, for random durations in milliseconds. */
export type Range = readonly [min: number, max: number];

/** FNV-1a over the characters with a final avalanche. */
function hash(text: string, basis: number): number {
  let value = basis;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  }
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return value ^ (value >>> 16);
}
