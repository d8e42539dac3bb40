import { expect, test } from '@jest/globals';
import { runSeed } from './run.ts';

test('the same seed gives the same history', async () => {
  const [one, other] = [await runSeed({ seed: 7 }), await runSeed({ seed: 7 })];
  expect(one.traceHash).toBe(other.traceHash);
  expect(one.eventCount).toBeGreaterThan(1_000);
  expect((await runSeed({ seed: 8 })).traceHash).not.toBe(one.traceHash);
}, 60_000);
