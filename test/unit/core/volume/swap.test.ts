import { describe, expect, test } from '@jest/globals';
import type { Member, MemberState, VolumeRecord } from '../../../../core/volume/record.ts';
import { type SwapActor, swapRefusal } from '../../../../core/volume/swap.ts';

function members(...states: readonly MemberState[]): readonly Member[] {
  return states.map((state, index) => ({ id: `r${index}`, node: `n${index}`, state }));
}

const CURRENT: VolumeRecord = {
  formatVersion: 1,
  volumeId: 'v',
  incarnation: 'i',
  epoch: 4,
  generation: 9,
  targetInstance: 'old',
  releasedBy: null,
  attachment: { token: 't', node: 'n0', initiatorNames: ['*'], chapSecret: null },
  replicas: members('inSync', 'inSync', 'stale'),
  sizeBytes: 1 << 30,
  blockSizeBytes: 512,
  fileSystem: { kind: 'none', uuid: null, state: 'blank' },
  snapshots: [],
  reservations: [],
  minInSync: 1,
};

const OLD: SwapActor = { kind: 'target', instance: 'old' };
const NEW: SwapActor = { kind: 'target', instance: 'new' };
const AGENT: SwapActor = { kind: 'agent' };
const PLANE: SwapActor = { kind: 'controlPlane' };
const ACTORS = [OLD, NEW, AGENT, PLANE];

type Change = Partial<VolumeRecord>;

const START: Change = { epoch: 5, targetInstance: 'new' };
const FORMATTED = { kind: 'ext4', uuid: 'u', state: 'formatted' } as const;
const SNAPSHOTS = [{ name: 's', layerId: 'l' }];

function refusal(actor: SwapActor, change: Change, current: VolumeRecord = CURRENT) {
  return swapRefusal(current, { ...current, generation: current.generation + 1, ...change }, actor);
}

describe('a swap is allowed:', () => {
  const allowed: readonly (readonly [what: string, actor: SwapActor, change: Change])[] = [
    ['a target starts', NEW, START],
    [
      'a target starts and removes a member',
      NEW,
      { ...START, replicas: members('inSync', 'stale', 'stale') },
    ],
    ['the target removes a member', OLD, { replicas: members('stale', 'inSync', 'stale') }],
    ['the target rebuilds a member', OLD, { replicas: members('inSync', 'inSync', 'rebuilding') }],
    ['the target admits a member', OLD, { replicas: members('inSync', 'inSync', 'inSync') }],
    ['the target releases', OLD, { releasedBy: 'old' }],
    ['the target commits a snapshot', OLD, { snapshots: SNAPSHOTS }],
    ['the target grows the volume', OLD, { sizeBytes: 2 ** 31 }],
    ['the agent formats', AGENT, { fileSystem: FORMATTED }],
    ['the control plane attaches', PLANE, { attachment: null }],
    [
      'the control plane adds a stale member',
      PLANE,
      { replicas: members('inSync', 'inSync', 'stale', 'stale') },
    ],
    ['the control plane drops a stale member', PLANE, { replicas: members('inSync', 'inSync') }],
    ['the control plane sets minInSync', PLANE, { minInSync: 2 }],
    ['nothing but the generation changes', AGENT, {}],
  ];
  test.each(allowed)('%s', (_what, actor, change) => {
    expect(refusal(actor, change)).toBeNull();
  });

  test('a target starts after another that released, and leaves that to be seen', () => {
    const released = { ...CURRENT, releasedBy: 'old' };
    expect(refusal(NEW, START, released)).toBeNull();
    expect(refusal(NEW, { ...START, releasedBy: null }, released)).not.toBeNull();
  });
});

describe('a swap is refused to everybody:', () => {
  const refused: readonly (readonly [why: string, change: Change])[] = [
    ['the volume id never changes', { volumeId: 'w' }],
    ['only an operator mints an incarnation', { incarnation: 'j' }],
    ['the block size never changes', { blockSizeBytes: 4096 }],
    ['the generation goes up by one', { generation: 9 }],
    ['the generation goes up by one', { generation: 11 }],
    ['the generation goes up by one', { generation: 8 }],
    ['a volume never shrinks', { sizeBytes: (1 << 30) - 4096 }],
    ['inSync is never emptied', { replicas: members('stale', 'stale', 'stale') }],
    ['inSync is never emptied', { replicas: members('rebuilding', 'stale', 'stale') }],
    ['inSync is never emptied', { replicas: [] }],
    ['a member is named once', { replicas: [...CURRENT.replicas, ...members('stale')] }],
    [
      'a member stays on its node',
      { replicas: CURRENT.replicas.map((member) => ({ ...member, node: 'elsewhere' })) },
    ],
  ];
  test.each(refused)('%s', (why, change) => {
    for (const actor of ACTORS) expect(refusal(actor, change)).toBe(why);
    // A starting target is no exception.
    expect(refusal(NEW, { ...START, ...change })).toBe(why);
  });
});

describe('a swap is refused:', () => {
  const refused: readonly (readonly [what: string, actor: SwapActor, change: Change])[] = [
    [
      'a target swaps under the name of another',
      NEW,
      { replicas: members('inSync', 'stale', 'stale') },
    ],
    ['a target takes over without a new epoch', NEW, { targetInstance: 'new' }],
    ['a target skips an epoch', NEW, { ...START, epoch: 6 }],
    ['a target goes back an epoch', NEW, { ...START, epoch: 3 }],
    [
      'a starting target admits a stale member',
      NEW,
      { ...START, replicas: members('inSync', 'inSync', 'inSync') },
    ],
    [
      'a starting target adds a member',
      NEW,
      { ...START, replicas: members('inSync', 'inSync', 'stale', 'stale') },
    ],
    ['a starting target drops a member', NEW, { ...START, replicas: members('inSync', 'inSync') }],
    [
      'a starting target reorders members',
      NEW,
      { ...START, replicas: CURRENT.replicas.toReversed() },
    ],
    ['a starting target changes the attachment', NEW, { ...START, attachment: null }],
    ['a starting target commits a snapshot', NEW, { ...START, snapshots: SNAPSHOTS }],
    ['a starting target releases', NEW, { ...START, releasedBy: 'new' }],
    ['the target adds a member', OLD, { replicas: members('inSync', 'inSync', 'stale', 'stale') }],
    ['the target changes the attachment', OLD, { attachment: null }],
    ['the target changes the file system', OLD, { fileSystem: FORMATTED }],
    ['the target sets minInSync', OLD, { minInSync: 2 }],
    ['the target releases in the name of another', OLD, { releasedBy: 'new' }],
    [
      'the agent changes who is in sync',
      AGENT,
      { replicas: members('inSync', 'inSync', 'inSync') },
    ],
    ['the agent changes the attachment', AGENT, { attachment: null }],
    ['the agent raises the epoch', AGENT, { epoch: 5 }],
    ['the agent grows the volume', AGENT, { sizeBytes: 2 ** 31 }],
    [
      'the control plane adds a member in sync',
      PLANE,
      { replicas: members('inSync', 'inSync', 'stale', 'inSync') },
    ],
    [
      'the control plane admits a member',
      PLANE,
      { replicas: members('inSync', 'inSync', 'inSync') },
    ],
    [
      'the control plane removes a member from the set',
      PLANE,
      { replicas: members('inSync', 'stale', 'stale') },
    ],
    ['the control plane drops a member in sync', PLANE, { replicas: CURRENT.replicas.slice(1) }],
    ['the control plane raises the epoch', PLANE, { epoch: 5 }],
    ['the control plane names the target', PLANE, { targetInstance: null }],
    ['the control plane releases', PLANE, { releasedBy: 'old' }],
    ['the control plane changes the file system', PLANE, { fileSystem: FORMATTED }],
    ['the control plane commits a snapshot', PLANE, { snapshots: SNAPSHOTS }],
  ];
  test.each(refused)('%s', (_what, actor, change) => {
    expect(refusal(actor, change)).toEqual(expect.any(String));
  });

  test('a target starts without an attachment', () => {
    expect(refusal(NEW, START, { ...CURRENT, attachment: null })).toBe(
      'a target starts only for an attachment',
    );
  });

  test('a target changes the record after it released', () => {
    const released = { ...CURRENT, releasedBy: 'old' };
    expect(refusal(OLD, { replicas: members('inSync', 'stale', 'stale') }, released)).toBe(
      'a target that released changes nothing',
    );
  });

  test('ids that only look alike when joined are passed off as the same', () => {
    const current = { ...CURRENT, replicas: [{ id: 'a b', node: 'n', state: 'inSync' }] as const };
    const replicas = ['a', 'b'].map((id) => ({ id, node: 'n', state: 'inSync' }) as const);
    expect(refusal(OLD, { replicas }, current)).toBe('a target does not add or drop members');
  });
});
