import { availableParallelism } from 'node:os';
import { expect, test } from '@jest/globals';
import { runSeeds } from './pool.ts';
import type { Verdict } from './run.ts';

const SEED_COUNT = 200;

test(`${SEED_COUNT} seeds keep every promise`, async () => {
  const verdicts: Verdict[] = [];
  await runSeeds({
    from: 1,
    count: SEED_COUNT,
    threads: availableParallelism(),
    pace: 1,
    stopAtFailure: false,
    onVerdict: (verdict) => verdicts.push(verdict),
  });
  expect(verdicts).toHaveLength(SEED_COUNT);
  expect(verdicts.filter(({ failure }) => failure !== null)).toEqual([]);
}, 600_000);

/**
 * Found there once: a joining member's power cut; time spent held (R18); a flush without space, and a
 * mark (R14); a removal under way (R13); replicas that are gone before their write is answered.
 */
const FOUND_ONCE = [810, 1840, 5622, 16_256, 6451, 11_070];

test.each(FOUND_ONCE)(
  'seed %i keeps every promise',
  async (seed) => {
    const verdicts: Verdict[] = [];
    await runSeeds({
      from: seed,
      count: 1,
      threads: 1,
      pace: 1,
      stopAtFailure: false,
      onVerdict: (verdict) => verdicts.push(verdict),
    });
    expect(verdicts.map(({ failure }) => failure)).toEqual([null]);
  },
  60_000,
);
