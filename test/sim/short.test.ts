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
