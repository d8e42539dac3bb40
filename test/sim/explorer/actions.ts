/** Everything that may happen next in a world. */
import { inSyncIds } from '../../../core/volume/record.ts';
import { swapRefusal } from '../../../core/volume/swap.ts';
import { step } from '../../../target/replication/membership.ts';
import type { Break, Effect, Event, MemberFacts } from '../../../target/replication/state.ts';
import {
  bindingIds,
  equalisableIds,
  isInSync,
  isServing,
  readableIds,
} from '../../../target/replication/views.ts';
import {
  mayFail,
  type Replica,
  replicaOf,
  spend,
  type Target,
  targetAt,
  withReplica,
  withTarget,
  type World,
} from './world.ts';

export interface Action {
  readonly name: string;
  readonly next: World;
}

const cacheOf = (boot: number): string => `boot${boot}`;

/** Sends an event through the machine; what it wants done waits in the outbox. */
export function tell(world: World, index: number, event: Event): World {
  const target = targetAt(world, index);
  if (target.life !== 'running') return world;
  const { state, effects } = step(target.state, event, world.breaks as ReadonlySet<Break>);
  const outbox = [...target.outbox];
  for (const effect of effects) {
    const text = JSON.stringify(effect);
    if (!outbox.some((waiting) => JSON.stringify(waiting) === text)) outbox.push(effect);
  }
  const stopped = state.phase.kind === 'stopped';
  const life = stopped ? ('dead' as const) : target.life;
  const told = withTarget(world, index, { state, outbox: stopped ? [] : outbox, life });
  const checked = effects.reduce((next, effect) => checkKeeper(next, target.instance, effect), told);
  return settle(checked, index);
}

/** R17: at the moment a removal is proposed, somebody who stays has what was acknowledged. */
function checkKeeper(world: World, instance: string, effect: Effect): World {
  if (effect.kind !== 'swap' || world.violation !== null) return world;
  const deposed = world.store.record.targetInstance !== instance;
  if (deposed || effect.version !== world.store.version) return world;
  const before = inSyncIds(world.store.record);
  const after = inSyncIds(effect.next);
  if (before.every((id) => after.includes(id)) || world.store.late.length > 0) return world;
  const kept = after.some((id) => replicaOf(world, id).value >= world.acknowledged);
  if (kept) return world;
  const text = `${after.join(' ')} would stay without write ${world.acknowledged}`;
  return { ...world, violation: `a keeper before a removal: ${text}` };
}

/** R3 as the data path keeps it: GOOD once every binding member has answered. */
function settle(world: World, index: number): World {
  const target = targetAt(world, index);
  if (target.life !== 'running') return world;
  const binding = bindingIds(target.state);
  const done = (ids: readonly string[]) => !ids.some((id) => binding.includes(id));
  let next = world;
  if (target.write !== null && done(target.write.waiting)) {
    next = acknowledge(next, index, target.write.value);
  }
  if (target.flush !== null && done(target.flush.waiting)) {
    next = withTarget(next, index, { flush: null });
  }
  return next;
}

function acknowledge(world: World, index: number, value: number): World {
  const target = targetAt(world, index);
  const epoch = target.state.record?.epoch ?? 0;
  const violation =
    epoch < world.acknowledgedEpoch
      ? `one writer: epoch ${epoch} answered GOOD after epoch ${world.acknowledgedEpoch} had`
      : world.violation;
  return {
    ...withTarget(world, index, { write: null }),
    acknowledged: value,
    acknowledgedEpoch: Math.max(epoch, world.acknowledgedEpoch),
    violation,
  };
}

export function actionsOf(world: World): Action[] {
  const actions: Action[] = [];
  const add = (name: string, next: World): void => {
    actions.push({ name, next: observe(hurry(next)) });
  };
  world.targets.forEach((target, index) => {
    if (target.life === 'unborn' && world.left.targets > 0) {
      const born = withTarget(spend(world, 'targets'), index, { life: 'running' });
      add(`${target.instance} starts`, tell(born, index, { kind: 'start' }));
    }
    if (target.life === 'running') addTargetActions(world, index, target, add);
  });
  world.store.late.forEach((swap, at) => {
    const late = world.store.late.filter((_swap, index) => index !== at);
    const without: World = { ...world, store: { ...world.store, late } };
    const applies = swap.version === world.store.version;
    add('late swap', applies ? commit(without, swap.next) : without);
  });
  if (mayFail(world, 'power')) addPowerLosses(world, add);
  const { before, version } = world.store;
  if (world.left.rollbacks > 0 && before !== null) {
    const store = { ...world.store, record: before, version: version - 1, before: null };
    add('the store is rolled back', spend({ ...world, store }, 'rollbacks'));
  }
  return actions;
}

type Add = (name: string, next: World) => void;

function addTargetActions(world: World, index: number, target: Target, add: Add): void {
  const who = target.instance;
  let delivered = false;
  target.outbox.forEach((effect, at) => {
    if (delivered && world.ordered) return;
    if (isBlocked(target, effect)) return;
    delivered = true;
    const outbox = target.outbox.filter((_effect, position) => position !== at);
    addDelivery(withTarget(world, index, { outbox }), index, effect, add);
  });
  for (const member of target.state.members) {
    addMemberActions(world, index, member.id, add);
  }
  if (isServing(target.state)) addClientActions(world, index, target, add);
  if (mayFail(world, 'kill')) {
    add(`${who} killed`, withTarget(spend(world, 'faults'), index, { life: 'dead', outbox: [] }));
  }
}

/** It cannot get through now, or there is nobody to wait for. */
function isBlocked(target: Target, effect: Effect): boolean {
  if (effect.kind === 'promise' || effect.kind === 'storeCopy') {
    return target.cuts.includes(effect.member);
  }
  return effect.kind === 'startStragglers' && target.cuts.length === 0;
}

/** What happens at once when nothing is in the way: fewer orders, none of which matter. */
function hurry(world: World): World {
  let next = world;
  for (const [index, { life }] of world.targets.entries()) {
    if (life !== 'running') continue;
    for (const { id } of targetAt(next, index).state.members) {
      const target = targetAt(next, index);
      if (target.cuts.includes(id)) continue;
      const { boot } = replicaOf(next, id);
      if (target.links[id] === undefined) {
        const linked = withTarget(next, index, { links: { ...target.links, [id]: boot } });
        next = tell(linked, index, inspected(linked, id));
      }
      next = hear(next, index, id);
    }
  }
  return next;
}

function hear(world: World, index: number, id: string): World {
  const { state } = targetAt(world, index);
  const member = state.members.find((candidate) => candidate.id === id);
  const someMissed = state.members.some((other) => other.missed !== null);
  if (member === undefined || !someMissed || member.answeredSince) return world;
  if (member.link !== 'promised' || !reaches(world, index, id)) return world;
  if (!accepts(world, index, id)) return world;
  return tell(world, index, { kind: 'answered', member: id });
}

function addMemberActions(world: World, index: number, id: string, add: Add): void {
  const target = targetAt(world, index);
  const who = target.instance;
  const { boot } = replicaOf(world, id);
  if (target.cuts.includes(id)) {
    const cuts = target.cuts.filter((other) => other !== id);
    add(`${who}-${id} heals`, withTarget(world, index, { cuts }));
  } else if (target.links[id] !== boot) {
    add(`${who} sees ${id} come back`, away(world, index, id));
  }
  const member = target.state.members.find((candidate) => candidate.id === id);
  if (member === undefined || target.state.record === null) return;
  const binds = bindingIds(target.state).includes(id);
  const silent = !sessionWorks(world, index, id);
  if (silent && binds && member.missed === null && isServing(target.state)) {
    const event = { kind: 'missed', member: id, detail: 'silent', lostCache: false } as const;
    add(`${who} misses ${id}`, tell(world, index, event));
  }
  if (!mayFail(world, 'cut') || target.cuts.includes(id)) return;
  const links = { ...target.links };
  delete links[id];
  const cut = withTarget(spend(world, 'faults'), index, { cuts: [...target.cuts, id], links });
  add(`${who}-${id} cut`, tell(cut, index, { kind: 'away', member: id }));
}

function inspected(world: World, id: string): Event {
  const replica = replicaOf(world, id);
  const facts: MemberFacts = {
    promise: replica.promise,
    previous: replica.previous,
    cache: cacheOf(replica.boot),
    copy: copyOf(replica),
    failed: false,
  };
  return { kind: 'inspected', member: id, facts };
}

function copyOf(replica: Replica): MemberFacts['copy'] {
  const { copyEpoch: epoch, copyGeneration: generation } = replica;
  return { epoch, generation, attachmentToken: 'token' };
}

/** Reaches the replica on a connection opened under its current boot. */
function reaches(world: World, index: number, id: string): boolean {
  const target = targetAt(world, index);
  return !target.cuts.includes(id) && target.links[id] === replicaOf(world, id).boot;
}

/** The replica takes requests of this target: its promise is the target's (R8). */
function accepts(world: World, index: number, id: string): boolean {
  const target = targetAt(world, index);
  const replica = replicaOf(world, id);
  const epoch = target.state.record?.epoch ?? -1;
  const anyone = world.breaks.has('R8-promise-anyone');
  return anyone || (replica.promise.epoch === epoch && replica.promise.instance === target.instance);
}

function addDelivery(world: World, index: number, effect: Effect, add: Add): void {
  const who = targetAt(world, index).instance;
  switch (effect.kind) {
    case 'readRecord': {
      const { version, record } = world.store;
      add(`${who} reads`, tell(world, index, { kind: 'recordRead', version, record }));
      break;
    }
    case 'swap':
      addSwap(world, index, effect, add);
      break;
    case 'retryStore':
      add(`${who} retries`, tell(world, index, { kind: 'storeRetry' }));
      break;
    case 'startStragglers':
      add(`${who} waited`, tell(world, index, { kind: 'stragglersOver' }));
      break;
    case 'promise':
      add(`${who} promise ${effect.member}`, promise(world, index, effect));
      break;
    case 'storeCopy':
      add(`${who} copy ${effect.member}`, storeCopy(world, index, effect));
      break;
    case 'equalise':
      addEqualise(world, index, add);
      break;
    case 'connect':
    case 'drain':
    case 'stop':
      add(`${who} ${effect.kind}`, world);
      break;
  }
}

function commit(world: World, next: World['store']['record']): World {
  return {
    ...world,
    store: {
      ...world.store,
      version: world.store.version + 1,
      record: next,
      before: world.store.record,
    },
  };
}

function addSwap(
  world: World,
  index: number,
  effect: Extract<Effect, { kind: 'swap' }>,
  add: Add,
): void {
  const who = targetAt(world, index).instance;
  const { version, record } = world.store;
  if (effect.version !== version) {
    add(`${who} swap conflicts`, tell(world, index, { kind: 'swapConflict', version, record }));
    return;
  }
  const actor = { kind: 'target', instance: who } as const;
  const refusal = swapRefusal(record, effect.next, actor);
  if (refusal !== null) {
    add(`${who} swap refused`, tell(world, index, { kind: 'swapConflict', version, record }));
    return;
  }
  const done = commit(world, effect.next);
  const event = {
    kind: 'swapCommitted',
    version: done.store.version,
    record: effect.next,
  } as const;
  add(`${who} swap commits`, tell(done, index, event));
  if (!mayFail(world, 'swap')) return;
  const unknown = { kind: 'swapUnknown', detail: 'no answer' } as const;
  const { next } = effect;
  add(`${who} swap commits unseen`, tell(spend(done, 'faults'), index, unknown));
  const late: World = {
    ...world,
    store: { ...world.store, late: [...world.store.late, { version, next }] },
  };
  add(`${who} swap delayed`, tell(spend(late, 'faults'), index, unknown));
}

function away(world: World, index: number, id: string): World {
  const links = { ...targetAt(world, index).links };
  delete links[id];
  return tell(withTarget(world, index, { links }), index, { kind: 'away', member: id });
}

function promise(
  world: World,
  index: number,
  effect: { readonly member: string; readonly epoch: number },
): World {
  const { member, epoch } = effect;
  if (!reaches(world, index, member)) return away(world, index, member);
  const replica = replicaOf(world, member);
  const { instance } = targetAt(world, index);
  const before = replica.promise;
  const same = before.epoch === epoch && before.instance === instance;
  if (epoch < before.epoch || (epoch === before.epoch && !same)) {
    const refusal = { epoch: before.epoch, instance: before.instance };
    return tell(world, index, { kind: 'promiseRefused', member, ...refusal });
  }
  const made = same ? before : { epoch, instance, cache: cacheOf(replica.boot) };
  const previous = same ? replica.previous : before;
  const stored = withReplica(world, member, { promise: made, previous });
  const copy = copyOf(replica);
  return tell(stored, index, { kind: 'promised', member, promise: made, previous, copy });
}

function storeCopy(
  world: World,
  index: number,
  effect: { readonly member: string; readonly record: World['store']['record'] },
): World {
  const { member, record } = effect;
  if (!reaches(world, index, member) || !accepts(world, index, member)) {
    return away(world, index, member);
  }
  const stored = withReplica(world, member, {
    copyEpoch: record.epoch,
    copyGeneration: record.generation,
  });
  const { generation } = record;
  return tell(stored, index, { kind: 'copyStored', member, generation });
}

function addEqualise(world: World, index: number, add: Add): void {
  const target = targetAt(world, index);
  const who = target.instance;
  const ids = equalisableIds(target.state) ?? [];
  const [source, ...others] = ids;
  const allThere = ids.every((id) => reaches(world, index, id) && accepts(world, index, id));
  if (source === undefined || !allThere) {
    // Fenced or broken connections: it would try again for ever; other actions go on.
    return;
  }
  const { value } = replicaOf(world, source);
  const first = others[0];
  if (first !== undefined && others.length > 1 && mayFail(world, 'kill')) {
    const partly = withReplica(spend(world, 'faults'), first, { value });
    add(`${who} killed equalising`, withTarget(partly, index, { life: 'dead', outbox: [] }));
  }
  const equal = others.reduce((next, id) => withReplica(next, id, { value }), world);
  add(`${who} equalises from ${source}`, tell(equal, index, { kind: 'equalised' }));
}

function addClientActions(world: World, index: number, target: Target, add: Add): void {
  const who = target.instance;
  const fan = [...bindingIds(target.state), ...(target.join === null ? [] : [target.join.id])];
  const waiting = [...new Set(fan)].sort();
  if (target.write === null && world.left.writes > 0) {
    const value = world.started + 1;
    const spent = { ...spend(world, 'writes'), started: value };
    add(`${who} writes ${value}`, withTarget(spent, index, { write: { value, waiting } }));
  }
  if (target.flush === null && world.left.flushes > 0) {
    const flush = { value: 0, waiting };
    add(`${who} flushes`, withTarget(spend(world, 'flushes'), index, { flush }));
  }
  for (const id of target.write?.waiting ?? []) addWriteDelivery(world, index, id, add);
  for (const id of target.flush?.waiting ?? []) addFlushDelivery(world, index, id, add);
  addJoinActions(world, index, target, add);
}

/** A data session carries requests only while boot and promise are those it was opened with. */
function sessionWorks(world: World, index: number, id: string): boolean {
  const target = targetAt(world, index);
  const member = target.state.members.find((candidate) => candidate.id === id);
  const { boot } = replicaOf(world, id);
  const resumes = world.breaks.has('R15-resume-after-reboot');
  const sameCache = resumes || member?.facts?.cache === cacheOf(boot);
  const cut = target.cuts.includes(id);
  return !cut && accepts(world, index, id) && sameCache && member?.lostCache === false;
}

function addWriteDelivery(world: World, index: number, id: string, add: Add): void {
  const target = targetAt(world, index);
  const { write } = target;
  if (write === null || !sessionWorks(world, index, id)) return;
  const applied = withReplica(world, id, { value: write.value });
  const waiting = write.waiting.filter((other) => other !== id);
  const join = target.join?.id === id ? { ...target.join, touched: true } : target.join;
  const answered = withTarget(applied, index, { write: { ...write, waiting }, join });
  add(`${target.instance} write reaches ${id}`, settle(answered, index));
}

function addFlushDelivery(world: World, index: number, id: string, add: Add): void {
  const target = targetAt(world, index);
  const { flush } = target;
  if (flush === null || !sessionWorks(world, index, id)) return;
  const synced = withReplica(world, id, { durable: replicaOf(world, id).value });
  const waiting = flush.waiting.filter((other) => other !== id);
  const answered = withTarget(synced, index, { flush: { ...flush, waiting } });
  add(`${target.instance} flush reaches ${id}`, settle(answered, index));
}

function addJoinActions(world: World, index: number, target: Target, add: Add): void {
  const who = target.instance;
  const { join, state } = target;
  if (join === null) {
    if (world.left.joins === 0) return;
    for (const member of state.members) {
      const { id } = member;
      const idle = !bindingIds(state).includes(id) && target.links[id] !== undefined;
      if (!idle || !reaches(world, index, id)) continue;
      const epoch = state.record?.epoch ?? 0;
      const promised = promise(spend(world, 'joins'), index, { member: id, epoch });
      const live: Target['join'] = { id, stage: 'live', touched: false };
      add(`${who} ${id} live`, withTarget(promised, index, { join: live }));
    }
    return;
  }
  const { id } = join;
  const source = readableIds(state).find((other) => other !== id);
  if (isInSync(state, id)) {
    add(`${who} ${id} joined`, withTarget(world, index, { join: null }));
    return;
  }
  if (source === undefined || !accepts(world, index, id)) return;
  if (!sessionWorks(world, index, source) || !reaches(world, index, id)) return;
  addJoinStep(world, index, source, add);
}

function addJoinStep(world: World, index: number, source: string, add: Add): void {
  const target = targetAt(world, index);
  const who = target.instance;
  const { join, write } = target;
  if (join === null) return;
  const { id } = join;
  const move = (next: World, stage: 'copied' | 'bound' | 'proposed'): World =>
    withTarget(next, index, { join: { ...join, stage } });
  switch (join.stage) {
    case 'live': {
      // R22: the source has passed the barrier: a write from before is not outstanding there.
      const before = write !== null && !write.waiting.includes(id) && !join.touched;
      if (before && write.waiting.includes(source)) return;
      const { value } = replicaOf(world, source);
      const copied = join.touched ? world : withReplica(world, id, { value });
      add(`${who} ${id} copied`, move(copied, 'copied'));
      break;
    }
    case 'copied':
      add(`${who} ${id} bound`, move(tell(world, index, { kind: 'bound', member: id }), 'bound'));
      break;
    case 'bound': {
      // R24: compared at one position of the streams: not with a write at one of the two only.
      const waiting = write?.waiting ?? [];
      if (waiting.includes(id) !== waiting.includes(source)) return;
      const { value } = replicaOf(world, id);
      if (value !== replicaOf(world, source).value) return;
      const { boot, promise: promised } = replicaOf(world, id);
      const restamped = { ...promised, cache: cacheOf(boot) };
      const durable = withReplica(world, id, { durable: value, promise: restamped });
      const event = { kind: 'verified', member: id } as const;
      add(`${who} ${id} verified`, tell(move(durable, 'proposed'), index, event));
      break;
    }
    case 'proposed':
      break;
  }
}

function addPowerLosses(world: World, add: Add): void {
  for (const replica of world.replicas) {
    const { id, durable, boot } = replica;
    const lost = withReplica(spend(world, 'faults'), id, { value: durable, boot: boot + 1 });
    add(`${id} loses power`, lost);
  }
}

/**
 * What a client of the rightful target would see now: every member that may answer a read has the
 * last acknowledged write or a later one.
 */
function observe(world: World): World {
  if (world.violation !== null) return world;
  for (const target of world.targets) {
    const { state, instance } = target;
    if (target.life !== 'running' || !isServing(state)) continue;
    if (world.store.record.targetInstance !== instance || target.write !== null) continue;
    const readable = readableIds(state).filter((id) => {
      const member = state.members.find((candidate) => candidate.id === id);
      const sameCache = member?.facts?.cache === cacheOf(replicaOf(world, id).boot);
      const resumes = world.breaks.has('R15-resume-after-reboot');
      const index = world.targets.indexOf(target);
      return accepts(world, index, id) && (sameCache || resumes);
    });
    const values = readable.map((id) => replicaOf(world, id).value);
    const low = Math.min(...values);
    if (values.length > 0 && low < world.acknowledged) {
      const text = `write ${world.acknowledged} was acknowledged, ${instance} reads ${low}`;
      return { ...world, violation: `acknowledged writes survive: ${text}` };
    }
    if (new Set(values).size > 1) {
      const text = `${instance} reads ${values.join(' or ')}`;
      return { ...world, violation: `a block has one value: ${text}` };
    }
  }
  return world;
}
