/**
 * The smallest world that membership decisions can be wrong in: one block, a store, three
 * replicas, two targets. Everything is plain immutable data; an action is a function from world
 * to world. The machine under test is the real one (target/replication/membership.ts); what
 * surrounds it is modelled as coarsely as soundness allows.
 */
import type { VolumeRecord } from '../../../core/volume/record.ts';
import type { Break, Effect, PromiseFacts, State } from '../../../target/replication/state.ts';

/** The block's content is the number of the write that put it there; 0 is the first content. */
export interface Replica {
  readonly id: string;
  readonly value: number;
  readonly durable: number;
  readonly boot: number;
  readonly promise: PromiseFacts;
  readonly previous: PromiseFacts;
  readonly copyEpoch: number;
  readonly copyGeneration: number;
}

export interface Write {
  readonly value: number;
  readonly waiting: readonly string[];
}

export interface Join {
  readonly id: string;
  readonly stage: 'live' | 'copied' | 'bound' | 'proposed';
  /** It got a live write since it became live: the copy must not overwrite it. */
  readonly touched: boolean;
}

export interface Target {
  readonly instance: string;
  readonly life: 'unborn' | 'running' | 'dead';
  readonly state: State;
  readonly outbox: readonly Effect[];
  /** Replicas with an open control connection, with the boot it was opened under. */
  readonly links: Readonly<Record<string, number>>;
  /** Replicas that nothing gets through to, until healed. */
  readonly cuts: readonly string[];
  readonly write: Write | null;
  readonly flush: Write | null;
  readonly join: Join | null;
}

export interface Store {
  readonly version: number;
  readonly record: VolumeRecord;
  /** Swaps whose sender was told nothing and that may still land (R1). */
  readonly late: readonly { readonly version: number; readonly next: VolumeRecord }[];
  /** What it held before its last change: what a rollback brings back. */
  readonly before: VolumeRecord | null;
}

export interface World {
  readonly store: Store;
  readonly replicas: readonly Replica[];
  readonly targets: readonly Target[];
  readonly started: number;
  /** The last write that was answered GOOD, and the highest epoch that answered one. */
  readonly acknowledged: number;
  readonly acknowledgedEpoch: number;
  readonly left: Budget;
  readonly breaks: ReadonlySet<Break | ModelBreak>;
  /**
   * Each target carries out its effects in their order, instead of in every order. Without it the
   * scope must be smaller.
   */
  readonly ordered: boolean;
  readonly kinds: ReadonlySet<FaultKind>;
  /** The first promise that was broken; the search ends there. */
  readonly violation: string | null;
}

export interface Budget {
  readonly targets: number;
  readonly writes: number;
  readonly flushes: number;
  readonly joins: number;
  readonly faults: number;
  /** The store loses its last change (a restored backup). */
  readonly rollbacks: number;
}

/** Which faults there are: fewer kinds let the search go deeper. */
export type FaultKind = 'cut' | 'power' | 'kill' | 'swap';
export const ALL_FAULTS: readonly FaultKind[] = ['cut', 'power', 'kill', 'swap'];

export function mayFail(world: World, kind: FaultKind): boolean {
  return world.left.faults > 0 && world.kinds.has(kind);
}

/** Rules of replicas that the model itself can switch off. */
export type ModelBreak = 'R8-promise-anyone';

export function replicaOf(world: World, id: string): Replica {
  const replica = world.replicas.find((candidate) => candidate.id === id);
  if (replica === undefined) throw new Error(`no replica ${id}`);
  return replica;
}

export function withReplica(world: World, id: string, change: Partial<Replica>): World {
  const replicas = world.replicas.map((replica) =>
    replica.id === id ? { ...replica, ...change } : replica,
  );
  return { ...world, replicas };
}

export function withTarget(world: World, index: number, change: Partial<Target>): World {
  const targets = world.targets.map((target, at) =>
    at === index ? { ...target, ...change } : target,
  );
  return { ...world, targets };
}

export function targetAt(world: World, index: number): Target {
  const target = world.targets[index];
  if (target === undefined) throw new Error(`no target ${index}`);
  return target;
}

export function spend(world: World, what: keyof Budget): World {
  return { ...world, left: { ...world.left, [what]: world.left[what] - 1 } };
}

/** Two worlds with the same key behave the same from here on. */
export function keyOf(world: World): string {
  const targets = world.targets.map(({ state, ...target }) => ({
    ...target,
    state: { ...state, waitingFor: '', record: recordKey(state.record) },
    outbox: target.outbox.map((effect) => JSON.stringify(effect)).sort(),
  }));
  const { version, late } = world.store;
  const record = [recordKey(world.store.record), recordKey(world.store.before)];
  const { replicas, started, acknowledged, acknowledgedEpoch, left } = world;
  const rest = { replicas, started, acknowledged, acknowledgedEpoch, left };
  return JSON.stringify([version, record, late, targets, rest]);
}

function recordKey(record: VolumeRecord | null): string {
  if (record === null) return '';
  const members = record.replicas.map(({ id, state }) => `${id}${state[0]}`).join('');
  return `${record.epoch}.${record.generation}.${record.targetInstance}.${members}`;
}
