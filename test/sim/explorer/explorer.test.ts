import { describe, expect, test } from '@jest/globals';
import { explore } from './explore.ts';
import { REGRESSIONS, STORIES, tell, tellStory } from './stories.ts';

const NOTHING = { targets: 1, writes: 0, flushes: 0, joins: 0, faults: 0, rollbacks: 0 };

describe('the search finds the loss when a rule is switched off', () => {
  test.each(STORIES.map((story) => [story.rule, story] as const))('%s', (_rule, story) => {
    expect(tellStory(story, false)).toMatchObject({
      kind: 'violation',
      step: story.steps.at(-1),
    });
    expect(tellStory(story, true).kind).not.toBe('violation');
  });

  test('and finds it by itself', () => {
    const budget = { ...NOTHING, writes: 1, faults: 2 };
    const scope = { replicas: 2, budget, statesMax: 50_000 };
    const { violation } = explore({ ...scope, breaks: ['R15-resume-after-reboot'] });
    expect(violation).toContain('acknowledged writes survive');
  });
});

test.each(REGRESSIONS)('a story that once broke a promise does so no more: %#', (story) => {
  expect(tell(story, []).kind).not.toBe('violation');
});

test('every order of one target, two replicas, one write and one fault keeps every promise', () => {
  const budget = { ...NOTHING, writes: 1, faults: 1 };
  expect(explore({ replicas: 2, budget, statesMax: 50_000 })).toMatchObject({
    complete: true,
    violation: null,
  });
});

test('every order of two targets, two replicas, one write keeps every promise', () => {
  const budget = { ...NOTHING, targets: 2, writes: 1 };
  expect(explore({ replicas: 2, budget, statesMax: 50_000 })).toMatchObject({
    complete: true,
    violation: null,
  });
});
