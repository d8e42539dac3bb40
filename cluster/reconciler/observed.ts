/**
 * What is known of the nodes: their last heartbeats, and what was done there since. Kept in
 * memory; a heartbeat a second makes it true again after a restart.
 */
import type { Heartbeat, ReplicaReport, TargetReport } from '../../core/api/nodes.ts';
import { HEARTBEAT_LOST_MS } from '../../core/limits.ts';
import type { Clock } from '../../core/platform/clock.ts';

export interface ReplicaSight {
  readonly volumeId: string;
  readonly process: ReplicaReport['process'];
  /** Where it listens. */
  readonly address: string;
  /** Null: started since the last report. */
  readonly report: ReplicaReport | null;
}

export interface TargetSight {
  readonly attachmentToken: string;
  readonly process: TargetReport['process'];
  /** Null: started since the last report. */
  readonly report: TargetReport | null;
}

export interface NodeSight {
  readonly name: string;
  readonly state: 'online' | 'lost';
  readonly silentMs: number;
  /** False: all that is known of it was known before this process started. */
  readonly isHeard: boolean;
  /** Milliseconds since 1970, for people. */
  readonly lastSeenWallMs: number;
  /** Goes up whenever the node comes back, so that nothing waits out a back-off for it. */
  readonly comeback: number;
  readonly heartbeat: Heartbeat;
  /** By replica id. */
  readonly replicas: ReadonlyMap<string, ReplicaSight>;
  /** By volume id. */
  readonly targets: ReadonlyMap<string, TargetSight>;
}

export type Nodes = ReadonlyMap<string, NodeSight>;

interface Known {
  heartbeat: Heartbeat;
  /** Null: not heard since this process started. */
  heardAtMs: number | null;
  heardWallMs: number;
  heartbeatCount: number;
  comeback: number;
  readonly replicaActs: Map<string, Act<ReplicaSight>>;
  readonly targetActs: Map<string, Act<TargetSight>>;
}

/** What an action of ours left there; null: nothing. */
interface Act<Sight> {
  readonly left: Sight | null;
  readonly untilHeartbeatCount: number;
}

/**
 * A report may have been composed before an action ended and arrive after it. An agent sends one
 * heartbeat at a time, so the second one after an action was composed after it.
 */
const HEARTBEATS_UNTIL_TRUE = 2;

export class Observations {
  readonly #clock: Clock;
  readonly #nodes = new Map<string, Known>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What was known before this process started: lost until heard again. */
  restore(heartbeat: Heartbeat, heardWallMs: number): void {
    this.#nodes.set(heartbeat.name, {
      ...unknownNode(heartbeat),
      heardAtMs: null,
      heardWallMs,
    });
  }

  /** @returns true when it tells something that may need an action, not only new figures. */
  heard(heartbeat: Heartbeat): boolean {
    const known = this.#nodes.get(heartbeat.name) ?? unknownNode(heartbeat);
    const wasLost = known.heardAtMs === null || this.#silentMs(known) > HEARTBEAT_LOST_MS;
    const isNews = wasLost || essence(known.heartbeat) !== essence(heartbeat);
    const hasBooted = known.heartbeat.bootId !== heartbeat.bootId;
    if (wasLost || hasBooted) known.comeback += 1;
    if (hasBooted) forgetAll(known);
    known.heartbeat = heartbeat;
    known.heardAtMs = this.#clock.nowMs();
    known.heardWallMs = this.#clock.wallMs();
    known.heartbeatCount += 1;
    forgetOld(known.replicaActs, known.heartbeatCount);
    forgetOld(known.targetActs, known.heartbeatCount);
    this.#nodes.set(heartbeat.name, known);
    return isNews;
  }

  replicaActed(node: string, replicaId: string, left: ReplicaSight | null): void {
    const known = this.#nodes.get(node);
    known?.replicaActs.set(replicaId, { left, untilHeartbeatCount: untilCount(known) });
  }

  targetActed(node: string, volumeId: string, left: TargetSight | null): void {
    const known = this.#nodes.get(node);
    known?.targetActs.set(volumeId, { left, untilHeartbeatCount: untilCount(known) });
  }

  /** Some node known from before has not been heard since this process started. */
  hasUnheard(): boolean {
    return [...this.#nodes.values()].some((known) => known.heardAtMs === null);
  }

  agentAddress(node: string): string | null {
    return this.#nodes.get(node)?.heartbeat.agentAddress ?? null;
  }

  /** In the order of their names. */
  nodes(): Nodes {
    const names = [...this.#nodes.keys()].toSorted();
    return new Map(
      names.flatMap((name) => {
        const known = this.#nodes.get(name);
        return known === undefined ? [] : [[name, this.#sight(name, known)]];
      }),
    );
  }

  #sight(name: string, known: Known): NodeSight {
    const { heartbeat } = known;
    const silentMs = this.#silentMs(known);
    const isOnline = known.heardAtMs !== null && silentMs <= HEARTBEAT_LOST_MS;
    return {
      name,
      state: isOnline ? 'online' : 'lost',
      silentMs,
      isHeard: known.heardAtMs !== null,
      lastSeenWallMs: known.heardWallMs,
      comeback: known.comeback,
      heartbeat,
      replicas: overlaid(heartbeat.replicas.map(replicaSight), known.replicaActs),
      targets: overlaid(heartbeat.targets.map(targetSight), known.targetActs),
    };
  }

  #silentMs(known: Known): number {
    if (known.heardAtMs !== null) return this.#clock.nowMs() - known.heardAtMs;
    return Math.max(0, this.#clock.wallMs() - known.heardWallMs);
  }
}

function unknownNode(heartbeat: Heartbeat): Known {
  return {
    heartbeat,
    heardAtMs: null,
    heardWallMs: 0,
    heartbeatCount: 0,
    comeback: 0,
    replicaActs: new Map(),
    targetActs: new Map(),
  };
}

function untilCount(known: Known): number {
  return known.heartbeatCount + HEARTBEATS_UNTIL_TRUE;
}

/** A machine that booted runs nothing of what was started before. */
function forgetAll(known: Known): void {
  known.replicaActs.clear();
  known.targetActs.clear();
}

function forgetOld<Sight>(acts: Map<string, Act<Sight>>, heartbeatCount: number): void {
  for (const [id, act] of acts) if (act.untilHeartbeatCount <= heartbeatCount) acts.delete(id);
}

function replicaSight(report: ReplicaReport): [string, ReplicaSight] {
  const { replicaId, volumeId, process, address } = report;
  return [replicaId, { volumeId, process, address, report }];
}

function targetSight(report: TargetReport): [string, TargetSight] {
  const { volumeId, attachmentToken, process } = report;
  return [volumeId, { attachmentToken, process, report }];
}

function overlaid<Sight>(
  reported: readonly (readonly [string, Sight])[],
  acts: ReadonlyMap<string, Act<Sight>>,
): ReadonlyMap<string, Sight> {
  const sights = new Map(reported);
  for (const [id, { left }] of acts) {
    if (left === null) sights.delete(id);
    else sights.set(id, left);
  }
  return sights;
}

/** The part of a heartbeat that decides about actions. */
function essence(heartbeat: Heartbeat): string {
  const { agentAddress, bootId, pools, replicas, targets } = heartbeat;
  return JSON.stringify([
    agentAddress,
    bootId,
    pools.map(({ id, state }) => [id, state]),
    replicas.map(({ replicaId, process, address }) => [replicaId, process, address]),
    targets.map(({ volumeId, attachmentToken, process, state, members }) => [
      volumeId,
      attachmentToken,
      process,
      state,
      members.map(({ replicaId, state: memberState }) => [replicaId, memberState]),
    ]),
  ]);
}

/**
 * `silent for 12 s`, for people. What is stored of a node is as old as the last news of it, not as
 * its last heartbeat: right after a start nobody knows for how long it has been silent.
 */
export function silence({ silentMs, isHeard }: NodeSight): string {
  if (!isHeard) return 'unheard since the apiserver started';
  const seconds = Math.round(silentMs / 1_000);
  return seconds < 120 ? `silent for ${seconds} s` : `silent for ${Math.round(seconds / 60)} min`;
}
