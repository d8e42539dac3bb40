/**
 * The membership machine: which target may serve, which replicas count (replication R1–R11, R15,
 * R17, R24). Pure: one event in, the new state and what is to be done out. `on*` functions note
 * what was heard; `advance` (advance.ts) then decides what is due. Nothing here measures time:
 * deadlines come in as events.
 */
import { unreachable } from '../../core/assert.ts';
import { inSyncIds, type VolumeRecord } from '../../core/volume/record.ts';
import { advance } from './advance.ts';
import type { Break, Event, MemberFacts, MemberView, State, Step, StopReason } from './state.ts';
import { isInSync, memberOf } from './views.ts';

export interface MembershipOptions {
  readonly instance: string;
  readonly attachmentToken: string;
  readonly knownDead: readonly string[];
}

export function initialState(options: MembershipOptions): State {
  return {
    ...options,
    phase: { kind: 'reading' },
    version: 0,
    record: null,
    members: [],
    proposals: [],
    storeBusy: false,
    freeing: [],
    stragglersOver: false,
    clean: false,
    lossAccepted: false,
    skipLeaseWait: false,
    priorTarget: null,
    claimedGeneration: 0,
    strangersLeft: false,
    doubt: null,
    sparedCount: 0,
    releaseAsked: false,
    waitingFor: '',
  };
}

const NO_BREAKS: ReadonlySet<Break> = new Set();

/** @param breaks rules to switch off; only the simulator's own tests give any. */
export function step(state: State, event: Event, breaks: ReadonlySet<Break> = NO_BREAKS): Step {
  if (state.phase.kind === 'stopped') return { state, effects: [] };
  const next = advance(hear(state, event, breaks), breaks);
  const storeAway = event.kind === 'readFailed' || event.kind === 'swapUnknown';
  if (!storeAway) return next;
  return { state: next.state, effects: [...next.effects, { kind: 'retryStore' }] };
}

function hear(state: State, event: Event, breaks: ReadonlySet<Break>): State {
  switch (event.kind) {
    case 'start':
      return state;
    case 'storeRetry':
      return storeFree(state);
    case 'recordRead':
      return onRecordRead(storeFree(state), event.version, event.record, breaks);
    case 'readFailed':
      return { ...state, waitingFor: `the store: ${event.detail}` };
    case 'swapCommitted':
      return onCommitted(storeFree(state), event.version, event.record, breaks);
    case 'swapConflict':
      return onRecordRead(storeFree(state), event.version, event.record, breaks);
    case 'swapUnknown':
      return onSwapUnknown(state, event.detail, breaks);
    case 'inspected':
      return onInspected(state, event.member, event.facts, breaks);
    case 'refused':
      return onRefused(state, event.member, event);
    case 'away':
      return patch(state, event.member, { link: 'away', copySent: 0 });
    case 'stragglersOver':
      return { ...state, stragglersOver: true };
    case 'promised':
      return onPromised(state, event.member, event);
    case 'promiseRefused':
      return onPromiseRefused(state, event.member, event);
    case 'copyStored':
      return onCopyStored(state, event.member, event.generation);
    case 'copyFailed':
      return patch(state, event.member, { copySent: 0 });
    case 'equalised':
      return state.phase.kind === 'equalising' ? { ...state, phase: { kind: 'serving' } } : state;
    case 'missed':
      return onMissed(state, event.member, event.detail, event.lostCache);
    case 'failed':
      return onFailed(state, event.member, event.detail);
    case 'flushFailed':
      return onFlushFailed(state, event.member);
    case 'answered':
      return onAnswered(state, event.member);
    case 'bound':
      return patch(state, event.member, { joining: 'bound' });
    case 'verified':
      return patch(state, event.member, { joining: 'ready' });
    case 'joinDropped':
      return patch(state, event.member, { joining: 'no', answeredSince: false });
    case 'releaseAsked':
      return { ...state, releaseAsked: true };
    case 'drained':
      return state.releaseAsked ? { ...state, phase: { kind: 'releasing' } } : state;
    default:
      return unreachable(event);
  }
}

/**
 * The store can take a swap again. A keeper that answered before it could may be gone by now: it
 * must answer once more before a removal is proposed (R17).
 */
function storeFree(state: State): State {
  const free = { ...state, storeBusy: false };
  if (!state.members.some((member) => member.missed !== null)) return free;
  const members = state.members.map((member) => ({ ...member, answeredSince: false }));
  return { ...free, members };
}

export function patch(state: State, id: string, change: Partial<MemberView>): State {
  const members = state.members.map((member) =>
    member.id === id ? { ...member, ...change } : member,
  );
  return { ...state, members };
}

export function stop(state: State, why: StopReason): State {
  return { ...state, phase: { kind: 'stopped', why } };
}

function freshMember(id: string): MemberView {
  return {
    id,
    link: 'away',
    facts: null,
    lostCache: false,
    missed: null,
    diverged: false,
    answeredSince: false,
    copyGeneration: 0,
    copySent: 0,
    joining: 'no',
  };
}

/** The record as the store has it now, by a read or because a swap found another version. */
function onRecordRead(
  state: State,
  version: number,
  record: VolumeRecord,
  breaks: ReadonlySet<Break>,
): State {
  const ours = record.attachment?.token === state.attachmentToken;
  if (!ours && !breaks.has('R4-any-attachment')) {
    const detail =
      record.attachment === null
        ? `volume ${record.volumeId} is not attached any more`
        : `volume ${record.volumeId} is attached anew on node ${record.attachment.node}`;
    return stop(state, { code: 'attachmentGone', detail });
  }
  if (version < state.version) {
    const detail = `the store was rolled back: version ${version} after ${state.version}`;
    return stop(state, { code: 'evidence', detail });
  }
  const owned = record.targetInstance === state.instance;
  if (wasClaimed(state) && !owned) {
    return stop(state, supersededBy(record));
  }
  if (!owned && state.record !== null && record.epoch > state.record.epoch) {
    // Of two that start together one loses and exits (R2).
    return stop(state, supersededBy(record));
  }
  const evidence = breaks.has('R5-ignore-copies') ? null : newerEvidence(state, record);
  if (evidence !== null && evidence === state.doubt) {
    const detail = `the store was rolled back: ${evidence}; run mayactl admin recover`;
    return stop(state, { code: 'evidence', detail });
  }
  // Evidence that came while the record was read proves nothing: the record is read once more.
  return adopt({ ...state, doubt: evidence }, version, record, breaks);
}

/**
 * One sentence when a replica has a newer copy or promise than `record`; else null. Once the
 * record is ours, what others left on a replica must be older than what we claimed it from: our
 * own claim and swaps count generations up as well, and would hide it.
 */
export function newerEvidence(state: State, record: VolumeRecord): string | null {
  const owned = record.targetInstance === state.instance;
  const epochMax = owned ? record.epoch - 1 : record.epoch;
  for (const { id, facts } of state.members) {
    if (facts === null) continue;
    const { promise, copy } = facts;
    if (promise.instance !== state.instance && promise.epoch > epochMax) {
      return (
        `replica ${id} has promised epoch ${promise.epoch} to another target, ` +
        `but the store's record is at epoch ${record.epoch}`
      );
    }
    if (copy === null) continue;
    const own = owned && copy.epoch === record.epoch;
    const generationMax = owned && !own ? state.claimedGeneration : record.generation;
    if (copy.epoch > record.epoch || copy.generation > generationMax) {
      return (
        `replica ${id} has a copy of the record at generation ${copy.generation}, ` +
        `but the store's record was at generation ${generationMax}`
      );
    }
  }
  return null;
}

function wasClaimed(state: State): boolean {
  return state.record !== null && state.record.targetInstance === state.instance;
}

function supersededBy(record: VolumeRecord): StopReason {
  return {
    code: 'superseded',
    detail: `target ${record.targetInstance ?? '?'} has the record at epoch ${record.epoch}`,
  };
}

/** A newer committed record: what it decides is settled, older proposals cannot land any more. */
function adopt(
  state: State,
  version: number,
  record: VolumeRecord,
  breaks: ReadonlySet<Break>,
): State {
  const before = state.record === null ? [] : inSyncIds(state.record);
  const after = inSyncIds(record);
  const removed = before.filter((id) => !after.includes(id));
  const members = record.replicas.map((replica) => {
    const known = memberOf(state, replica.id) ?? freshMember(replica.id);
    const joined = !before.includes(replica.id) && after.includes(replica.id);
    // What a flush of its former layers failed with went with them (R14, R23).
    const facts = known.facts === null ? null : { ...known.facts, failed: false };
    if (joined) return { ...known, facts, lostCache: false, joining: 'no' as const };
    const gaveUp = known.joining !== 'no' && known.missed !== null && version > state.version;
    const wiped = { ...known, missed: null, diverged: false };
    if (gaveUp) return { ...wiped, joining: 'no' as const };
    if (!removed.includes(replica.id)) return known;
    return { ...wiped, lostCache: false, copyGeneration: 0, copySent: 0 };
  });
  const freeing = breaks.has('R3-free-at-once')
    ? []
    : [
        ...state.freeing.filter(({ id }) => !after.includes(id)),
        ...removed.map((id) => ({ id, generation: record.generation })),
      ];
  const settled = version > state.version || breaks.has('R1-unknown-swap-settles');
  const proposals = settled ? [] : state.proposals;
  return settleFreeing({ ...state, version, record, members, freeing, proposals });
}

function onCommitted(
  state: State,
  version: number,
  record: VolumeRecord,
  breaks: ReadonlySet<Break>,
): State {
  const next = adopt(state, version, record, breaks);
  if (record.releasedBy === state.instance) return stop(next, { code: 'released' });
  return next;
}

function onSwapUnknown(state: State, detail: string, breaks: ReadonlySet<Break>): State {
  const proposals = breaks.has('R1-unknown-swap-settles') ? [] : state.proposals;
  return { ...state, proposals, waitingFor: `the store: ${detail}` };
}

function onInspected(
  state: State,
  id: string,
  facts: MemberFacts,
  breaks: ReadonlySet<Break>,
): State {
  const member = memberOf(state, id);
  if (member === null) return state;
  const copyGeneration = Math.max(facts.copy?.generation ?? 0, member.copyGeneration);
  const mine = facts.promise.instance === state.instance;
  // The promise names the boot under which it was last counted in; we may have seen a later one,
  // and what it lost by that is known already.
  const seen = member.facts?.cache === facts.cache;
  const kept = seen || facts.promise.cache === facts.cache || breaks.has('R15-resume-after-reboot');
  const link = mine && kept ? 'promised' : 'inspected';
  // A copy may have been stored though its answer was lost.
  const heard = settleFreeing(patch(state, id, { facts, link, copyGeneration, copySent: 0 }));
  if (!wasClaimed(state)) return heard;
  // Before anything is served its promise, made again, tells what it lost. One that joins counts
  // as well: its admission may be on its way to the store (R24).
  if (mine && !kept && state.phase.kind !== 'promising') {
    return onMissed(heard, id, 'it came back without its cache', true);
  }
  if (!isInSync(state, id)) return heard;
  // R6: its folder is an older one, brought back from somewhere.
  const promised = member.facts?.promise.instance === state.instance;
  const older = promised && facts.promise.epoch < (member.facts?.promise.epoch ?? 0);
  if (older) return onMissed(heard, id, 'it has forgotten its promise: a restored backup?', true);
  if (facts.failed) return onMissed(heard, id, 'its medium failed a flush', false);
  return heard;
}

function onPromised(
  state: State,
  id: string,
  made: Pick<MemberFacts, 'promise' | 'previous' | 'copy'>,
): State {
  const member = memberOf(state, id);
  if (member === null || member.facts === null) return state;
  const { promise, previous, copy } = made;
  const facts = { ...member.facts, promise, previous, copy };
  // A straggler that comes before anything was served, and before it was removed, is none.
  const missed = state.phase.kind === 'promising' ? null : member.missed;
  return patch(state, id, { facts, link: 'promised', missed, answeredSince: true });
}

function onRefused(
  state: State,
  id: string,
  refusal: { readonly evidence: boolean; readonly detail: string },
): State {
  if (refusal.evidence) {
    return stop(state, { code: 'evidence', detail: `replica ${id}: ${refusal.detail}` });
  }
  const away = patch(state, id, { link: 'away', copySent: 0 });
  if (!isInSync(away, id) || !wasClaimed(state)) return away;
  return onMissed(away, id, refusal.detail, false);
}

/** A higher epoch is promised: the record, read again, tells whose (or that it was rolled back). */
function onPromiseRefused(
  state: State,
  id: string,
  promise: { readonly epoch: number; readonly instance: string },
): State {
  const member = memberOf(state, id);
  if (member === null || member.facts === null) return state;
  const { epoch, instance } = promise;
  const facts = { ...member.facts, promise: { ...member.facts.promise, epoch, instance } };
  return patch(state, id, { facts });
}

function onCopyStored(state: State, id: string, generation: number): State {
  const member = memberOf(state, id);
  if (member === null) return state;
  const copyGeneration = Math.max(generation, member.copyGeneration);
  return settleFreeing(patch(state, id, { copyGeneration }));
}

/** R3: a removal frees once every remaining member's copy has it durably. */
function settleFreeing(state: State): State {
  if (state.freeing.length === 0 || state.record === null) return state;
  const remaining = state.members.filter((member) => isInSync(state, member.id));
  const freeing = state.freeing.filter(({ generation }) =>
    remaining.some((member) => member.copyGeneration < generation),
  );
  return { ...state, freeing };
}

function onMissed(state: State, id: string, detail: string, lostCache: boolean): State {
  const member = memberOf(state, id);
  if (member === null) return state;
  if (!isInSync(state, id) && !isProposed(state, id)) {
    // Whoever is removed, and only waits to be freed (R3), cannot be removed again.
    return member.joining === 'no' ? state : patch(state, id, { joining: 'no' });
  }
  if (member.missed !== null) {
    return spareTheLast(patch(state, id, { lostCache: member.lostCache || lostCache }));
  }
  // Whoever is to carry on must answer after this (R17).
  const members = state.members.map((other) =>
    other.id === id
      ? { ...other, missed: detail, lostCache: other.lostCache || lostCache }
      : { ...other, answeredSince: false },
  );
  return spareTheLast({ ...state, members });
}

function onFailed(state: State, id: string, detail: string): State {
  const member = memberOf(state, id);
  if (member === null || !isInSync(state, id)) return onMissed(state, id, detail, false);
  return spareTheLast(patch(onMissed(state, id, detail, false), id, { diverged: true }));
}

function onFlushFailed(state: State, id: string): State {
  const facts = memberOf(state, id)?.facts ?? null;
  return facts === null ? state : patch(state, id, { facts: { ...facts, failed: true } });
}

/**
 * What a diverged member has not done was never answered GOOD: it still has all that was. So it is
 * as good as any other when the ones that are left have lost their caches.
 */
function spareTheLast(state: State): State {
  const inSync = state.members.filter((member) => isInSync(state, member.id));
  if (inSync.some((member) => !member.diverged && !member.lostCache)) return state;
  const isSpared = (member: MemberView) => member.diverged && !member.lostCache;
  if (!state.members.some(isSpared)) return state;
  const members = state.members.map((member) =>
    isSpared(member) ? { ...member, diverged: false, missed: null } : member,
  );
  return { ...state, members, sparedCount: state.sparedCount + 1 };
}

/**
 * Nobody in sync had answered in time, and now one does: it was this target that was cut off. All
 * get another chance; whoever still does not answer is missed again at once.
 */
function onAnswered(state: State, id: string): State {
  const answered = patch(state, id, { answeredSince: true });
  const inSync = answered.members.filter((member) => isInSync(state, member.id));
  if (!inSync.some((member) => member.id === id)) return answered;
  if (inSync.some((member) => member.missed === null)) return answered;
  const members = answered.members.map((member) =>
    member.diverged || member.lostCache ? member : { ...member, missed: null },
  );
  return { ...answered, members };
}

export function isProposed(state: State, id: string): boolean {
  return state.proposals.some((proposal) => proposal.inSync.includes(id));
}
