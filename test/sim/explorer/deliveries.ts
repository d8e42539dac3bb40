/** What becomes of each effect: store, replicas and the copies between them. */
import { swapRefusal } from '../../../core/volume/swap.ts';
import { type Effect } from '../../../target/replication/state.ts';
import { equalisableIds } from '../../../target/replication/views.ts';
import { type Add } from './action.ts';
import { accepts, away, cacheOf, commit, promise, reaches, tell } from './machine.ts';
import {
  mayFail,
  replicaOf,
  spend,
  targetAt,
  type World,
  withReplica,
  withTarget,
} from './world.ts';

export function addDelivery(world: World, index: number, effect: Effect, add: Add): void {
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

export function addSwap(
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

export function storeCopy(
  world: World,
  index: number,
  effect: { readonly member: string; readonly record: World['store']['record'] },
): World {
  const { member, record } = effect;
  if (!reaches(world, index, member) || !accepts(world, index, member)) {
    return away(world, index, member);
  }
  const { boot, promise: promised } = replicaOf(world, member);
  const stored = withReplica(world, member, {
    copyEpoch: record.epoch,
    copyGeneration: record.generation,
    promise: { ...promised, cache: cacheOf(boot) },
  });
  const { generation } = record;
  return tell(stored, index, { kind: 'copyStored', member, generation });
}

export function addEqualise(world: World, index: number, add: Add): void {
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
