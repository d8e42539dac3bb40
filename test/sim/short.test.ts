import { expect, test } from '@jest/globals';
import { runSeed } from './run.ts';

const SEED_COUNT = 200;
const SEEDS_A_TEST = 25;

const firsts = Array.from(
  { length: SEED_COUNT / SEEDS_A_TEST },
  (_nothing, index) => 1 + index * SEEDS_A_TEST,
);

test.each(firsts)(
  `${SEEDS_A_TEST} seeds from %i keep every promise`,
  async (first) => {
    for (let seed = first; seed < first + SEEDS_A_TEST; seed += 1) {
      const { failure } = await runSeed({ seed });
      expect({ seed, failure }).toEqual({ seed, failure: null });
    }
  },
  120_000,
);

test('the same seed gives the same history', async () => {
  const [one, other] = [await runSeed({ seed: 7 }), await runSeed({ seed: 7 })];
  expect(one.traceHash).toBe(other.traceHash);
  expect(one.eventCount).toBeGreaterThan(1_000);
  expect((await runSeed({ seed: 8 })).traceHash).not.toBe(one.traceHash);
});
