import { candidatesOf, usablePools } from './filter.ts';
import type { PlacedReplica, Placement, PlacementRequest, SchedulerNode } from './pools.ts';
import { noSpace, unplaceable } from './refusal.ts';
import { byScore, type Candidate, roomLeftBytes } from './score.ts';

/**
 * Tries of the search. Only pools that share a file system make it turn back; without them the
 * first try fits or none does.
 */
const STEP_COUNT_MAX = 2_000;

/** Where the replicas go, each on another node, or why they cannot. Pure and deterministic. */
export function place(request: PlacementRequest, nodes: readonly SchedulerNode[]): Placement {
  const usable = nodes.filter((node) => usablePools(node, request).length > 0);
  if (usable.length < request.replicaCount) return unplaceable(request, nodes, usable.length);
  const search = {
    request,
    candidates: candidatesOf(request, nodes),
    stepsLeft: STEP_COUNT_MAX,
  };
  const chosen = choose(search, []);
  if (chosen === null) return noSpace(request, nodes);
  return { kind: 'placed', replicas: chosen.map(placedReplica) };
}

interface Search {
  readonly request: PlacementRequest;
  readonly candidates: readonly Candidate[];
  stepsLeft: number;
}

/** Depth first: the best candidate, then the best of the rest, turning back where it ends. */
function choose(search: Search, chosen: readonly Candidate[]): readonly Candidate[] | null {
  const { request, candidates } = search;
  if (chosen.length === request.replicaCount) return chosen;
  const open = candidates
    .filter(({ node }) => chosen.every((taken) => taken.node !== node))
    .filter((candidate) => roomLeftBytes(candidate, chosen, request) >= request.sizeBytes)
    .toSorted(byScore(chosen, request));
  if (placesAtMost(open, chosen, request) < request.replicaCount - chosen.length) return null;
  for (const next of open) {
    if (search.stepsLeft <= 0) return null;
    search.stepsLeft -= 1;
    const found = choose(search, [...chosen, next]);
    if (found !== null) return found;
  }
  return null;
}

/** An upper bound of how many more replicas fit: so that hopeless branches end at once. */
function placesAtMost(
  open: readonly Candidate[],
  chosen: readonly Candidate[],
  request: PlacementRequest,
): number {
  const groups = new Map<string, { places: number; nodes: Set<string> }>();
  for (const candidate of open) {
    const group = groups.get(candidate.group) ?? { places: 0, nodes: new Set<string>() };
    const places = Math.floor(roomLeftBytes(candidate, chosen, request) / request.sizeBytes);
    group.places = Math.max(group.places, places);
    group.nodes.add(candidate.node);
    groups.set(candidate.group, group);
  }
  let bound = 0;
  for (const { places, nodes } of groups.values()) bound += Math.min(places, nodes.size);
  return Math.min(bound, new Set(open.map(({ node }) => node)).size);
}

function placedReplica({ node, poolId }: Candidate): PlacedReplica {
  return { node, poolId };
}
