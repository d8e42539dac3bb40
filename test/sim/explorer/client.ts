/** The data path, modelled: writes, flushes, and a member that joins (R22–R24). */
import { bindingIds, isInSync, readableIds } from '../../../target/replication/views.ts';
import { type Add } from './action.ts';
import { accepts, cacheOf, promise, reaches, sessionWorks, settle, tell } from './machine.ts';
import {
  replicaOf,
  spend,
  type Target,
  targetAt,
  type World,
  withReplica,
  withTarget,
} from './world.ts';

export function addClientActions(world: World, index: number, target: Target, add: Add): void {
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

export function addWriteDelivery(world: World, index: number, id: string, add: Add): void {
  const target = targetAt(world, index);
  const { write } = target;
  if (write === null || !sessionWorks(world, index, id)) return;
  const applied = withReplica(world, id, { value: write.value });
  const waiting = write.waiting.filter((other) => other !== id);
  const join = target.join?.id === id ? { ...target.join, touched: true } : target.join;
  const answered = withTarget(applied, index, { write: { ...write, waiting }, join });
  add(`${target.instance} write reaches ${id}`, settle(answered, index));
}

export function addFlushDelivery(world: World, index: number, id: string, add: Add): void {
  const target = targetAt(world, index);
  const { flush } = target;
  if (flush === null || !sessionWorks(world, index, id)) return;
  const synced = withReplica(world, id, { durable: replicaOf(world, id).value });
  const waiting = flush.waiting.filter((other) => other !== id);
  const answered = withTarget(synced, index, { flush: { ...flush, waiting } });
  add(`${target.instance} flush reaches ${id}`, settle(answered, index));
}

export function addJoinActions(world: World, index: number, target: Target, add: Add): void {
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

export function addJoinStep(world: World, index: number, source: string, add: Add): void {
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
