/** Why a volume cannot be placed, node by node. */
import { formatBytes } from '../../core/units.ts';
import { isWanted, usablePools } from './filter.ts';
import { type Placement, type PlacementRequest, roomBytes, type SchedulerNode } from './pools.ts';

/** A sentence stays a sentence in a cluster of a thousand nodes. */
const NAMED_NODE_COUNT_MAX = 10;

export function unplaceable(
  request: PlacementRequest,
  nodes: readonly SchedulerNode[],
  usableCount: number,
): Placement {
  const needed = `${replicas(request)}, each on its own node`;
  if (nodes.length === 0) {
    return { kind: 'unplaceable', detail: `${needed}, but there are no nodes: start an agent` };
  }
  const refusals = nodes
    .map((node) => ({ node, why: nodeRefusal(node, request) }))
    .filter(({ why }) => why !== '')
    .map(({ node, why }) => `${node.name} ${why}`);
  const because = refusals.length === 0 ? '' : `: ${listed(refusals)}`;
  const usable = `${usableCount} of ${nodes.length} ${be(nodes.length)} usable${because}`;
  const way = usableCount === 0 ? '' : `; ask for ${usableCount} at most, or add nodes`;
  return { kind: 'unplaceable', detail: `${needed}, but ${usable}${way}` };
}

export function noSpace(request: PlacementRequest, nodes: readonly SchedulerNode[]): Placement {
  const rooms = nodes.flatMap((node) => {
    const pools = usablePools(node, request);
    if (pools.length === 0) return [];
    const room = Math.max(...pools.map((pool) => roomBytes(node, pool, nodes)));
    return [`${node.name} has ${formatBytes(room)}`];
  });
  const shared = sharesFileSystem(request, nodes) ? ' (some of them on the same file system)' : '';
  return {
    kind: 'noSpace',
    detail:
      `${replicas(request)} of ${formatBytes(request.sizeBytes)}, each on its own node, ` +
      `but ${listed(rooms)} free${shared}`,
  };
}

function nodeRefusal(node: SchedulerNode, request: PlacementRequest): string {
  if (usablePools(node, request).length > 0) return '';
  if (!isWanted(node, request)) return 'is not among the nodes and zones asked for';
  if (node.refusal !== '') return node.refusal;
  const named = node.pools.filter(
    ({ name }) => request.poolName === null || name === request.poolName,
  );
  const failed = named.find((pool) => !pool.isOnline);
  if (failed !== undefined) return `has a failed pool (${failed.reason})`;
  return request.poolName === null ? 'has no pool' : `has no pool named "${request.poolName}"`;
}

function sharesFileSystem(request: PlacementRequest, nodes: readonly SchedulerNode[]): boolean {
  const groups = nodes.flatMap((node) => [
    ...new Set(usablePools(node, request).map((pool) => pool.group)),
  ]);
  return new Set(groups).size < groups.length;
}

function replicas({ replicaCount }: PlacementRequest): string {
  return replicaCount === 1 ? 'it needs 1 replica' : `it needs ${replicaCount} replicas`;
}

function be(nodeCount: number): string {
  return nodeCount === 1 ? 'node is' : 'nodes are';
}

function listed(parts: readonly string[]): string {
  const moreCount = parts.length - NAMED_NODE_COUNT_MAX;
  const named = parts.slice(0, NAMED_NODE_COUNT_MAX).join(', ');
  return moreCount > 0 ? `${named} and ${moreCount} more` : named;
}
