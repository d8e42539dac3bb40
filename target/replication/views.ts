/** Questions about the state, asked by the machine, the data path and the checkers. */
import { inSyncIds } from '../../core/volume/record.ts';
import type { MemberView, State } from './state.ts';

export function memberOf(state: State, id: string): MemberView | null {
  return state.members.find((member) => member.id === id) ?? null;
}

export function isInSync(state: State, id: string): boolean {
  return state.record !== null && inSyncIds(state.record).includes(id);
}

/**
 * R3: every state-changing GOOD needs all of these: the last known set, every set proposed since,
 * joining members from their checksum barrier on, and removed ones until the removal is durable
 * in every remaining copy.
 */
export function bindingIds(state: State): readonly string[] {
  if (state.record === null) return [];
  const ids = new Set(inSyncIds(state.record));
  for (const proposal of state.proposals) for (const id of proposal.inSync) ids.add(id);
  for (const member of state.members) if (member.joining !== 'no') ids.add(member.id);
  for (const { id } of state.freeing) ids.add(id);
  return [...ids].sort();
}

/**
 * R13: members that may answer a read: committed, promised, and not about to be removed. The record
 * may already be without whom a proposal under way leaves out.
 */
export function readableIds(state: State): readonly string[] {
  return answeringIds(state).filter((id) =>
    state.proposals.every((proposal) => proposal.inSync.includes(id)),
  );
}

/**
 * Where all have missed a deadline none can be removed, and a late answer is as good as any. Who
 * failed a flush may read as it was before the writes that its kernel forgot (R14): only where all
 * have.
 */
function answeringIds(state: State): readonly string[] {
  const inSync = state.members.filter((member) => isInSync(state, member.id));
  const allMissed = inSync.every((member) => member.missed !== null);
  const answering = inSync.filter(
    (member) =>
      member.link === 'promised' &&
      (member.missed === null || allMissed) &&
      !member.diverged &&
      !member.lostCache,
  );
  const intact = answering.filter((member) => member.facts?.failed !== true);
  return (intact.length > 0 ? intact : answering).map((member) => member.id);
}

/**
 * R16: who must be made equal, the source first. Null while an in-sync member cannot be reached:
 * it would come back unequal, so it must be back or removed before anything is called equal.
 */
export function equalisableIds(state: State): readonly string[] | null {
  const answering = answeringIds(state);
  const inSync = state.members.filter((member) => isInSync(state, member.id));
  if (answering.length === 0 || answering.length < inSync.length) return null;
  return [...new Set([...readableIds(state), ...answering])];
}

/** R17: a member that may carry the volume on when others are removed. */
export function isKeeper(state: State, member: MemberView): boolean {
  return (
    isInSync(state, member.id) &&
    member.link === 'promised' &&
    member.missed === null &&
    member.answeredSince &&
    !member.lostCache &&
    member.facts !== null &&
    !member.facts.failed
  );
}

/** The data path may take commands. */
export function isServing(state: State): boolean {
  return state.phase.kind === 'serving' || state.phase.kind === 'releasing';
}
