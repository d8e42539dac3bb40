import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fullBytes, keptBytes, promisableBytes } from '../../../../agent/pools/capacity.ts';
import { GiB, MiB, TiB } from '../../../../core/units.ts';

test('a twentieth is kept free, and never less than a GiB unless asked', () => {
  expect(keptBytes({ totalBytes: 100 * GiB, freeBytes: 0 }, null)).toBe(5 * GiB);
  expect(keptBytes({ totalBytes: 4 * GiB, freeBytes: 0 }, null)).toBe(GiB);
  expect(keptBytes({ totalBytes: 4 * GiB, freeBytes: 0 }, MiB)).toBe(MiB);
});

test('what a replica has taken already is not counted twice', () => {
  const kept = GiB;
  const empty = promisableBytes(
    { totalBytes: 100 * GiB, freeBytes: 90 * GiB },
    [{ sizeBytes: 10 * GiB, allocatedBytes: 0 }],
    kept,
  );
  const half = promisableBytes(
    { totalBytes: 100 * GiB, freeBytes: 85 * GiB },
    [{ sizeBytes: 10 * GiB, allocatedBytes: 5 * GiB }],
    kept,
  );
  expect(half).toBe(empty);
});

test('what others write goes out of the promise', () => {
  const before = promisableBytes({ totalBytes: 100 * GiB, freeBytes: 90 * GiB }, [], 0);
  const after = promisableBytes({ totalBytes: 100 * GiB, freeBytes: 80 * GiB }, [], 0);
  expect(before - after).toBeGreaterThan(9.9 * GiB);
});

const bytes = fc.integer({ min: 0, max: 4 * TiB });
const reservation = fc
  .tuple(bytes, fc.double({ min: 0, max: 1, noNaN: true }))
  .map(([sizeBytes, share]) => ({ sizeBytes, allocatedBytes: Math.floor(sizeBytes * share) }));

test('whatever is promised fits, even when every replica is written in full', () => {
  fc.assert(
    fc.property(bytes, fc.array(reservation, { maxLength: 5 }), (freeBytes, reservations) => {
      const kept = GiB;
      const space = { totalBytes: 8 * TiB, freeBytes };
      const more = promisableBytes(space, reservations, kept);
      if (more === 0) return;
      const outstanding = [...reservations, { sizeBytes: more, allocatedBytes: 0 }].reduce(
        (sum, one) => sum + Math.max(0, fullBytes(one.sizeBytes) - one.allocatedBytes),
        0,
      );
      // The last block of each is rounded up.
      expect(outstanding).toBeLessThanOrEqual(freeBytes - kept + 8);
    }),
  );
});
