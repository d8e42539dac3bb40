import { expect, test } from '@jest/globals';
import type { Action } from '../../../../cluster/reconciler/actions.ts';
import { Reconciler } from '../../../../cluster/reconciler/loop.ts';
import type { Attempt } from '../../../../cluster/reconciler/perform.ts';
import type { World } from '../../../../cluster/reconciler/world.ts';
import { silentLogger } from '../../../../core/platform/index.ts';
import { node, volume, world } from '../../../fixtures/cluster/world.ts';
import { ManualClock, settle } from '../../../fixtures/manual-clock.ts';

type Call = { readonly action: Action; readonly attempt: Attempt } & PromiseWithResolvers<void>;

/** A reconciler whose world and whose actions' ends are the test's. */
function setUp(first: World) {
  const clock = new ManualClock();
  const calls: Call[] = [];
  const scene = { world: first, sightError: null as Error | null };
  const reconciler = new Reconciler({
    observe: async () => {
      if (scene.sightError !== null) throw scene.sightError;
      return scene.world;
    },
    perform: (action, attempt) => {
      const call = { action, attempt, ...Promise.withResolvers<void>() };
      calls.push(call);
      return call.promise;
    },
    clock,
    log: silentLogger,
  });
  const kick = async () => {
    reconciler.kick();
    await settle();
  };
  return { clock, calls, scene, reconciler, kick };
}

const stopped = { replicas: { 'v@a': 'stopped' } } as const;
const one = world([volume({ folders: { a: 'minted' } })], [node('a', stopped)]);

test('one action an object is in flight, however often it is kicked', async () => {
  const { calls, kick } = setUp(one);
  await kick();
  await kick();
  expect(calls).toHaveLength(1);
  calls[0]?.resolve();
  await settle();
  expect(calls).toHaveLength(2);
});

test('a look that began before an action ended starts nothing for that object', async () => {
  const clock = new ManualClock();
  const looks: PromiseWithResolvers<World>[] = [];
  const ends: PromiseWithResolvers<void>[] = [];
  const reconciler = new Reconciler({
    observe: () => {
      const look = Promise.withResolvers<World>();
      looks.push(look);
      return look.promise;
    },
    perform: () => {
      const end = Promise.withResolvers<void>();
      ends.push(end);
      return end.promise;
    },
    clock,
    log: silentLogger,
  });
  reconciler.kick();
  looks[0]?.resolve(one);
  await settle();
  reconciler.kick();
  ends[0]?.resolve();
  await settle();
  looks[1]?.resolve(one);
  await settle();
  expect(ends).toHaveLength(1);
  looks[2]?.resolve(one);
  await settle();
  expect(ends).toHaveLength(2);
});

test('what failed is tried again after 0.5 s, 1 s, ... 30 s, and says so meanwhile', async () => {
  const { clock, calls, reconciler, kick } = setUp(one);
  await kick();
  const waits: number[] = [];
  for (let attempt = 0; attempt < 9; attempt += 1) {
    calls.at(-1)?.reject(new Error(`no ${attempt}`));
    await settle();
    const failedAtMs = clock.nowMs();
    expect(reconciler.hindrances('v')).toEqual([{ node: 'a', detail: `no ${attempt}` }]);
    const count = calls.length;
    while (calls.length === count) {
      await clock.passMs(500);
      await kick();
    }
    waits.push(clock.nowMs() - failedAtMs);
  }
  expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  expect(calls.map(({ attempt }) => attempt.number)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  calls.at(-1)?.resolve();
  await settle();
  expect(reconciler.hindrances('v')).toEqual([]);
});

test('when the node comes back the back-off is over', async () => {
  const { calls, scene, kick } = setUp(one);
  await kick();
  calls[0]?.reject(new Error('no'));
  await settle();
  await kick();
  expect(calls).toHaveLength(1);
  scene.world = world(one.volumes, [{ ...node('a', stopped), comeback: 2 }]);
  await kick();
  expect(calls).toHaveLength(2);
  expect(calls[1]?.attempt.number).toBe(2);
});

test('a failure is forgotten when the action is wanted no more, or another one is', async () => {
  const { calls, scene, reconciler, kick } = setUp(one);
  await kick();
  calls[0]?.reject(new Error('no'));
  await settle();
  const deleting = volume({
    folders: { a: 'minted' },
    phase: { kind: 'deleting', failure: null },
  });
  scene.world = world([deleting], [node('a', stopped)]);
  await kick();
  expect(calls[1]?.action.kind).toBe('removeReplica');
  expect(calls[1]?.attempt.number).toBe(1);
  calls[1]?.reject(new Error('busy'));
  await settle();
  scene.world = world([], [node('a')]);
  await kick();
  expect(reconciler.hindrances('v')).toEqual([]);
});

test('a node gets four actions at once, and does not keep others waiting', async () => {
  const ids = ['1', '2', '3', '4', '5', '6'];
  const volumes = ids.map((id) => volume({ id, folders: { a: 'minted' } }));
  const other = volume({ id: 'other', folders: { b: 'minted' } });
  const { calls, kick } = setUp(world([...volumes, other], [node('a'), node('b')]));
  await kick();
  const where = () =>
    calls.map(({ action }) => String(action.node)).toSorted((x, y) => (x < y ? -1 : 1));
  expect(where()).toEqual(['a', 'a', 'a', 'a', 'b']);
  calls[0]?.resolve();
  await settle();
  expect(where()).toEqual(['a', 'a', 'a', 'a', 'a', 'b']);
});

test('it looks once a second by itself, and goes on when it cannot see', async () => {
  const { clock, calls, scene, reconciler } = setUp(one);
  scene.sightError = new Error('the store is away');
  reconciler.start();
  await clock.passMs(3_000);
  expect(calls).toHaveLength(0);
  scene.sightError = null;
  await clock.passMs(1_000);
  expect(calls).toHaveLength(1);
});

test('close starts nothing more, aborts what is in flight and waits for its end', async () => {
  const { clock, calls, reconciler } = setUp(one);
  reconciler.start();
  await settle();
  let isClosed = false;
  const closing = reconciler.close().then(() => {
    isClosed = true;
  });
  await settle();
  expect(calls[0]?.attempt.signal.aborted).toBe(true);
  expect(isClosed).toBe(false);
  calls[0]?.reject(new Error('aborted'));
  await closing;
  await clock.passMs(60_000);
  reconciler.kick();
  reconciler.start();
  await clock.passMs(60_000);
  expect(calls).toHaveLength(1);
  expect(clock.timerCount).toBe(0);
});
