import { describe, expect, test } from '@jest/globals';
import { AssertionFailure } from '../../../../core/assert.ts';
import { type HeldRange, RangeLock, type RangeMode } from '../../../../core/block/range-lock.ts';
import { SimRandom } from '../../../../core/platform/sim/index.ts';

interface Holder {
  readonly name: string;
  readonly mode: RangeMode;
  readonly start: number;
  readonly end: number;
  granted: boolean;
  handle: HeldRange | null;
}

function take(lock: RangeLock, mode: RangeMode, start: number, length: number, name = ''): Holder {
  const holder: Holder = { name, mode, start, end: start + length, granted: false, handle: null };
  holder.handle = lock.acquire(mode, start, length, () => {
    expect(holder.granted).toBe(false);
    holder.granted = true;
  });
  return holder;
}

function give(lock: RangeLock, holder: Holder): void {
  lock.release(holder.handle as HeldRange);
}

/** The definition: whether `later` has to wait for `earlier`. */
function blocks(earlier: Holder, later: Holder): boolean {
  const overlaps = earlier.start < later.end && later.start < earlier.end;
  return overlaps && !(earlier.mode === later.mode && earlier.mode !== 'exclusive');
}

describe('a range lock', () => {
  test('grants within the call what nothing is in the way of', () => {
    const lock = new RangeLock();
    expect(take(lock, 'exclusive', 0, 10).granted).toBe(true);
    expect(take(lock, 'exclusive', 10, 10).granted).toBe(true);
    expect(lock.count).toBe(2);
  });

  test("that is waited for can be given up, and stands in nobody's way any more", () => {
    const lock = new RangeLock();
    const reading = take(lock, 'shared', 0, 10);
    const writing = take(lock, 'write', 5, 10);
    const later = take(lock, 'shared', 8, 10);
    expect([writing.granted, later.granted]).toEqual([false, false]);
    lock.cancel(writing.handle as HeldRange);
    expect([writing.granted, later.granted]).toEqual([false, true]);
    give(lock, reading);
    give(lock, later);
    expect(writing.granted).toBe(false);
    expect(lock.count).toBe(0);
    expect(() => lock.cancel(later.handle as HeldRange)).toThrow(AssertionFailure);
  });

  test.each([
    ['shared', 'shared', true],
    ['write', 'write', true],
    ['shared', 'write', false],
    ['write', 'shared', false],
    ['exclusive', 'exclusive', false],
    ['exclusive', 'shared', false],
    ['exclusive', 'write', false],
    ['shared', 'exclusive', false],
    ['write', 'exclusive', false],
  ] as const)('that is held %s lets %s in at the same place: %s', (held, wanted, together) => {
    const lock = new RangeLock();
    const first = take(lock, held, 0, 10);
    const second = take(lock, wanted, 9, 1);
    expect(second.granted).toBe(together);
    give(lock, first);
    expect(second.granted).toBe(true);
    give(lock, second);
    expect(lock.count).toBe(0);
  });

  test('lets nobody overtake who waits: an exclusive holder is not starved by readers', () => {
    const lock = new RangeLock();
    const reader = take(lock, 'shared', 0, 10);
    const writer = take(lock, 'exclusive', 5, 10);
    const late = take(lock, 'shared', 5, 1);
    const elsewhere = take(lock, 'shared', 0, 5);
    expect([writer.granted, late.granted, elsewhere.granted]).toEqual([false, false, true]);
    give(lock, reader);
    expect([writer.granted, late.granted]).toEqual([true, false]);
    give(lock, writer);
    expect(late.granted).toBe(true);
  });

  test('waits for all that is in the way, not for the first', () => {
    const lock = new RangeLock();
    const parts = [0, 10, 20].map((start) => take(lock, 'shared', start, 10));
    const whole = take(lock, 'exclusive', 0, 30);
    for (const part of parts) {
      expect(whole.granted).toBe(false);
      give(lock, part);
    }
    expect(whole.granted).toBe(true);
  });

  test('may be taken and released from within granted', () => {
    const lock = new RangeLock();
    const order: string[] = [];
    const first = lock.acquire('exclusive', 0, 10, () => order.push('first'));
    const second = lock.acquire('exclusive', 0, 10, () => {
      order.push('second');
      lock.release(second);
      const third = lock.acquire('exclusive', 0, 5, () => order.push('third'));
      if (third.granted === null) lock.release(third);
    });
    const fourth = lock.acquire('exclusive', 5, 5, () => order.push('fourth'));
    lock.release(first);
    lock.release(fourth);
    expect(order).toEqual(['first', 'second', 'third', 'fourth']);
    expect(lock.count).toBe(0);
  });

  test('is released once, and only when held', () => {
    const lock = new RangeLock();
    const held = take(lock, 'exclusive', 0, 10);
    const waiting = take(lock, 'exclusive', 0, 10);
    expect(() => give(lock, waiting)).toThrow(AssertionFailure);
    give(lock, held);
    expect(() => give(lock, held)).toThrow(AssertionFailure);
  });

  test('grants exactly those whom no earlier one blocks, over many random runs', () => {
    for (let seed = 0; seed < 20; seed += 1) {
      const random = new SimRandom(`range lock ${seed}`);
      const lock = new RangeLock();
      const model: Holder[] = [];
      let longestWait = 0;
      for (let step = 0; step < 300; step += 1) {
        const held = model.filter((holder) => holder.granted);
        if (held.length > 0 && random.chance(0.48)) {
          const released = held[random.below(held.length)] as Holder;
          model.splice(model.indexOf(released), 1);
          give(lock, released);
        } else {
          const mode = random.pick<RangeMode>(['shared', 'write', 'exclusive']);
          model.push(take(lock, mode, random.below(60), 1 + random.below(20)));
        }
        if (lock.count !== model.length) throw new Error(`seed ${seed} step ${step}: a count`);
        model.forEach((holder, index) => {
          const free = !model.slice(0, index).some((earlier) => blocks(earlier, holder));
          if (holder.granted !== free) {
            throw new Error(`seed ${seed} step ${step}: granted ${holder.granted}, free ${free}`);
          }
        });
        longestWait = Math.max(longestWait, model.filter((holder) => !holder.granted).length);
      }
      expect(longestWait).toBeGreaterThan(3);
      // Everybody comes to an end.
      while (model.length > 0) {
        const index = model.findIndex((holder) => holder.granted);
        expect(index).toBeGreaterThanOrEqual(0);
        give(lock, model.splice(index, 1)[0] as Holder);
      }
      expect(lock.count).toBe(0);
    }
  });
});
