/** Walks every order of events from a first world, breadth first, within a bound. */
import { createHash } from 'node:crypto';
import { RECORD_FORMAT_VERSION, type VolumeRecord } from '../../../core/volume/record.ts';
import { initialState } from '../../../target/replication/membership.ts';
import type { Break } from '../../../target/replication/state.ts';
import { actionsOf } from './actions.ts';
import {
  ALL_FAULTS,
  type Budget,
  type FaultKind,
  keyOf,
  type ModelBreak,
  type Replica,
  type Target,
  type World,
} from './world.ts';

export interface Scope {
  readonly replicas: number;
  readonly budget: Budget;
  readonly statesMax: number;
  readonly breaks?: readonly (Break | ModelBreak)[];
  readonly kinds?: readonly FaultKind[];
  /** Members that are not in sync at first. */
  readonly stale?: readonly string[];
  /** Default true: see World.ordered. */
  readonly ordered?: boolean;
}

export interface Exploration {
  /** Distinct worlds seen. */
  readonly states: number;
  /** False: the bound was reached before every world was seen. */
  readonly complete: boolean;
  readonly violation: string | null;
  /** The shortest story that leads to the violation. */
  readonly story: readonly string[];
}

interface Node {
  /** Forgotten once all that follows from it was seen: only its name is needed for the story. */
  world: World | null;
  readonly parent: Node | null;
  readonly name: string;
}

export function explore(scope: Scope): Exploration {
  const seen = new Set<string>();
  const start = firstWorld(scope);
  let frontier: Node[] = [{ world: start, parent: null, name: '' }];
  seen.add(hashOf(start));
  while (frontier.length > 0) {
    const next: Node[] = [];
    for (const node of frontier) {
      const { world: before } = node;
      if (before === null) continue;
      node.world = null;
      for (const { name, next: world } of actionsOf(before)) {
        const reached: Node = { world, parent: node, name };
        if (world.violation !== null) return found(reached, world.violation, seen.size);
        const hash = hashOf(world);
        if (seen.has(hash)) continue;
        seen.add(hash);
        next.push(reached);
      }
      if (seen.size >= scope.statesMax) {
        return { states: seen.size, complete: false, violation: null, story: [] };
      }
    }
    frontier = next;
  }
  return { states: seen.size, complete: true, violation: null, story: [] };
}

function found(node: Node, violation: string, states: number): Exploration {
  const story: string[] = [];
  for (let at: Node | null = node; at !== null; at = at.parent) {
    if (at.name !== '') story.unshift(at.name);
  }
  return { states, complete: false, violation, story };
}

function hashOf(world: World): string {
  return createHash('sha1').update(keyOf(world)).digest('base64').slice(0, 16);
}

export function firstWorld(scope: Scope): World {
  const ids = ['A', 'B', 'C', 'D'].slice(0, scope.replicas);
  const record: VolumeRecord = {
    formatVersion: RECORD_FORMAT_VERSION,
    volumeId: 'volume',
    incarnation: 'incarnation',
    epoch: 0,
    generation: 1,
    targetInstance: null,
    releasedBy: null,
    attachment: { token: 'token', node: 'n', initiatorNames: ['*'], chapSecret: null },
    replicas: ids.map((id) => ({
      id,
      node: `node-${id}`,
      state: scope.stale?.includes(id) === true ? 'stale' : 'inSync',
    })),
    sizeBytes: 4096,
    blockSizeBytes: 512,
    fileSystem: { kind: 'none', uuid: null, state: 'blank' },
    snapshots: [],
    reservations: [],
    minInSync: 1,
  };
  const replicas = ids.map(
    (id): Replica => ({
      id,
      value: 0,
      durable: 0,
      boot: 1,
      promise: { epoch: 0, instance: '', cache: '' },
      previous: { epoch: 0, instance: '', cache: '' },
      copyEpoch: 0,
      copyGeneration: 1,
    }),
  );
  const targets = ['t1', 't2'].map(
    (instance): Target => ({
      instance,
      life: 'unborn',
      state: initialState({ instance, attachmentToken: 'token', knownDead: [] }),
      outbox: [],
      links: {},
      cuts: [],
      write: null,
      flush: null,
      join: null,
    }),
  );
  return {
    store: { version: 1, record, late: [], before: null },
    replicas,
    targets,
    started: 0,
    acknowledged: 0,
    acknowledgedEpoch: 0,
    left: scope.budget,
    breaks: new Set(scope.breaks ?? []),
    ordered: scope.ordered ?? true,
    kinds: new Set(scope.kinds ?? ALL_FAULTS),
    violation: null,
  };
}
