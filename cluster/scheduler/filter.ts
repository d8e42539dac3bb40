import {
  type PlacementRequest,
  roomBytes,
  type SchedulerNode,
  type SchedulerPool,
} from './pools.ts';
import { type Candidate, tieBreaker } from './score.ts';

/** Whether the request lets a replica lie there at all. */
export function isWanted(node: SchedulerNode, { nodeNames, zones }: PlacementRequest): boolean {
  if (nodeNames.length > 0 && !nodeNames.includes(node.name)) return false;
  return zones.length === 0 || (node.zone !== null && zones.includes(node.zone));
}

/** Pools that could take a replica if they had the room. */
export function usablePools(
  node: SchedulerNode,
  request: PlacementRequest,
): readonly SchedulerPool[] {
  const { poolName } = request;
  if (node.refusal !== '' || !isWanted(node, request)) return [];
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
