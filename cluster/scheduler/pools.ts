/** What the scheduler is told. */

export interface SchedulerPool {
  readonly id: string;
  readonly name: string;
  readonly isOnline: boolean;
  /** Why it is not online. */
  readonly reason: string;
  /** Which file system it lies on, across all nodes: pools of one group share its room. */
  readonly group: string;
  /** What a new replica may still reserve here, as its own agent sees it. */
  readonly availableBytes: number;
  /** Promised to replicas of this pool and not written yet: agents of other nodes miss it. */
  readonly unwrittenBytes: number;
  /** Promised by placements that no report of the node shows yet. */
  readonly inFlightBytes: number;
}

export interface SchedulerNode {
  readonly name: string;
  /** Empty when it may be used, else why not: `lost: silent for 12 s`. */
  readonly refusal: string;
  readonly zone: string | null;
  readonly pools: readonly SchedulerPool[];
}

export interface PlacementRequest {
  readonly sizeBytes: number;
  readonly replicaCount: number;
  /** Only pools of this name; null: any. */
  readonly poolName: string | null;
  /** Only nodes of these names, and of these zones; empty: any. */
  readonly nodeNames: readonly string[];
  readonly zones: readonly string[];
  /** Taken first, in this order, where they have the room. */
  readonly preferredNodes: readonly string[];
  /** Orders what is equal: the volume's id. */
  readonly seed: string;
}

export interface PlacedReplica {
  readonly node: string;
  readonly poolId: string;
}

export type Placement =
  | { readonly kind: 'placed'; readonly replicas: readonly PlacedReplica[] }
  | {
      /** unplaceable: too few nodes, whatever their room. noSpace: too few with room. */
      readonly kind: 'unplaceable' | 'noSpace';
      /** A sentence for people, without the volume's name. */
      readonly detail: string;
    };

/**
 * Room in a pool for a new replica. An agent knows what was promised on its own pools' file
 * systems, so only what agents of other nodes promised on the same one is taken off.
 */
export function roomBytes(
  node: SchedulerNode,
  pool: SchedulerPool,
  nodes: readonly SchedulerNode[],
): number {
  let room = pool.availableBytes;
  for (const other of nodes) {
    for (const { group, inFlightBytes, unwrittenBytes } of other.pools) {
      if (group !== pool.group) continue;
      room -= inFlightBytes;
      if (other.name !== node.name) room -= unwrittenBytes;
    }
  }
  return Math.max(0, room);
}
