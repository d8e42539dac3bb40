/** What goes wrong: every kind of fault, when it begins and how it ends. */
import type { DiskLatency, SimRandom } from '../../../core/platform/sim/index.ts';
import type { PlannedFault } from './options.ts';
import { FAIR_WEATHER } from './record-keeper.ts';
import type { ReplicaHost } from './replica-host.ts';
import { POOL_PATH } from './replica-host.ts';
import type { World } from './world.ts';

/** Ends the fault; null: it ends by itself. */
type Undo = (() => void) | null;

export interface Fault {
  /** Takes a replica's share in the number that may be in trouble at once. */
  readonly troubles: 'oneReplica' | 'nobody';
  readonly forMs: readonly [number, number];
  /** Null: it cannot happen now. */
  begin(world: World, random: SimRandom, node: string): Undo | undefined;
}

/** The pool's disk when nothing is wrong with it. */
export const FAST: DiskLatency = { readMs: [0.02, 0.3], writeMs: [0.01, 0.1], syncMs: [0.5, 4] };

const SHORT = [200, 3_000] as const;
const MEDIUM = [500, 10_000] as const;
const LONG = [2_000, 25_000] as const;

export const FAULTS = {
  killReplica: {
    troubles: 'oneReplica',
    forMs: SHORT,
    begin: (world, random, node) => {
      const replica = replicaOn(world, node);
      if (replica === null || replica.process === null) return undefined;
      replica.process.kill({ reapedAtOnce: random.chance(0.3) });
      return null;
    },
  },
  killTarget: {
    troubles: 'nobody',
    forMs: SHORT,
    begin: (world, random) => {
      const target = world.targets.filter((each) => each.reachable).at(-1 - random.below(2));
      if (target === undefined) return undefined;
      target.process.kill();
      return null;
    },
  },
  pauseReplica: {
    troubles: 'oneReplica',
    forMs: LONG,
    begin: (world, _random, node) => {
      const process = replicaOn(world, node)?.process ?? null;
      if (process === null || process.state !== 'running') return undefined;
      process.pause();
      return () => process.resume();
    },
  },
  pauseTarget: {
    troubles: 'nobody',
    forMs: LONG,
    begin: (world) => {
      const target = world.targets.filter((each) => each.reachable && !each.paused).at(-1);
      if (target === undefined) return undefined;
      target.process.pause();
      return () => target.process.resume();
    },
  },
  losePower: {
    troubles: 'oneReplica',
    forMs: MEDIUM,
    begin: (world, _random, node) => {
      // With a live initiator: its own node keeps its power.
      if (node === world.attachedNode || !world.machine(node).up) return undefined;
      world.losePower(node);
      return () => world.boot(node);
    },
  },
  losePowerOfTarget: {
    troubles: 'oneReplica',
    forMs: MEDIUM,
    begin: (world) => {
      const node = world.attachedNode;
      if (node === null || !world.machine(node).up) return undefined;
      world.losePower(node);
      return () => world.boot(node);
    },
  },
  loseAllPower: {
    troubles: 'nobody',
    forMs: SHORT,
    begin: (world, random) => {
      for (const node of world.nodes) world.losePower(node);
      return () => {
        for (const node of world.nodes) {
          world.simulation.after(random.between([0, 4_000]), () => world.boot(node));
        }
      };
    },
  },
  cutTwoNodes: {
    troubles: 'oneReplica',
    forMs: LONG,
    begin: (world, random, node) => {
      const other = world.otherNode(node, random);
      const { network } = world.simulation;
      const oneWay = random.chance(0.4);
      network.block(node, other);
      if (!oneWay) network.block(other, node);
      return () => {
        network.unblock(node, other);
        network.unblock(other, node);
      };
    },
  },
  isolateNode: {
    troubles: 'oneReplica',
    forMs: LONG,
    begin: (world, random, node) => {
      const { network } = world.simulation;
      const others = world.nodes.filter((other) => other !== node);
      network.partition([node], others);
      const fromStore = random.chance(0.5);
      if (fromStore) world.keeper.cutOff.add(node);
      return () => {
        for (const other of others) {
          network.unblock(node, other);
          network.unblock(other, node);
        }
        if (fromStore) world.keeper.cutOff.delete(node);
      };
    },
  },
  dropConnections: {
    troubles: 'nobody',
    forMs: SHORT,
    begin: (world, random, node) => {
      const other = random.chance(0.3) ? node : world.otherNode(node, random);
      world.simulation.network.dropConnections(node, other);
      return null;
    },
  },
  slowLink: {
    troubles: 'oneReplica',
    forMs: LONG,
    begin: (world, random, node) => {
      const other = world.otherNode(node, random);
      const { network } = world.simulation;
      network.setLink(node, other, { latencyMs: [5, random.pick([50, 500, 2_000])] });
      return () => network.setLink(node, other, {});
    },
  },
  stallDisk: {
    troubles: 'oneReplica',
    forMs: [500, 12_000],
    begin: (world, random, node) => {
      const durationMs = random.between([500, 12_000]);
      world.machine(node).disk(POOL_PATH).stall(durationMs);
      world.trouble(node, durationMs);
      return null;
    },
  },
  slowDisk: {
    troubles: 'oneReplica',
    forMs: LONG,
    begin: (world, random, node) => {
      const disk = world.machine(node).disk(POOL_PATH);
      const upToMs = random.pick([5, 50, 400]);
      disk.latency = { readMs: [0.1, upToMs], writeMs: [0.1, upToMs], syncMs: [1, upToMs * 3] };
      return () => {
        disk.latency = FAST;
      };
    },
  },
  readErrors: diskErrors('read', 'EIO'),
  writeErrors: diskErrors('write', 'EIO'),
  syncErrors: diskErrors('datasync', 'EIO'),
  noSpace: diskErrors('write', 'ENOSPC'),
  storeAway: {
    troubles: 'nobody',
    forMs: LONG,
    begin: (world) => {
      if (world.keeper.away) return undefined;
      world.keeper.away = true;
      return () => {
        world.keeper.away = false;
      };
    },
  },
  cutFromStore: {
    troubles: 'nobody',
    forMs: LONG,
    begin: (world, _random, node) => {
      if (world.keeper.cutOff.has(node)) return undefined;
      world.keeper.cutOff.add(node);
      return () => {
        world.keeper.cutOff.delete(node);
      };
    },
  },
  badStoreWeather: {
    troubles: 'nobody',
    forMs: LONG,
    begin: (world, random) => {
      const { keeper } = world;
      keeper.weather = {
        latencyMs: [1, random.pick([20, 300, 1_500])],
        lostAnswers: random.pick([0, 0.3, 0.7]),
        lateRequests: random.pick([0, 0.2, 0.5]),
        lateMs: [1, random.pick([1_000, 12_000])],
      };
      return () => {
        keeper.weather = FAIR_WEATHER;
      };
    },
  },
  /** Detached in order where that is possible, and attached somewhere. */
  move: {
    troubles: 'nobody',
    forMs: SHORT,
    begin: (world, random) => {
      world.controlPlane.attach(random.pick(world.nodes as [string, ...string[]]));
      return null;
    },
  },
  /** The old target does not hear of it: it is paused or cut off, and comes back later. */
  moveBehindItsBack: {
    troubles: 'nobody',
    forMs: LONG,
    begin: (world, random) => {
      const node = world.attachedNode;
      const target = world.targets.filter((each) => each.reachable).at(-1);
      if (node === null || target === undefined || target.paused) return undefined;
      const other = world.otherNode(node, random);
      const undo = random.chance(0.5) ? cutStore(world, node) : pauseThenResume(target.process);
      world.controlPlane.attach(other);
      return undo;
    },
  },
  loseReplicaFolder: {
    troubles: 'oneReplica',
    forMs: LONG,
    begin: (world, random, node) => {
      const replica = replicaOn(world, node);
      if (replica === null || world.lostCount > 0) return undefined;
      void world.loseFolder(replica, random.pick(['removed', 'emptied', 'damaged']));
      return null;
    },
  },
} as const satisfies Readonly<Record<string, Fault>>;

export type FaultName = keyof typeof FAULTS;

export const FAULT_NAMES = Object.keys(FAULTS) as FaultName[];

function diskErrors(operation: 'read' | 'write' | 'datasync', code: 'EIO' | 'ENOSPC') {
  return {
    troubles: 'oneReplica',
    forMs: MEDIUM,
    begin: (world: World, random: SimRandom, node: string): Undo => {
      // Slot files have all their space from the beginning.
      const anywhere = code === 'ENOSPC' ? 'layers-' : '/replicas/';
      const pathIncludes = random.pick(['.img', '.img', '.index', 'layers-', anywhere]);
      return world
        .machine(node)
        .disk(POOL_PATH)
        .addFault({
          operation,
          pathIncludes,
          probability: random.pick([0.05, 0.5, 1]),
          ...(random.chance(0.5) ? { countMax: 1 } : {}),
          effect: { kind: 'error', code },
        });
    },
  } as const;
}

function replicaOn(world: World, node: string): ReplicaHost | null {
  return world.agentOf(node).replicas.at(-1) ?? null;
}

function cutStore(world: World, node: string): () => void {
  world.keeper.cutOff.add(node);
  return () => {
    world.keeper.cutOff.delete(node);
  };
}

function pauseThenResume(process: { pause(): void; resume(): void }): () => void {
  process.pause();
  return () => process.resume();
}

/** Begins faults one after the other, ends each in its time, and all of them when told to. */
export class FaultPlan {
  readonly #world: World;
  readonly #random: SimRandom;
  readonly #active = new Map<object, { readonly undo: () => void; readonly node: string | null }>();
  #going = true;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.simulation.fork('faults');
  }

  start(): void {
    const { faults, plan } = this.#world.options;
    for (const planned of plan) {
      this.#world.simulation.after(this.#random.between(planned.atMs), () => {
        if (this.#going) this.#beginPlanned(planned);
      });
    }
    if (faults.length > 0) this.#later();
  }

  /** Everything is healed, and nothing goes wrong any more. */
  stop(): void {
    this.#going = false;
    for (const { undo } of this.#active.values()) undo();
    this.#active.clear();
  }

  #later(): void {
    const delayMs = this.#random.between(this.#world.options.betweenFaultsMs);
    this.#world.simulation.after(delayMs, () => {
      if (!this.#going) return;
      this.#begin();
      this.#later();
    });
  }

  #beginPlanned({ fault, begin, forMs, where }: PlannedFault): void {
    const random = this.#random;
    const { nodes, attachedNode } = this.#world;
    const fitting = nodes.filter((node) => {
      if (where === 'attached') return node === attachedNode;
      if (where === 'elsewhere') return node !== attachedNode;
      return where === undefined || node === where;
    });
    const [first = 'n1', ...rest] = fitting;
    const node = random.pick([first, ...rest]);
    const how = begin === undefined ? FAULTS[fault] : { ...FAULTS[fault], begin };
    this.#beginOn(fault, how, { node, forMs });
  }

  #begin(): void {
    const world = this.#world;
    const random = this.#random;
    const [first, ...rest] = world.options.faults;
    if (first === undefined) return;
    const name = random.pick([first, ...rest]);
    const fault: Fault = FAULTS[name];
    const troubled = new Set([...this.#active.values()].flatMap(({ node }) => node ?? []));
    const node = random.pick(world.nodes as [string, ...string[]]);
    const one = fault.troubles === 'oneReplica';
    if (one && !troubled.has(node) && troubled.size >= world.options.troubledMax) return;
    this.#beginOn(name, fault, { node, forMs: fault.forMs });
  }

  #beginOn(
    name: FaultName,
    fault: Fault,
    where: { readonly node: string; readonly forMs: readonly [number, number] },
  ): void {
    const world = this.#world;
    const random = this.#random;
    const { node } = where;
    const one = fault.troubles === 'oneReplica';
    const undo = fault.begin(world, random, node);
    if (undo === undefined) return;
    const forMs = random.between(where.forMs);
    world.simulation.note('faults', `${name} ${one ? node : ''} for ${forMs.toFixed(0)} ms`);
    const key = {};
    this.#active.set(key, { undo: undo ?? (() => undefined), node: one ? node : null });
    if (one) world.trouble(node, forMs);
    world.simulation.after(forMs, () => {
      const active = this.#active.get(key);
      if (active === undefined) return;
      this.#active.delete(key);
      active.undo();
    });
  }
}
