import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { place } from '../../../../cluster/scheduler/place.ts';
import {
  type PlacementRequest,
  roomBytes,
  type SchedulerNode,
  type SchedulerPool,
} from '../../../../cluster/scheduler/pools.ts';
import { GiB } from '../../../../core/units.ts';

function pool(availableBytes: number, more: Partial<SchedulerPool> = {}): SchedulerPool {
  return {
    id: 'pool',
    name: 'default',
    isOnline: true,
    reason: '',
    group: `group ${Math.random()}`,
    availableBytes,
    unwrittenBytes: 0,
    inFlightBytes: 0,
    ...more,
  };
}

function node(name: string, pools: readonly SchedulerPool[], refusal = ''): SchedulerNode {
  const zone = null;
  return {
    name,
    zone,
    refusal,
    pools: pools.map((one, index) => ({ ...one, id: `${name}${index}` })),
  };
}

function request(more: Partial<PlacementRequest> = {}): PlacementRequest {
  const anywhere = { poolName: null, nodeNames: [], zones: [], preferredNodes: [] };
  return { sizeBytes: 5 * GiB, replicaCount: 2, ...anywhere, seed: 'v', ...more };
}

function nodesOf(placement: ReturnType<typeof place>): readonly string[] {
  return placement.kind === 'placed' ? placement.replicas.map((replica) => replica.node) : [];
}

test('copies go to different nodes, the emptiest first', () => {
  const nodes = [
    node('a', [pool(10 * GiB), pool(50 * GiB)]),
    node('b', [pool(20 * GiB)]),
    node('c', [pool(30 * GiB)]),
  ];
  expect(place(request(), nodes)).toEqual({
    kind: 'placed',
    replicas: [
      { node: 'a', poolId: 'a1' },
      { node: 'c', poolId: 'c0' },
    ],
  });
});

test('lost nodes, failed pools, other pool names and full pools are passed over', () => {
  const nodes = [
    node('a', [pool(90 * GiB)], 'is lost'),
    node('b', [pool(90 * GiB, { isOnline: false })]),
    node('c', [pool(90 * GiB, { name: 'slow' })]),
    node('d', [pool(4 * GiB, { name: 'fast' })]),
    node('e', [pool(6 * GiB, { name: 'fast' })]),
  ];
  expect(nodesOf(place(request({ poolName: 'fast', replicaCount: 1 }), nodes))).toEqual(['e']);
});

test('what is promised and not reported yet counts as taken', () => {
  const nodes = [
    node('a', [pool(12 * GiB, { inFlightBytes: 10 * GiB })]),
    node('b', [pool(6 * GiB)]),
  ];
  expect(nodesOf(place(request({ replicaCount: 1 }), nodes))).toEqual(['b']);
  expect(place(request(), nodes).kind).toBe('noSpace');
});

describe('pools on one file system share its room:', () => {
  const shared = { group: 'one disk' };

  test('it is not promised twice within one volume', () => {
    const nodes = ['a', 'b', 'c'].map((name) => node(name, [pool(14 * GiB, shared)]));
    expect(place(request({ replicaCount: 2 }), nodes).kind).toBe('placed');
    expect(place(request({ replicaCount: 3 }), nodes)).toMatchObject({
      kind: 'noSpace',
      detail: expect.stringContaining('same file system'),
    });
  });

  test('what agents of other nodes promised there is taken off', () => {
    const other = node('b', [pool(14 * GiB, { ...shared, unwrittenBytes: 10 * GiB })]);
    const nodes = [node('a', [pool(14 * GiB, shared)]), other];
    expect(roomBytes(nodes[0] as SchedulerNode, pool(14 * GiB, shared), nodes)).toBe(4 * GiB);
  });

  test('the search turns back where the emptiest pool was the wrong choice', () => {
    const nodes = [
      node('a', [pool(10 * GiB, shared), pool(6 * GiB)]),
      node('b', [pool(10 * GiB, shared)]),
    ];
    const placement = place(request({ sizeBytes: 6 * GiB }), nodes);
    expect(placement).toMatchObject({ kind: 'placed' });
    expect(new Set(nodesOf(placement))).toEqual(new Set(['a', 'b']));
  });

  test('a hopeless question on many nodes is answered quickly', () => {
    const names = Array.from({ length: 200 }, (_, index) => `n${index}`);
    const nodes = names.map((name) => node(name, [pool(32 * GiB, shared)]));
    expect(place(request({ replicaCount: 7 }), nodes).kind).toBe('noSpace');
  });
});

describe('a refusal says why, node by node:', () => {
  test('no nodes', () => {
    expect(place(request(), [])).toEqual({
      kind: 'unplaceable',
      detail: 'it needs 2 replicas, each on its own node, but there are no nodes: start an agent',
    });
  });

  test('too few usable ones', () => {
    const nodes = [
      node('a', [pool(9 * GiB)]),
      node('b', [pool(9 * GiB)], 'is lost (silent for 12 s)'),
      node('c', []),
      node('d', [pool(0, { isOnline: false, reason: 'not writable' })]),
    ];
    expect(place(request(), nodes)).toEqual({
      kind: 'unplaceable',
      detail:
        'it needs 2 replicas, each on its own node, but 1 of 4 nodes are usable: ' +
        'b is lost (silent for 12 s), c has no pool, d has a failed pool (not writable); ' +
        'ask for 1 at most, or add nodes',
    });
  });

  test('no room', () => {
    const nodes = [node('a', [pool(3 * GiB), pool(4 * GiB)]), node('b', [pool(9 * GiB)])];
    expect(place(request(), nodes)).toEqual({
      kind: 'noSpace',
      detail:
        'it needs 2 replicas of 5 GiB, each on its own node, but a has 4 GiB, b has 9 GiB free',
    });
  });

  test('and stays a sentence with a thousand nodes', () => {
    const nodes = Array.from({ length: 1_000 }, (_, index) => node(`n${index}`, []));
    const placement = place(request(), nodes);
    expect(placement).toMatchObject({ detail: expect.stringContaining('and 990 more') });
  });
});

const anyPool = fc.record({
  availableBytes: fc.integer({ min: 0, max: 12 }),
  group: fc.constantFrom('x', 'y', 'z', 'w'),
  isOnline: fc.boolean(),
  name: fc.constantFrom('default', 'fast'),
  unwrittenBytes: fc.integer({ min: 0, max: 3 }),
  inFlightBytes: fc.integer({ min: 0, max: 3 }),
});
const anyNodes = fc
  .array(fc.record({ pools: fc.array(anyPool, { maxLength: 2 }), lost: fc.boolean() }), {
    maxLength: 5,
  })
  .map((nodes) =>
    nodes.map(({ pools, lost }, index) =>
      node(
        `n${index}`,
        pools.map((one) => pool(one.availableBytes, one)),
        lost && index % 2 === 0 ? 'is lost' : '',
      ),
    ),
  );
const anyRequest = fc.record({
  sizeBytes: fc.integer({ min: 1, max: 6 }),
  replicaCount: fc.integer({ min: 1, max: 4 }),
  poolName: fc.constantFrom(null, null, 'fast'),
  nodeNames: fc.constantFrom([], [], ['n0', 'n1', 'n3']),
  zones: fc.constant([]),
  preferredNodes: fc.subarray(['n0', 'n1', 'n2']),
  seed: fc.string(),
});

/** All ways to choose, without order or cleverness. */
function fitsAtAll(asked: PlacementRequest, nodes: readonly SchedulerNode[]): boolean {
  type Chosen = { readonly group: string; readonly room: number };
  const tryNode = (index: number, chosen: readonly Chosen[]): boolean => {
    if (chosen.length === asked.replicaCount) return groupsHold(asked, chosen);
    const here = nodes[index];
    if (here === undefined) return false;
    if (tryNode(index + 1, chosen)) return true;
    if (here.refusal !== '') return false;
    if (asked.nodeNames.length > 0 && !asked.nodeNames.includes(here.name)) return false;
    return here.pools.some((one) => {
      const fits = one.isOnline && (asked.poolName === null || one.name === asked.poolName);
      const next = { group: one.group, room: roomBytes(here, one, nodes) };
      return fits && tryNode(index + 1, [...chosen, next]);
    });
  };
  return tryNode(0, []);
}

function groupsHold(
  { sizeBytes }: PlacementRequest,
  chosen: readonly { readonly group: string; readonly room: number }[],
): boolean {
  return chosen.every(({ group }) => {
    const rooms = chosen.filter((one) => one.group === group).map((one) => one.room);
    return Math.min(...rooms) >= rooms.length * sizeBytes;
  });
}

test('a placement keeps every rule, and one is found whenever there is one', () => {
  fc.assert(
    fc.property(anyRequest, anyNodes, (asked, nodes) => {
      const placement = place(asked, nodes);
      expect(placement.kind === 'placed').toBe(fitsAtAll(asked, nodes));
      if (placement.kind !== 'placed') return;
      expect(placement.replicas).toHaveLength(asked.replicaCount);
      expect(new Set(nodesOf(placement)).size).toBe(asked.replicaCount);
      const chosen = placement.replicas.map(({ node: name, poolId }) => {
        const here = nodes.find((one) => one.name === name);
        const there = here?.pools.find((one) => one.id === poolId);
        if (here === undefined || there === undefined) throw new Error('placed nowhere');
        expect(here.refusal).toBe('');
        expect(there.isOnline).toBe(true);
        if (asked.poolName !== null) expect(there.name).toBe(asked.poolName);
        if (asked.nodeNames.length > 0) expect(asked.nodeNames).toContain(name);
        return { group: there.group, room: roomBytes(here, there, nodes) };
      });
      expect(groupsHold(asked, chosen)).toBe(true);
    }),
    { numRuns: 1_000 },
  );
});

test('the order in which nodes are listed makes no difference', () => {
  fc.assert(
    fc.property(anyRequest, anyNodes, (asked, nodes) => {
      expect(place(asked, nodes.toReversed())).toMatchObject(
        placedOnly(place(asked, nodes)) ?? { kind: expect.not.stringMatching('placed') },
      );
    }),
  );
});

function placedOnly(placement: ReturnType<typeof place>) {
  return placement.kind === 'placed' ? placement : null;
}

test('equal nodes all get their share', () => {
  const nodes = ['a', 'b', 'c', 'd', 'e'].map((name) => node(name, [pool(100 * GiB)]));
  const counts = new Map<string, number>();
  for (let index = 0; index < 500; index += 1) {
    for (const name of nodesOf(place(request({ seed: `volume ${index}` }), nodes))) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  expect(counts.size).toBe(5);
  for (const count of counts.values()) expect(count).toBeGreaterThan(100);
});
