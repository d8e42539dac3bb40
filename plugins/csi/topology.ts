/**
 * Where a volume's replicas go first. A volume of ours is reachable from every node, so a topology
 * is a wish for nearness and never a limit: an answer has no accessible_topology. Who wants a limit
 * gives the parameters `nodes` and `zones`.
 */
import type { NodeView } from '../../core/api/index.ts';
import { invalid, shown } from './fields.ts';
import { grpcError } from './grpc/grpc-error.ts';
import type { CreateVolumeRequest, Topology } from './messages.ts';

export const NODE_SEGMENT = 'topology.openebs.io/node';
export const ZONE_SEGMENT = 'topology.openebs.io/zone';
/** "Each string MUST be 63 characters or less"; a node's name may have more. */
const SEGMENT_CHARACTERS_MAX = 63;
const PREFERRED_MAX = 64;

type PlacedNode = Pick<NodeView, 'name' | 'zone'>;

/** Of one node; null when nothing of it can be said in a topology. */
export function topologyOf({ name, zone }: PlacedNode): Topology | null {
  const segments = [
    [NODE_SEGMENT, name],
    [ZONE_SEGMENT, zone ?? ''],
  ].filter(([, value = '']) => value !== '' && value.length <= SEGMENT_CHARACTERS_MAX);
  return segments.length === 0 ? null : { segments: Object.fromEntries(segments) };
}

/**
 * The nodes of the preferred topologies in order, then those of the requisite ones.
 * @throws GrpcError RESOURCE_EXHAUSTED when no requisite topology has a node that is known.
 */
export function preferredNodesOf(
  requirement: CreateVolumeRequest['accessibilityRequirements'],
  nodes: readonly PlacedNode[],
): readonly string[] {
  const { requisite = [], preferred = [] } = requirement ?? {};
  const required = requisite.flatMap((topology) => nodesIn(topology, nodes));
  if (requisite.length > 0 && required.length === 0) {
    const wanted = requisite.map(({ segments }) => JSON.stringify(segments)).join(' or ');
    throw grpcError(
      'RESOURCE_EXHAUSTED',
      `accessibility_requirements.requisite: there is no node in ${wanted.slice(0, 1_024)}`,
    );
  }
  const names = [...preferred.flatMap((topology) => nodesIn(topology, nodes)), ...required];
  return [...new Set(names)].slice(0, PREFERRED_MAX);
}

/** @throws GrpcError INVALID_ARGUMENT for a topology that is not ours. */
export function nodesIn({ segments }: Topology, nodes: readonly PlacedNode[]): readonly string[] {
  const unknown = Object.keys(segments).find((key) => key !== NODE_SEGMENT && key !== ZONE_SEGMENT);
  if (unknown !== undefined || Object.keys(segments).length === 0) {
    const what = unknown === undefined ? 'has no segment' : `has the segment ${shown(unknown)}`;
    throw invalid(`a topology ${what}; valid segments: ${NODE_SEGMENT}, ${ZONE_SEGMENT}`);
  }
  const { [NODE_SEGMENT]: node, [ZONE_SEGMENT]: zone } = segments;
  return nodes
    .filter(({ name }) => node === undefined || name === node)
    .filter((found) => zone === undefined || found.zone === zone)
    .map(({ name }) => name);
}
