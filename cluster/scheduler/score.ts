import type { PlacementRequest } from './pools.ts';

/** A pool with room for a replica. */
export interface Candidate {
  readonly node: string;
  readonly poolId: string;
  readonly group: string;
  readonly roomBytes: number;
  readonly tie: number;
}

/**
 * Room once the replicas chosen so far have taken theirs from the same file system. Reports of
 * one file system differ by their age: the smallest is believed.
 */
export function roomLeftBytes(
  candidate: Candidate,
  chosen: readonly Candidate[],
  { sizeBytes }: PlacementRequest,
): number {
  const taken = chosen.filter(({ group }) => group === candidate.group);
  const rooms = [candidate, ...taken].map((sharer) => sharer.roomBytes);
  return Math.min(...rooms) - taken.length * sizeBytes;
}

/**
 * Preferred nodes first, in their order; then most room; then by hash, then by name, so that the
 * order is total.
 */
export function byScore(chosen: readonly Candidate[], request: PlacementRequest) {
  const rank = ({ node }: Candidate) => {
    const index = request.preferredNodes.indexOf(node);
    return index < 0 ? request.preferredNodes.length : index;
  };
  return (a: Candidate, b: Candidate): number =>
    rank(a) - rank(b) ||
    roomLeftBytes(b, chosen, request) - roomLeftBytes(a, chosen, request) ||
    a.tie - b.tie ||
    (a.node + a.poolId < b.node + b.poolId ? -1 : 1);
}

/** FNV-1a, 32 bits: spreads equal candidates by the volume, the same way every time. */
export function tieBreaker(...parts: readonly string[]): number {
  let hash = 0x811c9dc5;
  for (const character of parts.join('\0')) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
  }
  return hash >>> 0;
}
