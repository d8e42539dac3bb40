/** Where a class lets its volumes be, and where the first consumer of one will run. */
import { apiError } from '../../core/api/index.ts';
import { CSI_DRIVER, TOPOLOGY_NODE, TOPOLOGY_ZONE } from './names.ts';
import type { CsiNode, TopologyTerm } from './objects.ts';

export interface NodePlace {
  readonly name: string;
  readonly zone: string | null;
}

/** Restricts a volume's replicas; empty: no restriction. */
export type Placement = { readonly nodes?: readonly string[]; readonly zones?: readonly string[] };

/**
 * One term of `allowedTopologies` must hold, with all its keys. Only zones: the volume stays within
 * them, with whatever nodes they will have. Otherwise the nodes that the cluster has now count.
 * @throws ApiError badRequest or unplaceable.
 */
export function placementOf(
  terms: readonly TopologyTerm[],
  nodes: readonly NodePlace[],
): Placement {
  if (terms.length === 0) return {};
  const parsed = terms.map(parseTerm);
  if (parsed.every((term) => term.nodes === null)) {
    const zones = parsed.flatMap((term) => term.zones ?? []);
    return parsed.some((term) => term.zones === null) ? {} : { zones: [...new Set(zones)] };
  }
  const allowed = nodes.filter((node) => parsed.some((term) => isWithin(node, term)));
  if (allowed.length > 0) return { nodes: allowed.map(({ name }) => name) };
  const known = nodes.map(({ name, zone }) => (zone === null ? name : `${name} (zone ${zone})`));
  throw apiError(
    'unplaceable',
    `no node of OpenEBS is within allowedTopologies; there are: ${known.join(', ') || 'none'}`,
  );
}

/** Null: any. */
type Term = { readonly nodes: readonly string[] | null; readonly zones: readonly string[] | null };

function parseTerm({ matchLabelExpressions = [] }: TopologyTerm): Term {
  let term: Term = { nodes: null, zones: null };
  for (const { key, values } of matchLabelExpressions) {
    if (key === TOPOLOGY_NODE) term = { ...term, nodes: both(term.nodes, values) };
    else if (key === TOPOLOGY_ZONE) term = { ...term, zones: both(term.zones, values) };
    else {
      const detail = `key ${JSON.stringify(key.slice(0, 64))} of allowedTopologies is unknown`;
      throw apiError('badRequest', `${detail}; valid keys: ${TOPOLOGY_NODE}, ${TOPOLOGY_ZONE}`);
    }
  }
  return term;
}

function both(one: readonly string[] | null, other: readonly string[]): readonly string[] {
  return one === null ? other : one.filter((value) => other.includes(value));
}

function isWithin({ name, zone }: NodePlace, term: Term): boolean {
  const nodeFits = term.nodes === null || term.nodes.includes(name);
  return nodeFits && (term.zones === null || (zone !== null && term.zones.includes(zone)));
}

/** What OpenEBS calls a node of Kubernetes; null where our driver does not run (yet). */
export function openebsNodeOf(node: CsiNode | null): string | null {
  const drivers = node?.spec?.drivers ?? [];
  return drivers.find(({ name }) => name === CSI_DRIVER)?.nodeID ?? null;
}
