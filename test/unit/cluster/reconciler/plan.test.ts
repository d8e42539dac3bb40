import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Action, objectOf } from '../../../../cluster/reconciler/actions.ts';
import { plan } from '../../../../cluster/reconciler/plan.ts';
import { node, volume, world } from '../../../fixtures/cluster/world.ts';

/** `runTarget v on a`. */
function words(action: Action): string {
  const where = action.node === null ? '' : ` on ${action.node}`;
  switch (action.kind) {
    case 'runReplica':
      return `${action.order.mint ? 'mint' : 'run'} ${action.order.replicaId}`;
    case 'removeReplica':
      return `remove ${action.replicaId}`;
    case 'stopTarget':
      return `${action.detaches ? 'release' : 'stop'} target ${action.volumeId}${where}`;
    case 'runTarget':
      return `run target ${action.volumeId}${where}`;
    case 'publish':
    case 'bury':
      return `${action.kind} ${action.volumeId}`;
  }
}

type Case = [what: string, world: ReturnType<typeof world>, actions: string[]];

const running = { a: 'running', b: 'running' } as const;
const bothRun = [
  node('a', { replicas: { 'v@a': running.a } }),
  node('b', { replicas: { 'v@b': running.b } }),
];
const creating = { phase: { kind: 'creating' } } as const;
const deleting = { phase: { kind: 'deleting', failure: null } } as const;
const detaching = { phase: { kind: 'ready', detaching: true } } as const;
const online = [node('a'), node('b')];
const withTarget = (token: string, process: 'running' | 'starting' | 'stopped' | 'failed') =>
  node('a', { replicas: { 'v@a': 'running' }, targets: { v: [token, process] } });
const [, b] = bothRun as [unknown, ReturnType<typeof node>];

const CREATION: Case[] = [
  [
    'mints every folder that is wanted',
    world([volume({ ...creating, folders: { a: 'wanted', b: 'wanted' } })], online),
    ['mint v@a', 'mint v@b'],
  ],
  [
    'mints what is not minted yet, and does not publish before',
    world([volume({ ...creating, folders: { a: 'minted', b: 'wanted' } })], online),
    ['mint v@b'],
  ],
  [
    'waits for a node that is lost',
    world(
      [volume({ ...creating, folders: { a: 'minted', b: 'wanted' } })],
      [node('a'), node('b', { isLost: true })],
    ),
    [],
  ],
  [
    'waits for a node that was never heard',
    world([volume({ ...creating, folders: { a: 'minted', b: 'wanted' } })], [node('a')]),
    [],
  ],
  [
    'publishes the record when all folders are minted',
    world([volume({ ...creating, folders: { a: 'minted', b: 'minted' } })], online),
    ['publish v'],
  ],
];

const DELETION: Case[] = [
  ['removes all files', world([volume(deleting)], bothRun), ['remove v@a', 'remove v@b']],
  [
    'removes also what may have been minted without an answer',
    world([volume({ ...deleting, folders: { a: 'wanted', b: 'removed' } })], online),
    ['remove v@a'],
  ],
  [
    'stops a target first',
    world([volume(deleting)], [withTarget('t', 'running'), b]),
    ['stop target v on a'],
  ],
  [
    'is not held up by a target that is stopped',
    world([volume(deleting)], [withTarget('t', 'stopped'), b]),
    ['remove v@a', 'remove v@b'],
  ],
  [
    'does what it can while a node is lost, and keeps the tombstone',
    world([volume(deleting)], [node('a'), node('b', { isLost: true })]),
    ['remove v@a'],
  ],
  [
    'waits when only lost nodes are left',
    world(
      [volume({ ...deleting, folders: { a: 'removed', b: 'minted' } })],
      [node('a'), node('b', { isLost: true })],
    ),
    [],
  ],
  [
    'buries the volume when the last file is gone',
    world([volume({ ...deleting, folders: { a: 'removed', b: 'removed' } })], online),
    ['bury v'],
  ],
];

const REPLICAS: Case[] = [
  ['leaves alone what runs', world([volume()], bothRun), []],
  [
    'runs what is stopped and what is not reported, without minting',
    world([volume()], [node('a', { replicas: { 'v@a': 'stopped' } }), node('b')]),
    ['run v@a', 'run v@b'],
  ],
  [
    'leaves alone what starts and what the agent has given up',
    world(
      [volume()],
      [
        node('a', { replicas: { 'v@a': 'starting' } }),
        node('b', { replicas: { 'v@b': 'failed' } }),
      ],
    ),
    [],
  ],
  [
    'orders nothing of a lost node',
    world([volume()], [node('a', { isLost: true }), node('b', { isLost: true })]),
    [],
  ],
];

const attached = { attachedTo: 'a', token: 't' };
const TARGETS: Case[] = [
  ['starts one for an attachment', world([volume(attached)], bothRun), ['run target v on a']],
  [
    'leaves alone the one of the attachment',
    world([volume(attached)], [withTarget('t', 'running'), b]),
    [],
  ],
  ['or starting', world([volume(attached)], [withTarget('t', 'starting'), b]), []],
  [
    'starts one that is stopped',
    world([volume(attached)], [withTarget('t', 'stopped'), b]),
    ['run target v on a'],
  ],
  [
    'leaves alone one that the agent has given up',
    world([volume(attached)], [withTarget('t', 'failed'), b]),
    [],
  ],
  [
    'stops one of another attachment before it starts the right one',
    world([volume(attached)], [withTarget('old', 'running'), b]),
    ['stop target v on a'],
  ],
  [
    'stops a failed one of another attachment too',
    world([volume(attached)], [withTarget('old', 'failed'), b]),
    ['stop target v on a'],
  ],
  [
    'stops one on another node first',
    world([volume({ attachedTo: 'b', token: 't' })], [withTarget('t', 'running'), b]),
    ['stop target v on a'],
  ],
  [
    'stops one without an attachment',
    world([volume()], [withTarget('t', 'running'), b]),
    ['stop target v on a'],
  ],
  ['starts none on a lost node', world([volume(attached)], [node('a', { isLost: true }), b]), []],
  [
    'releases it to detach, seen or not',
    world([volume({ ...attached, ...detaching })], bothRun),
    ['release target v on a'],
  ],
  [
    'waits with the detaching for a lost node',
    world([volume({ ...attached, ...detaching })], [node('a', { isLost: true }), b]),
    [],
  ],
];

const ORPHANS: Case[] = [
  [
    'removes what a tombstone names',
    world(
      [],
      [node('a', { replicas: { 'x@a': 'stopped' }, targets: { x: ['t', 'running'] } })],
      ['x'],
    ),
    ['stop target x on a', 'remove x@a'],
  ],
  [
    'leaves alone what nothing names',
    world([], [node('a', { replicas: { 'x@a': 'stopped' }, targets: { x: ['t', 'running'] } })]),
    [],
  ],
  [
    'leaves alone a replica that its own volume does not name',
    world(
      [volume()],
      [node('a', { replicas: { 'v@a': 'running', 'v@z': 'running' } }), ...bothRun.slice(1)],
    ),
    [],
  ],
];

describe.each([
  ['creation', CREATION],
  ['deletion', DELETION],
  ['replicas', REPLICAS],
  ['targets', TARGETS],
  ['orphans', ORPHANS],
])('%s', (_duty, cases) => {
  test.each(cases)('%s', (_what, seen, actions) => {
    expect(plan(seen).map(words)).toEqual(actions);
  });
});

test('R6: the record goes with the folder that is minted, and nowhere else', () => {
  const wanted = volume({ ...creating, folders: { a: 'wanted' } });
  const [mint] = plan(world([wanted], online));
  expect(mint).toMatchObject({ order: { mint: true, record: wanted.record } });
  const [run] = plan(world([volume({ folders: { a: 'minted' } })], online));
  expect(run).toMatchObject({ order: { mint: false, record: null } });
});

const folder = fc.constantFrom('wanted' as const, 'minted' as const, 'removed' as const);
const process = fc.constantFrom('running' as const, 'stopped' as const, 'failed' as const);
const anyWorld = fc
  .record({
    phase: fc.constantFrom(creating.phase, deleting.phase, detaching.phase, {
      kind: 'ready' as const,
      detaching: false,
    }),
    folders: fc.record({ a: folder, b: folder }),
    attachedTo: fc.constantFrom(undefined, 'a', 'b'),
    lost: fc.record({ a: fc.boolean(), b: fc.boolean() }),
    runs: fc.record({ a: fc.option(process), b: fc.option(process) }),
    target: fc.option(fc.tuple(fc.constantFrom('token', 'old'), process)),
    isBuried: fc.boolean(),
  })
  .map(({ phase, folders, attachedTo, lost, runs, target, isBuried }) => {
    const wanted = volume({
      phase,
      folders,
      ...(attachedTo === undefined || phase.kind !== 'ready' ? {} : { attachedTo }),
    });
    const nodes = (['a', 'b'] as const).map((name) =>
      node(name, {
        isLost: lost[name],
        replicas: runs[name] === null ? {} : { [`v@${name}`]: runs[name] },
        targets: target === null || name === 'b' ? {} : { v: target },
      }),
    );
    return world(isBuried ? [] : [wanted], nodes, isBuried ? ['v'] : []);
  });

test('no order goes to a lost node, no file goes without a tombstone', () => {
  fc.assert(
    fc.property(anyWorld, (seen) => {
      const actions = plan(seen);
      const [wanted] = seen.volumes;
      for (const action of actions) {
        if (action.node !== null) expect(seen.nodes.get(action.node)?.state).toBe('online');
        if (action.kind === 'removeReplica') {
          expect(wanted === undefined || wanted.phase.kind === 'deleting').toBe(true);
        }
        if (action.kind === 'runReplica') {
          expect(action.order.mint).toBe(wanted?.phase.kind === 'creating');
        }
        if (action.kind === 'runTarget') {
          expect(wanted?.record.attachment?.node).toBe(action.node);
        }
      }
      const replicas = actions.map(objectOf).filter((object) => object.startsWith('replica'));
      expect(new Set(replicas).size).toBe(replicas.length);
    }),
    { numRuns: 500 },
  );
});
