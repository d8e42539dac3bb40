import {
  type PlacementRequest,
  roomBytes,
  type SchedulerNode,
  type SchedulerPool,
} from './pools.ts';
import { type Candidate, tieBreaker } from './score.ts';

/** Pools that could take a replica if they had the room. */
export function usablePools(
  node: SchedulerNode,
  { poolName }: PlacementRequest,
): readonly SchedulerPool[] {
  if (node.refusal !== '') return [];
  return node.pools.filter(
    (pool) => pool.isOnline && (poolName === null || pool.name === poolName),
  );
}

/** Pools with the room for at least one replica. */
export function candidatesOf(
  request: PlacementRequest,
  nodes: readonly SchedulerNode[],
): readonly Candidate[] {
  return nodes.flatMap((node) =>
    usablePools(node, request)
      .map((pool) => ({
        node: node.name,
        poolId: pool.id,
        group: pool.group,
        roomBytes: roomBytes(node, pool, nodes),
        tie: tieBreaker(request.seed, node.name, pool.id),
      }))
      .filter((candidate) => candidate.roomBytes >= request.sizeBytes),
  );
}
