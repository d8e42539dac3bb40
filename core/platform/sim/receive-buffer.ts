import { assert } from '../../assert.ts';
import { KiB } from '../../units.ts';
import type { SimRandom } from './random.ts';

/** What one read of a socket gives at most. */
const CHUNK_BYTES_MAX = 64 * KiB;
const SMALL_CHUNK_BYTES_MAX = 64;

/** Bytes that the kernel has and the process not yet, given out in chunks cut at random. */
export class ReceiveBuffer {
  #parts: Buffer[] = [];
  #lengthBytes = 0;

  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#lengthBytes += bytes.length;
  }

  /** @returns how much was thrown away. */
  drop(): number {
    const dropped = this.#lengthBytes;
    this.#parts = [];
    this.#lengthBytes = 0;
    return dropped;
  }

  take(random: SimRandom): Buffer | null {
    if (this.#lengthBytes === 0) return null;
    const available = Math.min(this.#lengthBytes, CHUNK_BYTES_MAX);
    const draw = random.fraction();
    if (draw < 0.7) return this.#takeBytes(available);
    const limit = draw < 0.9 ? available : Math.min(available, SMALL_CHUNK_BYTES_MAX);
    return this.#takeBytes(1 + random.below(limit));
  }

  /** The receiver owns its chunk and may even write to it: no other one has any of its bytes. */
  #takeBytes(lengthBytes: number): Buffer {
    this.#lengthBytes -= lengthBytes;
    const [first] = this.#parts;
    if (first !== undefined && first.length > lengthBytes) {
      this.#parts[0] = first.subarray(lengthBytes);
      return first.subarray(0, lengthBytes);
    }
    const taken: Buffer[] = [];
    for (let missing = lengthBytes; missing > 0; ) {
      const part = this.#parts.shift();
      assert(part !== undefined, 'no more is taken than there is');
      taken.push(part.subarray(0, missing));
      if (part.length > missing) this.#parts.unshift(part.subarray(missing));
      missing -= Math.min(missing, part.length);
    }
    return taken.length === 1 && taken[0] !== undefined ? taken[0] : Buffer.concat(taken);
  }
}
