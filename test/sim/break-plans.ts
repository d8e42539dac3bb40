/**
 * For each rule a kind of history in which nothing but that rule saves the data or the answer:
 * what goes wrong, and when; the rest is the seed's. See breaks.test.ts.
 */
import type { DiskLatency, SimDisk } from '../../core/platform/sim/index.ts';
import { KiB, MiB } from '../../core/units.ts';
import type { Mix } from './client/workload.ts';
import type { Fault } from './world/faults.ts';
import type { PlannedFault, SimBreak, WorldOptions } from './world/options.ts';
import { POOL_PATH } from './world/replica-host.ts';
import type { World } from './world/world.ts';

export interface BreakPlan {
  readonly rule: SimBreak;
  readonly loss: string;
  readonly given: Partial<WorldOptions>;
  /** Whose promise is broken; any of them. */
  readonly seenBy: readonly string[];
  /** The first seed; default 1. All that follows is tried until the loss is seen. */
  readonly from?: number;
  /** Rules that would notice it as well, and are off in both cases. */
  readonly without?: readonly SimBreak[];
}

type Begin = Fault['begin'];
type Span = readonly [number, number];

const SURVIVE = 'acknowledged-writes-survive';
const ONE_VALUE = 'a-block-has-one-value';
const ONE_WRITER = 'one-writer';
const VERIFIED = 'healthy-was-verified';
const STORE_LOSS = 'store-loss-is-not-corruption';
const NO_OUTAGE = 'slow-replica-is-no-outage';
const ENDS_WELL = 'it-ends-well';

const NODES = ['n1', 'n2', 'n3'] as const;
const SIZE_BYTES = 4 * MiB;

/** Few and small commands to few places, and nothing but what is planned. */
function small(
  options: Partial<WorldOptions> & { readonly mix?: Partial<Mix>; readonly areas?: number },
): Partial<WorldOptions> {
  const { mix, areas = 1, ...given } = options;
  return {
    sizeBytes: SIZE_BYTES,
    workload: {
      sizeBytes: SIZE_BYTES,
      areaCount: areas,
      areaBytes: areas > 20 ? 4 * KiB : 8 * KiB,
      mix: { write: 5, read: 5, unmap: 0, flush: 0, ...mix },
    },
    depth: 8,
    thinkMs: [1, 60],
    faults: [],
    pauses: 0,
    stablePorts: true,
    ...given,
  };
}

function fault(
  name: PlannedFault['fault'],
  when: { readonly atMs: number | Span; readonly forMs?: number | Span },
  how: Pick<PlannedFault, 'begin' | 'where'> = {},
): PlannedFault {
  return { fault: name, atMs: span(when.atMs), forMs: span(when.forMs ?? 100), ...how };
}

function span(value: number | Span): Span {
  return typeof value === 'number' ? [value, value] : value;
}

function onEachNode(make: (where: (typeof NODES)[number]) => PlannedFault): PlannedFault[] {
  return NODES.map(make);
}

const killTarget: Begin = (world) => {
  const target = world.targets.filter((each) => each.reachable).at(-1);
  target?.process.kill();
  return null;
};

/** The volume goes elsewhere while its target is paused. */
const moveFromPaused: Begin = (world, random) => {
  const node = world.attachedNode;
  const target = world.targets.filter((each) => each.reachable).at(-1);
  if (node === null || target === undefined || target.paused) return undefined;
  target.process.pause();
  world.controlPlane.attach(world.otherNode(node, random));
  return () => target.process.resume();
};

/** The volume goes elsewhere, and nobody on its node can hear of it from the store. */
const moveFromCutOff: Begin = (world, random) => {
  const node = world.attachedNode;
  if (node === null) return undefined;
  world.keeper.cutOff.add(node);
  world.controlPlane.attach(world.otherNode(node, random));
  return () => world.keeper.cutOff.delete(node);
};

/** The next target that starts is caught before it has claimed anything; the volume goes. */
const moveFromNewborn: Begin = (world, random) => {
  const node = world.attachedNode;
  if (node === null) return undefined;
  const before = world.agentOf(node).target;
  const caught: { pause(): void; resume(): void }[] = [];
  const look = (): void => {
    const { target } = world.agentOf(node);
    if (target === null || target === before) {
      world.after(1, look);
      return;
    }
    target.process.pause();
    caught.push(target.process);
    world.keeper.cutOff.add(node);
    world.controlPlane.attach(world.otherNode(node, random));
  };
  look();
  return () => {
    world.keeper.cutOff.delete(node);
    for (const process of caught) process.resume();
  };
};

/** From the target's node to the replica that is read and copied from where none is local. */
function lagToSource(latencyMs: Span): Begin {
  return (world) => {
    const node = world.attachedNode ?? 'n1';
    const other = node === 'n1' ? 'n2' : 'n1';
    const { network } = world.simulation;
    network.setLink(node, other, { latencyMs });
    return () => network.setLink(node, other, {});
  };
}

const cutFromSource: Begin = (world) => {
  const node = world.attachedNode ?? 'n1';
  const { network } = world.simulation;
  network.partition([node], ['n1']);
  return () => network.heal();
};

/** A replica that is neither local to the target nor the one to copy from. */
const pauseThird: Begin = (world) => {
  const node = world.attachedNode === 'n3' ? 'n2' : 'n3';
  const process = world.agentOf(node).replicas.at(-1)?.process ?? null;
  if (process === null || process.state !== 'running') return undefined;
  process.pause();
  return () => process.resume();
};

function diskOf(world: World, node: string): SimDisk {
  return world.machine(node).disk(POOL_PATH);
}

function latency(change: Partial<DiskLatency>): Begin {
  return (world, _random, node) => {
    const disk = diskOf(world, node);
    const before = disk.latency;
    disk.latency = { ...before, ...change };
    return () => {
      disk.latency = before;
    };
  };
}

function slowDisk(upToMs: number): Begin {
  const range = [0.1, upToMs] as const;
  return latency({ readMs: range, writeMs: range, syncMs: [1, upToMs * 3] });
}

/** Files whose path includes `pathIncludes` fail, or take their time. */
function onFiles(
  operation: 'read' | 'write' | 'datasync',
  pathIncludes: string,
  what: { readonly delayMs: number } | { readonly probability: number },
): Begin {
  return (world, _random, node) =>
    diskOf(world, node).addFault({
      operation,
      pathIncludes,
      ...('delayMs' in what
        ? { effect: { kind: 'delay', ...what } }
        : { ...what, effect: { kind: 'error', code: 'EIO' } }),
    });
}

/** One replica never has what is written, the others have it and cannot say so. */
const failUnequally: Begin = (world, random, node) => {
  const without = world.attachedNode === 'n1' ? 'n2' : 'n1';
  const file = node === without ? '.img' : '.live';
  return onFiles('write', file, { probability: 1 })(world, random, node);
};

const STORE_AWAY_AND_REPLICA_LOST = small({
  depth: 2,
  thinkMs: [1, 200],
  faultsForMs: 26_000,
  plan: [
    fault('storeAway', { atMs: 3_000, forMs: 23_000 }),
    fault('pauseReplica', { atMs: 3_500, forMs: 22_000 }, { where: 'elsewhere' }),
  ],
});

const REBUILD_FROM_LAGGING_SOURCE = small({
  areas: 60,
  mix: { write: 9, read: 1 },
  faultsForMs: 8_000,
  plan: [
    fault('pauseReplica', { atMs: 2_000, forMs: 3_800 }, { begin: pauseThird }),
    fault('slowLink', { atMs: 3_000, forMs: 5_000 }, { begin: lagToSource([20, 150]) }),
  ],
});

export const BREAK_PLANS: readonly BreakPlan[] = [
  {
    rule: 'R2-same-epoch',
    loss: 'the second target finds its epoch promised away',
    seenBy: [STORE_LOSS],
    given: small({
      depth: 2,
      faultsForMs: 4_000,
      plan: [fault('killTarget', { atMs: 2_500 }, { begin: killTarget })],
    }),
  },
  {
    rule: 'R3-any-answer',
    from: 3,
    loss: 'a write is on one replica, and another one becomes the source',
    seenBy: [SURVIVE, ONE_VALUE],
    given: small({
      depth: 4,
      faultsForMs: 5_000,
      plan: [
        fault('cutTwoNodes', { atMs: 3_000, forMs: 1_000 }, { begin: cutFromSource }),
        fault('killTarget', { atMs: [3_200, 3_900] }, { begin: killTarget }),
      ],
    }),
  },
  {
    rule: 'R4-any-attachment',
    loss: 'a target that starts late takes the volume from whom it was given to',
    seenBy: [ONE_WRITER],
    given: small({
      depth: 4,
      faultsForMs: 12_000,
      plan: [
        fault('cutFromStore', { atMs: 2_000, forMs: [8_500, 9_500] }, { begin: moveFromNewborn }),
        fault('killTarget', { atMs: 2_100 }, { begin: killTarget }),
      ],
    }),
  },
  {
    rule: 'R6-minted-at-start',
    loss: 'a replica that lost its folder is in sync and empty',
    seenBy: [SURVIVE, ONE_VALUE, ENDS_WELL],
    given: small({
      faultsForMs: 8_000,
      plan: [fault('loseReplicaFolder', { atMs: [6_500, 7_500] })],
    }),
  },
  {
    rule: 'R8-old-sessions-stay',
    from: 3,
    loss: 'the old target goes on writing beside the new one',
    seenBy: [ONE_WRITER],
    given: small({
      mix: { write: 9, read: 1 },
      depth: 4,
      thinkMs: [1, 100],
      faultsForMs: 11_000,
      plan: [
        fault(
          'cutFromStore',
          { atMs: [2_000, 3_000], forMs: [7_500, 9_000] },
          { begin: moveFromCutOff },
        ),
      ],
    }),
  },
  {
    rule: 'R11-no-lease',
    loss: 'a target that was paused answers a read after the new one has written',
    seenBy: [ONE_WRITER, ONE_VALUE, SURVIVE],
    given: small({
      areas: 8,
      mix: { write: 2, read: 10 },
      faultsForMs: 14_000,
      plan: [
        ...onEachNode((where) =>
          fault('slowDisk', { atMs: 2_000, forMs: 12_000 }, { where, begin: slowDisk(40) }),
        ),
        fault(
          'pauseTarget',
          { atMs: [2_500, 4_000], forMs: [9_000, 10_000] },
          { begin: moveFromPaused },
        ),
      ],
    }),
  },
  {
    rule: 'R11-no-wait',
    loss: 'a new target writes while the old one may still answer reads',
    seenBy: [ONE_WRITER, ONE_VALUE, SURVIVE],
    given: small({
      areas: 8,
      mix: { write: 2, read: 10 },
      faultsForMs: 8_000,
      plan: [
        ...onEachNode((where) =>
          fault('slowDisk', { atMs: 2_000, forMs: 6_000 }, { where, begin: slowDisk(40) }),
        ),
        fault(
          'pauseTarget',
          { atMs: [2_500, 4_000], forMs: [2_800, 3_700] },
          { begin: moveFromPaused },
        ),
      ],
    }),
  },
  {
    rule: 'R12-no-equalise-after-error',
    loss: 'a write that failed is on some replicas and not on others',
    seenBy: [ONE_VALUE],
    given: small({
      areas: 40,
      mix: { write: 2, read: 10, flush: 0.3 },
      depth: 4,
      faultsForMs: 4_000,
      plan: onEachNode((where) =>
        fault('writeErrors', { atMs: 1_500, forMs: 60 }, { where, begin: failUnequally }),
      ),
    }),
  },
  {
    rule: 'R13-read-overtakes',
    from: 3,
    loss: 'a read sees a write in flight, and the next one does not',
    seenBy: [ONE_VALUE, SURVIVE],
    given: small({
      faultsForMs: 4_000,
      plan: [
        ...onEachNode((where) =>
          fault('slowDisk', { atMs: 1_500, forMs: 2_500 }, { where, begin: slowDisk(60) }),
        ),
        fault(
          'readErrors',
          { atMs: 2_000, forMs: 2_000 },
          { where: 'attached', begin: onFiles('read', '.img', { probability: 0.5 }) },
        ),
      ],
    }),
  },
  {
    rule: 'R14-flush-any',
    loss: 'what was flushed is not on the slow replica after a power cut of all',
    seenBy: [SURVIVE],
    given: small({
      areas: 4,
      mix: { read: 1, flush: 2 },
      depth: 4,
      thinkMs: [1, 100],
      faultsForMs: 6_000,
      plan: [
        fault('slowDisk', { atMs: 2_000, forMs: 4_000 }, { where: 'n1', begin: slowDisk(300) }),
        fault('loseAllPower', { atMs: [3_200, 5_500] }),
      ],
    }),
  },
  {
    rule: 'R14-running-sync-counts',
    from: 4,
    loss: 'a write after the start of an fdatasync is taken for flushed by it',
    seenBy: [SURVIVE],
    given: small({
      areas: 40,
      mix: { write: 9, read: 0, flush: 1 },
      faultsForMs: 5_000,
      plan: [
        fault(
          'slowDisk',
          { atMs: 2_000, forMs: 3_000 },
          { where: 'n1', begin: latency({ syncMs: [300, 900] }) },
        ),
        fault('loseAllPower', { atMs: [3_000, 4_500] }),
      ],
    }),
  },
  {
    rule: 'R15-resume-unordered',
    loss: 'a replica has two overlapping writes in the other order',
    seenBy: [ONE_VALUE],
    given: small({
      mix: { write: 9, read: 1 },
      pauses: 5,
      faultsForMs: 6_000,
      plan: [
        ...onEachNode((where) =>
          fault('slowDisk', { atMs: 2_000, forMs: 4_000 }, { where, begin: slowDisk(100) }),
        ),
        ...[2_000, 3_000, 4_000, 5_000].flatMap((atMs) =>
          onEachNode((where) =>
            fault('dropConnections', { atMs: [atMs, atMs + 1_000] }, { where }),
          ),
        ),
      ],
    }),
  },
  {
    rule: 'R17-never-removed',
    loss: 'a silent replica stops the volume',
    seenBy: [NO_OUTAGE],
    given: small({
      depth: 2,
      thinkMs: [1, 200],
      faultsForMs: 19_000,
      plan: [fault('pauseReplica', { atMs: 12_000, forMs: 7_000 }, { where: 'elsewhere' })],
    }),
  },
  {
    rule: 'R18-held-for-ever',
    loss: 'a command has no answer while the store is away and a replica is lost',
    seenBy: [STORE_LOSS],
    given: STORE_AWAY_AND_REPLICA_LOST,
  },
  {
    rule: 'R18-not-ready',
    loss: 'an initiator is told an error that it does not wait out',
    seenBy: [STORE_LOSS],
    given: STORE_AWAY_AND_REPLICA_LOST,
  },
  {
    rule: 'R22-no-barrier',
    from: 3,
    loss: 'a rebuild misses what was on its way to the source; its verification says so',
    seenBy: [VERIFIED],
    given: REBUILD_FROM_LAGGING_SOURCE,
  },
  {
    rule: 'R24-no-verify',
    from: 3,
    loss: 'a rebuild that missed something counts as in sync',
    without: ['R22-no-barrier'],
    seenBy: [VERIFIED, ONE_VALUE, SURVIVE],
    given: { ...REBUILD_FROM_LAGGING_SOURCE, rebuildsMayDiffer: true },
  },
  {
    rule: 'R24-commit-unflushed',
    loss: 'a rebuilt replica loses what had been flushed before',
    seenBy: [SURVIVE],
    given: small({
      areas: 12,
      mix: { read: 3, flush: 0.05 },
      depth: 4,
      thinkMs: [1, 100],
      faultsForMs: 12_000,
      plan: [
        fault('pauseReplica', { atMs: [3_000, 4_000], forMs: 4_500 }, { where: 'n1' }),
        fault('loseAllPower', { atMs: [9_000, 11_000] }),
      ],
    }),
  },
  {
    rule: 'R27-index-first',
    from: 4,
    loss: 'after a power cut a block has the rest of a write that was never there',
    seenBy: [ONE_VALUE, SURVIVE],
    given: small({
      areas: 200,
      mix: { read: 8, flush: 0.1 },
      faultsForMs: 16_000,
      plan: [
        // Data without an index entry, then zeros in its place, then a new write at the same place.
        ...onEachNode((where) =>
          fault(
            'slowDisk',
            { atMs: 0, forMs: 2_000 },
            { where, begin: onFiles('datasync', '.index', { delayMs: 9_000 }) },
          ),
        ),
        fault('loseAllPower', { atMs: [1_700, 2_000] }),
        ...onEachNode((where) =>
          fault(
            'slowDisk',
            { atMs: 12_000, forMs: 4_000 },
            { where, begin: onFiles('datasync', '.img', { delayMs: 4_000 }) },
          ),
        ),
        fault('loseAllPower', { atMs: [13_500, 15_500] }),
      ],
    }),
  },
];
