/**
 * For each rule a shortest story in which it saves the data, as the search found it: with the rule
 * switched off the last step breaks a promise; with it the story cannot be told to that end.
 */
import type { Break } from '../../../target/replication/state.ts';
import { actionsOf } from './actions.ts';
import { firstWorld, type Scope } from './explore.ts';
import type { ModelBreak, World } from './world.ts';

export interface Story {
  readonly rule: Break | ModelBreak;
  readonly scope: Scope;
  readonly steps: readonly string[];
}

const TWO_TARGETS: Scope = {
  replicas: 2,
  budget: { targets: 2, writes: 1, flushes: 0, joins: 0, faults: 1, rollbacks: 0 },
  statesMax: 400_000,
};

const T1_SERVES = ['t1 starts', 't1 reads', 't1 connect', 't1 swap commits', 't1 promise A'];
const BOTH_COPIED = [...T1_SERVES, 't1 promise B', 't1 copy A', 't1 copy B'];
const T2_SERVES = [
  't2 reads',
  't2 connect',
  't2 swap commits',
  't2 promise A',
  't2 promise B',
  't2 copy A',
  't2 copy B',
];

export const STORIES: readonly Story[] = [
  {
    rule: 'R16-no-equalise',
    scope: TWO_TARGETS,
    steps: [...BOTH_COPIED, 't1 writes 1', 't1 write reaches A', 't2 starts', ...T2_SERVES],
  },
  {
    rule: 'R17-no-keeper',
    scope: { ...TWO_TARGETS, budget: { ...TWO_TARGETS.budget, targets: 1, faults: 2 } },
    steps: [
      ...BOTH_COPIED,
      't1 writes 1',
      't1 write reaches A',
      't1-A cut',
      't1 write reaches B',
      'B loses power',
      't1 misses A',
    ],
  },
  {
    rule: 'R15-resume-after-reboot',
    scope: TWO_TARGETS,
    steps: [
      ...BOTH_COPIED,
      't1 writes 1',
      't1 write reaches A',
      't1 write reaches B',
      'A loses power',
    ],
  },
  {
    rule: 'R8-promise-anyone',
    scope: { ...TWO_TARGETS, budget: { ...TWO_TARGETS.budget, writes: 2, faults: 0 } },
    steps: [
      ...BOTH_COPIED,
      't1 writes 1',
      't2 starts',
      ...T2_SERVES,
      't2 equalises from A',
      't1 write reaches A',
    ],
  },
  {
    rule: 'R5-ignore-copies',
    scope: { ...TWO_TARGETS, budget: { ...TWO_TARGETS.budget, rollbacks: 1 } },
    steps: [
      ...T1_SERVES,
      't1-B cut',
      't1 waited',
      't1 copy A',
      't1 swap commits',
      't1 copy A',
      't1 writes 1',
      't1 write reaches A',
      't2 starts',
      'the store is rolled back',
      't2 reads',
      't2 connect',
      't2 swap commits',
      't2 promise A',
      't2 promise B',
      't2 copy B',
    ],
  },
  {
    rule: 'R3-free-at-once',
    scope: { ...TWO_TARGETS, budget: { ...TWO_TARGETS.budget, rollbacks: 1 } },
    steps: [
      ...BOTH_COPIED,
      't1-A cut',
      't1 waited',
      't1 misses A',
      't1 swap commits',
      't1 writes 1',
      't1 write reaches B',
      't2 starts',
      'the store is rolled back',
      ...T2_SERVES,
      't2 equalises from A',
    ],
  },
  {
    rule: 'R1-unknown-swap-settles',
    scope: {
      ...TWO_TARGETS,
      stale: ['A'],
      budget: { ...TWO_TARGETS.budget, joins: 1, faults: 2 },
    },
    steps: [
      't1 starts',
      't1 reads',
      't1 connect',
      't1 swap commits',
      't1 promise B',
      't1 copy B',
      't1 A live',
      't1 A copied',
      't1 A bound',
      't1 A verified',
      't1 swap delayed',
      't1-A cut',
      't1 misses A',
      't1 writes 1',
      't1 write reaches B',
      'late swap',
      't2 starts',
      ...T2_SERVES,
      't2 equalises from A',
    ],
  },
];

/** Stories that once broke a promise: they must be told to their end, or get stuck, in peace. */
export const REGRESSIONS: readonly Pick<Story, 'scope' | 'steps'>[] = [
  {
    // A member that lost power between its verification and its admission joined without its cache.
    scope: {
      ...TWO_TARGETS,
      stale: ['B'],
      budget: { ...TWO_TARGETS.budget, joins: 1 },
    },
    steps: [
      ...T1_SERVES,
      't1 copy A',
      't1 B live',
      't1 writes 1',
      't1 B copied',
      't1 B bound',
      't1 B verified',
      't1 write reaches A',
      't1 write reaches B',
      'B loses power',
      't1 sees B come back',
      't1 swap commits',
      't1 promise B',
    ],
  },
];

export type Telling =
  | { readonly kind: 'violation'; readonly violation: string; readonly step: string }
  /** `step` cannot happen here. */
  | { readonly kind: 'stuck'; readonly step: string; readonly possible: readonly string[] }
  | { readonly kind: 'told' };

/** @param withRule true: the rule is in force. */
export function tellStory(story: Story, withRule: boolean): Telling {
  return tell(story, withRule ? [] : [story.rule]);
}

export function tell(
  story: Pick<Story, 'scope' | 'steps'>,
  breaks: readonly Story['rule'][],
): Telling {
  let world: World = firstWorld({ ...story.scope, breaks });
  for (const step of story.steps) {
    const actions = actionsOf(world);
    const action = actions.find(({ name }) => name === step);
    if (action === undefined) {
      return { kind: 'stuck', step, possible: actions.map(({ name }) => name) };
    }
    world = action.next;
    if (world.violation !== null) return { kind: 'violation', violation: world.violation, step };
  }
  return { kind: 'told' };
}
