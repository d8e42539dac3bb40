/** Everything that may happen next in a world. */
import { type Effect } from '../../../target/replication/state.ts';
import { bindingIds, isServing } from '../../../target/replication/views.ts';
import { type Action, type Add } from './action.ts';
import { observe } from './checkers.ts';
import { addClientActions } from './client.ts';
import { addDelivery } from './deliveries.ts';
import { accepts, away, commit, inspected, reaches, sessionWorks, tell } from './machine.ts';
import {
  mayFail,
  replicaOf,
  spend,
  type Target,
  targetAt,
  type World,
  withReplica,
  withTarget,
} from './world.ts';

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

export function addTargetActions(world: World, index: number, target: Target, add: Add): void {
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
export function isBlocked(target: Target, effect: Effect): boolean {
  if (effect.kind === 'promise' || effect.kind === 'storeCopy') {
    return target.cuts.includes(effect.member);
  }
  return effect.kind === 'startStragglers' && target.cuts.length === 0;
}

/** What happens at once when nothing is in the way: fewer orders, none of which matter. */
export function hurry(world: World): World {
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

export function hear(world: World, index: number, id: string): World {
  const { state } = targetAt(world, index);
  const member = state.members.find((candidate) => candidate.id === id);
  const someMissed = state.members.some((other) => other.missed !== null);
  if (member === undefined || !someMissed || member.answeredSince) return world;
  if (member.link !== 'promised' || !reaches(world, index, id)) return world;
  if (!accepts(world, index, id)) return world;
  return tell(world, index, { kind: 'answered', member: id });
}

export function addMemberActions(world: World, index: number, id: string, add: Add): void {
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
  const cut = withTarget(spend(world, 'faults'), index, { cuts: [...target.cuts, id] });
  add(`${who}-${id} cut`, away(cut, index, id));
}

export function addPowerLosses(world: World, add: Add): void {
  for (const replica of world.replicas) {
    const { id, durable, boot } = replica;
    const lost = withReplica(spend(world, 'faults'), id, { value: durable, boot: boot + 1 });
    add(`${id} loses power`, lost);
  }
}
