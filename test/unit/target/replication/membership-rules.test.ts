import { expect, test } from '@jest/globals';
import { MiB } from '../../../../core/units.ts';
import { readableIds } from '../../../../target/replication/views.ts';
import { ReplicatedScene } from '../../../fixtures/replicated-volume.ts';
import type { SimulatedReplica } from '../../../fixtures/simulated-replica.ts';

const ALL_IN_SYNC = ['inSync', 'inSync', 'inSync'];

/** The third replica missed a write, and answers again. */
async function withStaleThird(seed: string) {
  const scene = await ReplicatedScene.open(seed);
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  const third = scene.replica(2);
  await third.kill();
  await scene.written(target, 0, 'b');
  expect(scene.states).toEqual(['inSync', 'inSync', 'stale']);
  third.process = third.machine.process('replica');
  return { scene, target, third };
}

test('R1: a swap without an answer binds whom it names until another one has committed', async () => {
  const { scene, target, third } = await withStaleThird('r1');
  await third.open();
  scene.store.holds = true;
  const verified = () =>
    target.coordinator.state.proposals.some(({ inSync }) => inSync.includes(third.id));
  await scene.simulation.runUntil(verified, 60_000, 'the proposal to count it');
  await third.kill();
  const write = scene.write(target, 0, 'c');
  await scene.simulation.runFor(12_000);
  // The record, read again and again, is the old one: the swap may land all the same.
  expect(scene.states).toEqual(['inSync', 'inSync', 'stale']);
  expect(write.ended).toBeNull();
  scene.store.holds = false;
  expect((await scene.ended(write)).error).toBeNull();
  scene.store.land();
  expect(scene.states).toEqual(['inSync', 'inSync', 'stale']);
});

test('R6: a replica in sync that is started without its folder is removed, not taken for empty', async () => {
  const scene = await ReplicatedScene.open('r6');
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  const first = scene.replica(0);
  await first.kill();
  first.process = first.machine.process('replica');
  await scene.simulation.finish(first.files.remove(first.folder));
  await first.open();
  await scene.written(target, 4096, 'b');
  expect(scene.states).toEqual(['stale', 'inSync', 'inSync']);
  expect(await scene.letterAt(target, 0)).toBe('a');
  await scene.simulation.runFor(60_000);
  expect(scene.states).toEqual(['stale', 'inSync', 'inSync']);
});

test('R6: a replica in sync that has forgotten its promise is older than it was: it is rebuilt', async () => {
  const scene = await ReplicatedScene.open('r6-backup');
  const first = scene.replica(0);
  const backup = await filesOf(first);
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  await first.kill();
  first.process = first.machine.process('replica');
  for (const [path, content] of backup) await first.finish(first.files.replaceWhole(path, content));
  await first.open();
  await scene.written(target, 4096, 'b');
  expect(scene.states).toEqual(['stale', 'inSync', 'inSync']);
  expect(await scene.letterAt(target, 0)).toBe('a');
  await scene.simulation.runUntil(() => scene.states[0] === 'inSync', 60_000, 'the rebuild');
});

/** The content of a replica's folder, as a backup would have it. */
async function filesOf(replica: SimulatedReplica): Promise<readonly (readonly [string, Buffer])[]> {
  const { files, folder } = replica;
  const found: (readonly [string, Buffer])[] = [];
  for (const inside of [folder, `${folder}/layers-1`]) {
    for (const name of await replica.finish(files.list(inside))) {
      const path = `${inside}/${name}`;
      if (name.startsWith('layers-') || name === 'lock') continue;
      found.push([path, await replica.finish(files.readWhole(path, 32 * MiB))]);
    }
  }
  return found;
}

test('R13: who comes back while its removal is under way is not read from until that is settled', async () => {
  const scene = await ReplicatedScene.open('r13-removal');
  const [first, second, third] = scene.replicas;
  await second?.kill();
  const target = scene.target();
  const { coordinator } = target;
  const until = (what: string, condition: () => boolean) =>
    scene.simulation.runUntil(condition, 30_000, what);
  await until('the claim', () => coordinator.state.phase.kind === 'promising');
  scene.store.holds = true;
  await until('the proposal to remove it', () => coordinator.state.proposals.length > 0);
  if (second === undefined) throw new Error('there are three');
  second.process = second.machine.process('replica');
  await second.open();
  // It binds (R3), so all may go on; the record may be without it already.
  await target.serving();
  expect(scene.states).toEqual(['inSync', 'inSync', 'inSync']);
  expect(readableIds(coordinator.state)).toEqual([first?.id, third?.id]);
  scene.store.holds = false;
  scene.store.land();
  await until('the removal', () => scene.states[1] === 'stale');
  await until('the rebuild', () => scene.states[1] === 'inSync');
  await until('the record', () => readableIds(coordinator.state).length === 3);
});

test('R12: what a write that failed everywhere left behind is made equal', async () => {
  const scene = await ReplicatedScene.open('r12');
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  const mend = scene.replicas.map(({ machine }, index) =>
    // The first has nothing of it, the others have it and cannot say so.
    machine.disk().addFault({
      operation: 'write',
      pathIncludes: index === 0 ? '.img' : '.live',
      effect: { kind: 'error', code: 'EIO' },
    }),
  );
  expect((await scene.ended(scene.write(target, 8192, 'b'))).error?.code).toBe('mediumError');
  for (const end of mend) end();
  const after = await scene.ended(scene.read(target, 8192));
  expect(scene.states).toEqual(ALL_IN_SYNC);
  for (const gone of [0, 1]) {
    await scene.replica(gone).kill();
    await scene.simulation.runFor(6_000);
    const now = await scene.ended(scene.read(target, 8192));
    expect(now.data.equals(after.data)).toBe(true);
  }
  expect(scene.states).toEqual(['stale', 'stale', 'inSync']);
});

test('R12: when every replica failed another write nobody is removed, and nobody waits for that', async () => {
  const scene = await ReplicatedScene.open('r12-all');
  const target = await scene.target().serving();
  scene.store.away = true;
  const writes = [];
  for (const [index, { machine }] of scene.replicas.entries()) {
    machine.disk().addFault({
      operation: 'write',
      pathIncludes: '.img',
      countMax: 1,
      effect: { kind: 'error', code: 'EIO' },
    });
    writes.push(scene.write(target, index * 4096, 'a'));
    await scene.simulation.runFor(100);
  }
  expect(writes.map(({ ended }) => ended?.error?.code)).toEqual(['busy', 'busy', 'busy']);
  await scene.written(target, 0, 'b');
  scene.store.away = false;
  await scene.simulation.runFor(10_000);
  expect(scene.states).toEqual(ALL_IN_SYNC);
});

test('R23: a rebuild fills a new folder, and the stale one stays until the record counts it', async () => {
  const { scene, third } = await withStaleThird('r23');
  const seen = new Set<string>();
  await third.open();
  while (scene.states[2] !== 'inSync') {
    const names = await third.finish(third.files.list(third.folder));
    seen.add(names.filter((name) => name.startsWith('layers-')).join(' '));
    await scene.simulation.runFor(5);
  }
  expect([...seen]).toEqual(['layers-1', 'layers-1 layers-2']);
  await scene.simulation.runFor(1_000);
  const left = await third.finish(third.files.list(third.folder));
  expect(left.filter((name) => name.startsWith('layers-'))).toEqual(['layers-2']);
});

test('R23: without room a replica waits with its old copy and says so; with room it is rebuilt', async () => {
  const { scene, target, third } = await withStaleThird('r23-room');
  const disk = third.machine.disk();
  const room = disk.space().freeBytes - MiB;
  disk.capacityBytes -= room;
  await third.open();
  await scene.simulation.runFor(20_000);
  expect(scene.states[2]).toBe('stale');
  expect(target.coordinator.rebuilds.reasonOf(third.id)).toMatch(/no room/);
  const names = await third.finish(third.files.list(third.folder));
  expect(names.filter((name) => name.startsWith('layers-'))).toEqual(['layers-1']);
  disk.capacityBytes += room;
  await scene.simulation.runUntil(() => scene.states[2] === 'inSync', 90_000, 'the rebuild');
});

test('R17: a rebuild that fails is tried again later each time', async () => {
  const { scene, target, third } = await withStaleThird('r17-again');
  third.machine.disk().capacityBytes -= third.machine.disk().space().freeBytes - MiB;
  await third.open();
  await scene.simulation.runFor(30_000);
  const started = target.events.filter(({ event }) => event === 'rebuildStarted');
  const gaps = started.map(({ atMs }, index) => atMs - (started[index - 1]?.atMs ?? 0)).slice(1);
  expect(gaps.length).toBeGreaterThan(2);
  for (const [index, gapMs] of gaps.entries()) {
    expect(gapMs).toBeGreaterThanOrEqual(1_000 * 2 ** index);
  }
});

test('R14: a release that cannot flush tries now and then, and says in the end that it could not', async () => {
  const scene = await ReplicatedScene.open('r14-release');
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  for (const { machine } of scene.replicas) {
    machine.disk().addFault({
      operation: 'datasync',
      pathIncludes: '.img',
      effect: { kind: 'error', code: 'EIO' },
    });
  }
  target.process.enter(() => target.coordinator.release());
  await scene.simulation.runFor(10_000);
  const tries = target.events.filter(({ event }) => event === 'flushFailed');
  expect(tries.length).toBeGreaterThan(5);
  expect(tries.length).toBeLessThan(25);
  expect(scene.store.record.releasedBy).toBeNull();
});
