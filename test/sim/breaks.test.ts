import { describe, expect, test } from '@jest/globals';
import { BREAK_PLANS, type BreakPlan } from './break-plans.ts';
import { runSeed, type Verdict } from './run.ts';
import type { SimBreak } from './world/options.ts';

/** A plan shows its rule in a tenth of its histories at least: a change of timing does not matter. */
const SEED_COUNT_MAX = 60;

describe('the simulator sees the loss when a rule is switched off', () => {
  test.each(BREAK_PLANS.map((plan) => [plan.rule, plan.loss, plan] as const))(
    '%s: %s',
    async (rule, _loss, plan) => {
      const { without = [], seenBy, from = 1 } = plan;
      const broken = await firstFailure(plan, from + SEED_COUNT_MAX, [...without, rule]);
      expect(seenBy).toContain(broken?.failure?.checker);
      // The same histories with the rule.
      expect(await firstFailure(plan, Number(broken?.seed) + 1, without)).toBeNull();
    },
    120_000,
  );
});

async function firstFailure(
  plan: BreakPlan,
  end: number,
  breaks: readonly SimBreak[],
): Promise<Pick<Verdict, 'seed' | 'failure'> | null> {
  for (let seed = plan.from ?? 1; seed < end; seed += 1) {
    const given = { ...plan.given, breaks: new Set(breaks) };
    const { failure } = await runSeed({ seed, given });
    if (failure !== null) return { seed, failure };
  }
  return null;
}
