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

  #takeBytes(lengthBytes: number): Buffer {
    const whole = this.#parts.length === 1 ? this.#parts[0] : Buffer.concat(this.#parts);
    const all = whole ?? Buffer.alloc(0);
    const rest = all.subarray(lengthBytes);
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#lengthBytes = rest.length;
    // Cut off for good: the receiver owns its chunk and may even write to it.
    return rest.length === 0 ? all : Buffer.from(all.subarray(0, lengthBytes));
  }
}
