/**
 * Orders overlapping work on byte ranges, first come first served. Holders of the same mode go
 * together, but for `exclusive`, which goes with nobody; a holder waits for all earlier
 * overlapping ones that it does not go with. `shared` and `write` are two such groups: where the
 * order of overlapping writes is kept by something else (a stream), reads need only wait for
 * writes. Never starves: a waiter counts as earlier for all who come after it.
 *
 * A linear scan: the number of ranges in flight is bounded by the command window (≤ a few
 * hundred), and in the common case nothing overlaps.
 */
import { assert } from '../assert.ts';

export type RangeMode = 'shared' | 'write' | 'exclusive';

export class HeldRange {
  readonly startBytes: number;
  readonly endBytes: number;
  readonly mode: RangeMode;
  /** How many earlier holders still stand in the way; used by RangeLock only. */
  blockers = 0;
  granted: (() => void) | null;
  position = -1;
  readonly waiters: HeldRange[] = [];

  constructor(startBytes: number, endBytes: number, mode: RangeMode, granted: () => void) {
    this.startBytes = startBytes;
    this.endBytes = endBytes;
    this.mode = mode;
    this.granted = granted;
  }
}

export class RangeLock {
  readonly #held: HeldRange[] = [];

  /** Ranges held or waited for. */
  get count(): number {
    return this.#held.length;
  }

  /**
   * Calls `granted` as soon as no earlier overlapping holder is in the way: at once, within this
   * call, when there is none. The returned handle must be released exactly once, after `granted`.
   */
  acquire(
    mode: RangeMode,
    offsetBytes: number,
    lengthBytes: number,
    granted: () => void,
  ): HeldRange {
    const range = new HeldRange(offsetBytes, offsetBytes + lengthBytes, mode, granted);
    for (const other of this.#held) {
      if (
        other.startBytes < range.endBytes &&
        range.startBytes < other.endBytes &&
        (mode !== other.mode || mode === 'exclusive')
      ) {
        other.waiters.push(range);
        range.blockers += 1;
      }
    }
    range.position = this.#held.length;
    this.#held.push(range);
    if (range.blockers === 0) {
      range.granted = null;
      granted();
    }
    return range;
  }

  release(range: HeldRange): void {
    assert(range.position >= 0 && range.granted === null, 'a range is released once, when held');
    const last = this.#held.pop();
    assert(last !== undefined, 'a held range is in the list');
    if (last !== range) {
      this.#held[range.position] = last;
      last.position = range.position;
    }
    range.position = -1;
    for (const waiter of range.waiters) {
      waiter.blockers -= 1;
      // One that was cancelled by another's `granted` has left the list.
      if (waiter.blockers > 0 || waiter.position < 0) continue;
      const granted = waiter.granted;
      assert(granted !== null, 'a waiter is granted once');
      waiter.granted = null;
      granted();
    }
  }

  /** Gives up a range that is still waited for: `granted` is never called. */
  cancel(range: HeldRange): void {
    assert(range.position >= 0 && range.granted !== null, 'only what waits is cancelled');
    for (const other of this.#held) {
      const at = other.waiters.indexOf(range);
      if (at >= 0) other.waiters.splice(at, 1);
    }
    range.granted = null;
    this.release(range);
  }
}
