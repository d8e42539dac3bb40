/** The machine under test in its model: events in, effects into the outbox, sessions. */
import { inSyncIds } from '../../../core/volume/record.ts';
import { step } from '../../../target/replication/membership.ts';
import {
  type Break,
  type Effect,
  type Event,
  type MemberFacts,
} from '../../../target/replication/state.ts';
import { bindingIds } from '../../../target/replication/views.ts';
import { type Replica, replicaOf, targetAt, type World, withReplica, withTarget } from './world.ts';

export const cacheOf = (boot: number): string => `boot${boot}`;

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
  const checked = effects.reduce(
    (next, effect) => checkKeeper(next, target.instance, effect),
    told,
  );
  return settle(checked, index);
}

/** R17: at the moment a removal is proposed, somebody who stays has what was acknowledged. */
export function checkKeeper(world: World, instance: string, effect: Effect): World {
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
export function settle(world: World, index: number): World {
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

export function acknowledge(world: World, index: number, value: number): World {
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

export function inspected(world: World, id: string): Event {
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

export function copyOf(replica: Replica): MemberFacts['copy'] {
  const { copyEpoch: epoch, copyGeneration: generation } = replica;
  return { epoch, generation, attachmentToken: 'token' };
}

/** Reaches the replica on a connection opened under its current boot. */
export function reaches(world: World, index: number, id: string): boolean {
  const target = targetAt(world, index);
  return !target.cuts.includes(id) && target.links[id] === replicaOf(world, id).boot;
}

/** The replica takes requests of this target: its promise is the target's (R8). */
export function accepts(world: World, index: number, id: string): boolean {
  const target = targetAt(world, index);
  const replica = replicaOf(world, id);
  const epoch = target.state.record?.epoch ?? -1;
  const anyone = world.breaks.has('R8-promise-anyone');
  return (
    anyone || (replica.promise.epoch === epoch && replica.promise.instance === target.instance)
  );
}

/** A data session carries requests only while boot and promise are those it was opened with. */
export function sessionWorks(world: World, index: number, id: string): boolean {
  const target = targetAt(world, index);
  const member = target.state.members.find((candidate) => candidate.id === id);
  const { boot } = replicaOf(world, id);
  const resumes = world.breaks.has('R15-resume-after-reboot');
  const sameCache = resumes || member?.facts?.cache === cacheOf(boot);
  const cut = target.cuts.includes(id);
  return !cut && accepts(world, index, id) && sameCache && member?.lostCache === false;
}

/** The control connection broke: what was on its way in it is lost with it. */
export function away(world: World, index: number, id: string): World {
  const target = targetAt(world, index);
  const links = { ...target.links };
  delete links[id];
  const outbox = target.outbox.filter(
    (effect) =>
      !((effect.kind === 'promise' || effect.kind === 'storeCopy') && effect.member === id),
  );
  const broken = withTarget(world, index, { links, outbox });
  return tell(broken, index, { kind: 'away', member: id });
}

export function commit(world: World, next: World['store']['record']): World {
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

export function promise(
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
  const cache = before.epoch === 0 ? cacheOf(replica.boot) : before.cache;
  const made = same ? before : { epoch, instance, cache };
  const previous = same ? replica.previous : before;
  const stored = withReplica(world, member, { promise: made, previous });
  const copy = copyOf(replica);
  return tell(stored, index, { kind: 'promised', member, promise: made, previous, copy });
}
