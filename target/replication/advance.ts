/** What is due in a state: the second half of the membership machine (see membership.ts). */
import { assert, unreachable } from '../../core/assert.ts';
import { inSyncIds, type VolumeRecord, withMemberState } from '../../core/volume/record.ts';
import { isProposed, newerEvidence, patch, stop } from './membership.ts';
import type { Break, Effect, MemberView, State, Step } from './state.ts';
import { bindingIds, isInSync, isKeeper } from './views.ts';

type Breaks = ReadonlySet<Break>;

const CACHES_LOST =
  'all replicas lost power while writes may not have been flushed: detach and attach anew';

export function advance(state: State, breaks: Breaks): Step {
  const checked = breaks.has('R5-ignore-copies') ? state : checkEvidence(state);
  switch (checked.phase.kind) {
    case 'reading':
      return whenReading(checked);
    case 'inspecting':
      return whenInspecting(checked, breaks);
    case 'claiming':
      return whenClaiming(checked, breaks);
    case 'promising':
      return whenPromising(checked, breaks);
    case 'equalising':
    case 'serving':
    case 'releasing':
    case 'cachesLost':
      return whenOwning(checked, breaks);
    case 'stopped':
      return { state: checked, effects: [{ kind: 'stop', why: checked.phase.why }] };
    default:
      return unreachable(checked.phase);
  }
}

/** R5: evidence that the store is behind a replica; the record, read after it, confirms it. */
function checkEvidence(state: State): State {
  const over = state.phase.kind === 'stopped';
  if (over || state.record === null || state.storeBusy || state.doubt !== null) return state;
  return { ...state, doubt: newerEvidence(state, state.record) };
}

function then(state: State, ...effects: Effect[]): Step {
  return { state, effects };
}

function readAgain(state: State, ...effects: Effect[]): Step {
  if (state.storeBusy) return then(state, ...effects);
  return then({ ...state, storeBusy: true }, ...effects, { kind: 'readRecord' });
}

function whenReading(state: State): Step {
  if (state.record === null) return readAgain(state);
  const next: State = {
    ...state,
    phase: { kind: 'inspecting' },
    waitingFor: 'replicas to answer',
  };
  return then(
    next,
    { kind: 'connect', members: state.members.map((member) => member.id) },
    { kind: 'startStragglers' },
  );
}

function inSyncMembers(state: State): readonly MemberView[] {
  return state.members.filter((member) => isInSync(state, member.id));
}

/** Claims once every in-sync member said hello, or the stragglers have had their time (R5, R10). */
function whenInspecting(state: State, breaks: Breaks): Step {
  if (state.releaseAsked) return halt(state);
  if (state.doubt !== null) return readAgain(state);
  const members = inSyncMembers(state);
  const heard = members.filter((member) => member.link !== 'away');
  if (heard.length < members.length && (!state.stragglersOver || heard.length === 0)) {
    return then(state);
  }
  return claim(state, breaks);
}

/** Stopped before anything was claimed or while nothing was served: nothing to release. */
function halt(state: State): Step {
  const why = { code: 'released' } as const;
  return then(stop(state, why), { kind: 'stop', why });
}

function claim(state: State, breaks: Breaks): Step {
  const record = state.record;
  assert(record !== null, 'a target claims a record that it has read');
  const next: VolumeRecord = {
    ...record,
    epoch: breaks.has('R2-same-epoch') ? Math.max(record.epoch, 1) : record.epoch + 1,
    generation: record.generation + 1,
    targetInstance: state.instance,
  };
  const claiming: State = {
    ...state,
    phase: { kind: 'claiming' },
    storeBusy: true,
    priorTarget: record.targetInstance,
    claimedGeneration: record.generation,
  };
  return then(
    { ...claiming, waitingFor: 'the store to take the new epoch' },
    {
      kind: 'swap',
      version: state.version,
      next,
    },
  );
}

/**
 * Who lost a cache that mattered (R15), whether the last target left everything flushed (R16), and
 * whether anybody may still hold a lease (R11): judged by the promises that ours replaced, for
 * anything seen before our promise may be out of date.
 *
 * A target writes only with promises from every in-sync member. So the instance with the lowest
 * replaced promise is the last that can have written: a higher one lacked that member's promise.
 */
function judge(state: State, breaks: Breaks): State {
  const { record } = state;
  assert(record !== null, 'judged under a claimed record');
  const promised = inSyncMembers(state).filter((member) => member.link === 'promised');
  const replaced = promised.flatMap((member) => (member.facts === null ? [] : [member.facts]));
  const [first, ...rest] = replaced.map((facts) => facts.previous);
  if (first === undefined) return state;
  const lowest = rest.reduce((low, next) => (next.epoch < low.epoch ? next : low), first);
  const never = lowest.epoch === 0;
  const clean = never || lowest.instance === record.releasedBy;
  const gone = (instance: string) =>
    instance === '' || state.knownDead.includes(instance) || instance === record.releasedBy;
  const skipLeaseWait =
    never ||
    (!state.strangersLeft &&
      gone(state.priorTarget ?? '') &&
      replaced.every(({ previous }) => gone(previous.instance)));
  const members = state.members.map((member) => {
    const asked = isInSync(state, member.id) && member.link === 'promised';
    if (member.missed !== null || !asked || member.facts === null) return member;
    const { previous, cache } = member.facts;
    const resumes = breaks.has('R15-resume-after-reboot');
    const kept = previous.epoch === 0 || previous.cache === cache || resumes;
    const lostCache = !clean && !kept && !state.lossAccepted;
    return { ...member, lostCache };
  });
  return { ...state, members, clean, skipLeaseWait };
}

/** The claim's answer was adopted by `hear`, or is unknown: then the record is read again. */
function whenClaiming(state: State, breaks: Breaks): Step {
  if (state.storeBusy || state.record === null) return then(state);
  if (state.doubt !== null) return readAgain(state);
  if (state.record.targetInstance !== state.instance) {
    // Unknown outcome or a conflict with the agent: the record as read decides.
    return claim(state, breaks);
  }
  const promising: State = { ...state, phase: { kind: 'promising' } };
  return whenPromising(promising, breaks);
}

function whenPromising(state: State, breaks: Breaks): Step {
  const [next, effects] = keepUp(judge(state, breaks), breaks);
  if (next.phase.kind === 'stopped') return then(next, ...effects);
  if (next.releaseAsked) return halt(next);
  const members = inSyncMembers(next);
  const present = members.filter((member) => member.link === 'promised');
  const enough = breaks.has('R10-any-promise') ? 1 : members.length;
  if (present.length < enough) {
    return then({ ...next, waitingFor: promisesMissing(members) }, ...effects);
  }
  if (members.every((member) => member.lostCache)) return allLostCaches(next, effects, breaks);
  const record = next.record;
  assert(record !== null, 'the record was claimed');
  const copied = present.every((member) => member.copyGeneration >= record.generation);
  if (!copied || bindingIds(next).length > members.length) {
    return then({ ...next, waitingFor: 'replicas to store the record' }, ...effects);
  }
  return startEqualising(next, effects, breaks);
}

function promisesMissing(members: readonly MemberView[]): string {
  const missing = members.filter((member) => member.link !== 'promised');
  return `replicas in sync to answer: ${missing.map((member) => member.id).join(', ')}`;
}

/**
 * R15: everybody who holds acknowledged writes lost power. Under the attachment that made those
 * writes the loss must be seen; under a new one the flushed data is what there is.
 */
function allLostCaches(state: State, effects: readonly Effect[], breaks: Breaks): Step {
  const newest = state.members
    .flatMap((member) => {
      const copy = member.facts?.copy ?? null;
      return copy === null ? [] : [copy];
    })
    .reduce((high, copy) => (copy.generation > high.generation ? copy : high), {
      generation: -1,
      epoch: -1,
      attachmentToken: null as string | null,
    });
  if (newest.attachmentToken === state.attachmentToken) {
    return then({ ...state, phase: { kind: 'cachesLost' }, waitingFor: CACHES_LOST }, ...effects);
  }
  const accepted = whenPromising({ ...state, lossAccepted: true }, breaks);
  return { state: accepted.state, effects: [...effects, ...accepted.effects] };
}

function startEqualising(state: State, effects: readonly Effect[], breaks: Breaks): Step {
  const ids = inSyncMembers(state)
    .filter((member) => !member.lostCache)
    .map((member) => member.id);
  const [source, ...others] = ids;
  assert(source !== undefined, 'somebody is in sync');
  if (state.clean || others.length === 0 || breaks.has('R16-no-equalise')) {
    return then({ ...state, phase: { kind: 'serving' }, waitingFor: '' }, ...effects);
  }
  const equalising: State = {
    ...state,
    phase: { kind: 'equalising' },
    waitingFor: 'replicas to be made equal after an unclean stop',
  };
  return then(equalising, ...effects, { kind: 'equalise', source, others });
}

function whenOwning(state: State, breaks: Breaks): Step {
  const [next, effects] = keepUp(state, breaks);
  if (next.phase.kind === 'stopped') return then(next, ...effects);
  const inSync = inSyncMembers(next);
  if (next.phase.kind !== 'cachesLost' && inSync.every((member) => member.lostCache)) {
    return then({ ...next, phase: { kind: 'cachesLost' }, waitingFor: CACHES_LOST }, ...effects);
  }
  const owning = { ...next, waitingFor: reasonToWait(next) };
  if (!owning.releaseAsked) return then(owning, ...effects);
  switch (owning.phase.kind) {
    case 'serving':
      return then(owning, ...effects, { kind: 'drain' });
    case 'cachesLost':
    case 'equalising':
      return halt(owning);
    case 'reading':
    case 'inspecting':
    case 'claiming':
    case 'promising':
    case 'releasing':
    case 'stopped':
      return then(owning, ...effects);
    default:
      return unreachable(owning.phase);
  }
}

function reasonToWait(state: State): string {
  const missed = inSyncMembers(state).filter((member) => member.missed !== null);
  if (missed.length > 0) {
    const names = missed.map((member) => `${member.id} (${member.missed})`).join(', ');
    return `the removal of ${names}`;
  }
  if (state.phase.kind === 'serving') return '';
  return state.waitingFor;
}

/** Promises, copies and swaps that are due while the record is ours. */
function keepUp(state: State, breaks: Breaks): readonly [State, Effect[]] {
  const effects: Effect[] = [];
  let next = state;
  if (next.doubt !== null && !next.storeBusy) {
    next = { ...next, storeBusy: true };
    effects.push({ kind: 'readRecord' });
  }
  next = missStragglers(next);
  next = askPromises(next, effects);
  next = sendCopies(next, effects);
  next = proposeChange(next, effects, breaks);
  return [next, effects];
}

/** R10: in-sync members still away when their time is over, without cache, or failed (R14). */
function missStragglers(state: State): State {
  if (state.phase.kind !== 'promising') return state;
  const members = inSyncMembers(state);
  const heard = members.every((member) => member.link === 'promised');
  if (!heard && !state.stragglersOver) return state;
  const intact = members.some(
    (member) => member.link === 'promised' && !member.lostCache && member.facts?.failed === false,
  );
  if (!intact) return state;
  let next = state;
  for (const member of members) {
    if (member.missed !== null) continue;
    if (member.lostCache) next = patch(next, member.id, { missed: 'it lost its cache' });
    else if (member.facts?.failed === true && member.link === 'promised') {
      // Nobody must be made equal to what its kernel forgot (R16).
      next = patch(next, member.id, { missed: 'its medium failed a flush' });
    } else if (member.link === 'away' && state.stragglersOver) {
      next = patch(next, member.id, { missed: 'it did not answer at the start' });
      next = { ...next, strangersLeft: true };
    }
  }
  return next;
}

function askPromises(state: State, effects: Effect[]): State {
  let next = state;
  for (const member of inSyncMembers(state)) {
    if (member.link !== 'inspected' || member.facts === null) continue;
    if (member.lostCache && state.phase.kind !== 'promising') continue;
    assert(state.record !== null, 'promises are asked under a claimed record');
    next = patch(next, member.id, { link: 'promising' });
    effects.push({ kind: 'promise', member: member.id, epoch: state.record.epoch });
  }
  return next;
}

/** R5: every in-sync member keeps a durable copy of the committed record. */
function sendCopies(state: State, effects: Effect[]): State {
  const record = state.record;
  assert(record !== null, 'the record was claimed');
  let next = state;
  for (const member of inSyncMembers(state)) {
    // To whom our record is given it says that it is counted in: who lost its cache is not (R15).
    if (member.link !== 'promised' || member.lostCache) continue;
    if (Math.max(member.copyGeneration, member.copySent) >= record.generation) continue;
    next = patch(next, member.id, { copySent: record.generation });
    effects.push({ kind: 'storeCopy', member: member.id, record });
  }
  return next;
}

/** At most one swap at a time; an unknown one is settled by swapping again (R1). */
function proposeChange(state: State, effects: Effect[], breaks: Breaks): State {
  const record = state.record;
  assert(record !== null, 'the record was claimed');
  if (state.storeBusy) return state;
  const wanted = wantedRecord(state, record, breaks);
  if (wanted === record && state.proposals.length === 0) return state;
  const next = { ...wanted, generation: record.generation + 1 };
  const proposal = { version: state.version, inSync: inSyncIds(next) };
  effects.push({ kind: 'swap', version: state.version, next });
  return { ...state, storeBusy: true, proposals: [...state.proposals, proposal] };
}

function wantedRecord(state: State, record: VolumeRecord, breaks: Breaks): VolumeRecord {
  let wanted = record;
  const keepers = state.members.filter((member) => isKeeper(state, member));
  const enough = keepers.length > 0 || breaks.has('R17-no-keeper');
  for (const member of state.members) {
    const inSync = isInSync(state, member.id);
    if (inSync && member.missed !== null && enough) {
      const next = withMemberState(wanted, member.id, 'stale');
      if (inSyncIds(next).length > 0) wanted = next;
    }
    const joins = member.joining === 'ready' && member.missed === null;
    if (!inSync && joins) wanted = withMemberState(wanted, member.id, 'inSync');
  }
  if (state.phase.kind === 'releasing') wanted = { ...wanted, releasedBy: state.instance };
  return wanted;
}

/** True while a member that joins may still be dropped without a swap (R3). */
export function mayDropJoiner(state: State, id: string): boolean {
  return !isInSync(state, id) && !isProposed(state, id);
}
