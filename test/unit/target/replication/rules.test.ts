import { expect, test } from '@jest/globals';
import { CARRIED_BYTES_MAX, HOLD_MS, LEASE_WAIT_MS } from '../../../../core/limits.ts';
import { ReplicatedScene } from '../../../fixtures/replicated-volume.ts';

/** Only the layer's data: a replica that cannot keep its promise is another story. */
const failing = (operation: 'read' | 'datasync') =>
  ({ operation, pathIncludes: '.img', effect: { kind: 'error', code: 'EIO' } }) as const;

const ALL_IN_SYNC = ['inSync', 'inSync', 'inSync'];

test('R2: of two targets that start together one serves and the other stops', async () => {
  const scene = await ReplicatedScene.open('r2');
  const one = scene.target({ instance: 't1', machine: 'n1' });
  const two = scene.target({ instance: 't2', machine: 'n2' });
  await scene.simulation.runFor(20_000);
  expect([one.phase, two.phase].toSorted()).toEqual(['serving', 'stopped']);
  expect((one.stopped ?? two.stopped)?.code).toBe('superseded');
});

test('R3: a write is GOOD without a lost replica only once its removal is committed and durable', async () => {
  const scene = await ReplicatedScene.open('r3');
  const target = await scene.target().serving();
  await scene.replica(2).kill();
  scene.store.away = true;
  const write = scene.write(target, 0, 'a');
  await scene.simulation.runFor(10_000);
  expect(write.ended).toBeNull();
  scene.store.away = false;
  expect((await scene.ended(write)).error).toBeNull();
  expect(scene.states).toEqual(['inSync', 'inSync', 'stale']);
  const { generation } = scene.store.record;
  const copies = target.coordinator.state.members
    .slice(0, 2)
    .map((member) => member.copyGeneration);
  expect(copies).toEqual([generation, generation]);
});

test('R4: a target stops when its attachment is not in the record any more', async () => {
  const scene = await ReplicatedScene.open('r4');
  const target = await scene.target().serving();
  const { record } = scene.store;
  scene.store.record = { ...record, attachment: null, generation: record.generation + 1 };
  scene.store.version += 1;
  await scene.simulation.runFor(10_000);
  expect(target.stopped?.code).toBe('attachmentGone');
});

test('R5: a target does not start on a store that was rolled back', async () => {
  const scene = await ReplicatedScene.open('r5');
  const before = { record: scene.store.record, version: scene.store.version };
  const first = await scene.target().serving();
  await scene.written(first, 0, 'a');
  first.process.kill();
  Object.assign(scene.store, before);
  const second = scene.target({ instance: 't2' });
  await second.until(() => second.stopped !== null);
  expect(second.stopped).toMatchObject({ code: 'evidence' });
  expect(scene.store.record).toBe(before.record);
});

test('R7: a replica of another incarnation stops the target, which names it', async () => {
  const scene = await ReplicatedScene.open('r7');
  const { record } = scene.store;
  const target = scene.target();
  await target.serving();
  scene.store.record = { ...record, generation: 1 };
  target.coordinator.refused('replica-n2', 'foreignIncarnation', 'it is of another incarnation');
  expect(target.stopped).toMatchObject({ code: 'evidence' });
  expect(JSON.stringify(target.stopped)).toContain('replica-n2');
});

test('R10: a replica that does not answer at the start is waited for, then removed', async () => {
  const scene = await ReplicatedScene.open('r10');
  await scene.replica(1).kill();
  const startedMs = scene.simulation.nowMs;
  const target = await scene.target().serving();
  expect(scene.simulation.nowMs - startedMs).toBeGreaterThan(3_000);
  expect(scene.states).toEqual(['inSync', 'stale', 'inSync']);
  await scene.written(target, 0, 'a');
});

test('R11: without an answer to pings nothing is read once the lease is over', async () => {
  const scene = await ReplicatedScene.open('r11');
  const target = await scene.target({ machine: 'n9' }).serving();
  await scene.written(target, 0, 'a');
  scene.simulation.network.partition(['n9'], ['n1', 'n2', 'n3']);
  await scene.simulation.runFor(5_000);
  const read = scene.read(target, 0);
  await scene.simulation.runFor(10_000);
  expect(read.ended).toBeNull();
  expect((await scene.ended(read)).error).toMatchObject({ code: 'busy' });
});

test('R11: a new target answers its first write only when the lease of the old one is over', async () => {
  const scene = await ReplicatedScene.open('r11-wait');
  const old = await scene.target({ machine: 'n9' }).serving();
  await scene.written(old, 0, 'a');
  old.process.pause();
  const startedMs = scene.simulation.nowMs;
  const next = await scene.target({ instance: 't2' }).serving();
  await scene.written(next, 0, 'b');
  expect(scene.simulation.nowMs - startedMs).toBeGreaterThanOrEqual(LEASE_WAIT_MS);
  old.process.resume();
  const stale = scene.read(old, 0);
  await scene.simulation.runFor(30_000);
  expect(stale.ended === null || stale.ended.error !== null).toBe(true);
  expect(old.stopped?.code).toBe('superseded');
});

test('R11: the successor of a target that is known dead need not wait', async () => {
  const scene = await ReplicatedScene.open('r11-dead');
  const old = await scene.target().serving();
  await scene.written(old, 0, 'a');
  old.process.kill();
  const startedMs = scene.simulation.nowMs;
  const next = await scene.target({ instance: 't2', knownDead: ['t1'] }).serving();
  await scene.written(next, 0, 'b');
  expect(scene.simulation.nowMs - startedMs).toBeLessThan(LEASE_WAIT_MS);
});

test('R12: overlapping writes leave every member with the same one', async () => {
  const scene = await ReplicatedScene.open('r12');
  const target = await scene.target().serving();
  const letters = 'abcdefghijklmnopqrstuvwxyz'.split('');
  const writes = letters.map((letter) => scene.write(target, 0, letter));
  for (const write of writes) expect((await scene.ended(write)).error).toBeNull();
  const letter = await scene.letterAt(target, 0);
  for (const survivor of [1, 2]) {
    await scene.replica(survivor - 1).kill();
    await scene.simulation.runFor(6_000);
    expect(await scene.letterAt(target, 0)).toBe(letter);
  }
});

test('R12: a write that reached some members is carried to all, across a short cut', async () => {
  const scene = await ReplicatedScene.open('r12-cut');
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  scene.simulation.network.partition(['n1'], ['n3']);
  const write = scene.write(target, 0, 'b');
  await scene.simulation.runFor(1_000);
  scene.simulation.network.heal();
  expect((await scene.ended(write)).error).toBeNull();
  expect(scene.states).toEqual(ALL_IN_SYNC);
  for (const lost of [0, 1]) {
    await scene.replica(lost).kill();
    await scene.simulation.runFor(6_000);
    expect(await scene.letterAt(target, 0)).toBe('b');
  }
});

test('R13: a read that overlaps a write in flight waits for it', async () => {
  const scene = await ReplicatedScene.open('r13');
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  scene.replica(2).machine.disk().stall(1_000);
  const write = scene.write(target, 0, 'b');
  const read = scene.read(target, 0);
  const { data } = await scene.ended(read);
  expect(write.ended).not.toBeNull();
  expect(data.toString('latin1', 0, 1)).toBe('b');
});

test('R13: what one replica cannot read comes from another and is written back', async () => {
  const scene = await ReplicatedScene.open('r13-repair');
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  const mend = scene.replica(0).machine.disk().addFault(failing('read'));
  expect(await scene.letterAt(target, 0)).toBe('a');
  mend();
  await scene.simulation.runFor(1_000);
  expect(scene.states).toEqual(ALL_IN_SYNC);
});

test('R14: a replica whose flush failed is removed; the volume goes on', async () => {
  const scene = await ReplicatedScene.open('r14');
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  scene.replica(1).machine.disk().addFault(failing('datasync'));
  expect((await scene.ended(scene.flush(target))).error).toBeNull();
  expect(scene.states).toEqual(['inSync', 'stale', 'inSync']);
});

test('R14: with one replica left, a failed flush and every later one is a medium error', async () => {
  const scene = await ReplicatedScene.open('r14-last');
  const target = await scene.target().serving();
  await scene.replica(1).kill();
  await scene.replica(2).kill();
  await scene.written(target, 0, 'a');
  const mend = scene.replica(0).machine.disk().addFault(failing('datasync'));
  expect((await scene.ended(scene.flush(target))).error).toMatchObject({ code: 'mediumError' });
  mend();
  expect((await scene.ended(scene.flush(target))).error).toMatchObject({ code: 'mediumError' });
});

test('R14, R16: a replica whose flush failed before the target died is no source', async () => {
  const scene = await ReplicatedScene.open('r14-source');
  const first = await scene.target().serving();
  const blocks = Array.from({ length: 16 }, (_each, index) => index * 65_536);
  for (const at of blocks) await scene.written(first, at, 'a');
  expect((await scene.ended(scene.flush(first))).error).toBeNull();
  for (const at of blocks) await scene.written(first, at, 'b');
  scene.store.away = true;
  const disk = scene.replica(0).machine.disk();
  const mend = disk.addFault(failing('datasync'));
  scene.flush(first);
  await scene.simulation.runFor(1_000);
  // What the kernel forgot is still read from the cache for a while, and then it is not.
  mend();
  disk.dropCaches();
  for (const at of blocks) expect(await scene.letterAt(first, at)).toBe('b');
  first.process.kill();
  scene.store.away = false;
  const second = await scene.target({ instance: 't2', knownDead: ['t1'] }).serving();
  for (const at of blocks) expect(await scene.letterAt(second, at)).toBe('b');
  expect(scene.states[0]).not.toBe('inSync');
});

test('R15: a replica killed and back in time stays in sync, and nothing is missing on it', async () => {
  const scene = await ReplicatedScene.open('r15');
  const target = await scene.target().serving();
  await scene.replica(1).kill();
  const write = scene.write(target, 0, 'a');
  await scene.simulation.runFor(500);
  scene.replica(1).process = scene.replica(1).machine.process('replica');
  await scene.replica(1).open();
  expect((await scene.ended(write)).error).toBeNull();
  expect(scene.states).toEqual(ALL_IN_SYNC);
  await scene.replica(0).kill();
  await scene.replica(2).kill();
  await scene.simulation.runFor(8_000);
  expect(scene.states).toEqual(['stale', 'inSync', 'stale']);
  expect(await scene.letterAt(target, 0)).toBe('a');
});

test('R15: a replica that lost its cache is removed, rebuilt and verified', async () => {
  const scene = await ReplicatedScene.open('r15-power');
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  await scene.replica(1).powerCut();
  await scene.simulation.runUntil(() => scene.states[1] === 'stale', 10_000, 'the removal');
  await scene.simulation.runUntil(() => scene.states[1] === 'inSync', 60_000, 'the rebuild');
  expect(await scene.letterAt(target, 0)).toBe('a');
});

test('R15: when all lost power amid writes, the same attachment is not resumed silently', async () => {
  const scene = await ReplicatedScene.open('r15-all');
  const first = await scene.target().serving();
  await scene.written(first, 0, 'a');
  first.process.kill();
  for (const replica of scene.replicas) await replica.powerCut();
  const second = scene.target({ instance: 't2' });
  await second.until(() => second.phase === 'cachesLost');
  const { error } = await scene.ended(scene.read(second, 0));
  expect(error).toMatchObject({ code: 'cachesLost' });
});

test('R16: what a killed target left unequal is equal before anything is read', async () => {
  const scene = await ReplicatedScene.open('r16');
  const first = await scene.target().serving();
  await scene.written(first, 0, 'a');
  scene.simulation.network.partition(['n1'], ['n3']);
  scene.write(first, 0, 'b');
  await scene.simulation.runFor(200);
  first.process.kill();
  scene.simulation.network.heal();
  const second = await scene.target({ instance: 't2', knownDead: ['t1'] }).serving();
  const letter = await scene.letterAt(second, 0);
  for (const survivor of [1, 2]) {
    await scene.replica(survivor - 1).kill();
    await scene.simulation.runFor(6_000);
    expect(await scene.letterAt(second, 0)).toBe(letter);
  }
});

test('R17: a stalled replica is removed at its deadline and no command fails', async () => {
  const scene = await ReplicatedScene.open('r17');
  const target = await scene.target().serving();
  scene.replica(2).machine.disk().stall(10_000);
  const write = scene.write(target, 0, 'a');
  expect((await scene.ended(write)).error).toBeNull();
  expect(write.endedAtMs - write.sentAtMs).toBeLessThan(5_000);
  expect(scene.states).toEqual(['inSync', 'inSync', 'stale']);
});

test('R17: a replica that stores no record misses a deadline, too: nothing waits for it', async () => {
  const scene = await ReplicatedScene.open('r17-record');
  const target = await scene.target().serving();
  await scene.written(target, 0, 'a');
  scene
    .replica(1)
    .machine.disk()
    .addFault({
      operation: 'datasync',
      pathIncludes: '/record',
      effect: { kind: 'delay', delayMs: 1e9 },
    });
  await scene.replica(2).kill();
  const write = scene.write(target, 0, 'b');
  expect((await scene.ended(write)).error).toBeNull();
  expect(scene.states).toEqual(['inSync', 'stale', 'stale']);
});

test('R17: a target that was paused does not throw everybody out', async () => {
  const scene = await ReplicatedScene.open('r17-pause');
  const target = await scene.target().serving();
  target.process.pauseFor(20_000);
  await scene.simulation.runFor(30_000);
  expect(scene.states).toEqual(ALL_IN_SYNC);
  expect(target.phase).toBe('serving');
});

test('R17: a target that is paused while it starts does not throw out whom it did not hear', async () => {
  const scene = await ReplicatedScene.open('r17-pause-start');
  const { network } = scene.simulation;
  network.partition(['n9'], ['n2', 'n3']);
  const target = scene.target({ machine: 'n9' });
  await scene.simulation.runFor(500);
  target.process.pause();
  await scene.simulation.runFor(5_000);
  network.heal();
  await scene.simulation.runFor(5_000);
  target.process.resume();
  await target.serving();
  expect(scene.states).toEqual(ALL_IN_SYNC);
});

test('R17: nobody is removed when nobody is left to carry on', async () => {
  const scene = await ReplicatedScene.open('r17-keeper');
  const target = await scene.target({ machine: 'n9' }).serving();
  scene.simulation.network.partition(['n9'], ['n1', 'n2', 'n3']);
  await scene.simulation.runFor(15_000);
  expect(scene.states).toEqual(ALL_IN_SYNC);
  scene.simulation.network.heal();
  await scene.written(target, 0, 'a');
  expect(scene.states).toEqual(ALL_IN_SYNC);
});

test('R18: with the store away and a replica lost, commands end BUSY, and go on by themselves', async () => {
  const scene = await ReplicatedScene.open('r18');
  const target = await scene.target().serving();
  scene.store.away = true;
  await scene.replica(0).kill();
  const write = scene.write(target, 0, 'a');
  expect((await scene.ended(write)).error).toMatchObject({ code: 'busy' });
  const heldMs = write.endedAtMs - write.sentAtMs;
  expect(heldMs).toBeGreaterThan(HOLD_MS - 1_000);
  expect(heldMs).toBeLessThan(20_000);
  scene.store.away = false;
  await scene.written(target, 0, 'b');
  expect(await scene.letterAt(target, 0)).toBe('b');
});

test('R18: a write that waits for a read of its range is answered BUSY as well, and lands no more', async () => {
  const scene = await ReplicatedScene.open('r18-blocked');
  const target = await scene.target({ machine: 'n9' }).serving();
  await scene.written(target, 0, 'a');
  scene.simulation.network.partition(['n9'], ['n1', 'n2', 'n3']);
  await scene.simulation.runFor(5_000);
  const read = scene.read(target, 0);
  const write = scene.write(target, 0, 'b');
  expect((await scene.ended(write)).error).toMatchObject({ code: 'busy' });
  expect(write.endedAtMs - write.sentAtMs).toBeLessThan(20_000);
  expect((await scene.ended(read)).error).toMatchObject({ code: 'busy' });
  expect(target.coordinator.volume.inFlightCount).toBe(0);
  scene.simulation.network.heal();
  expect(await scene.letterAt(target, 0)).toBe('a');
  await scene.simulation.runFor(5_000);
  expect(await scene.letterAt(target, 0)).toBe('a');
});

test('R18: a long outage fills no memory: what is carried has a limit, and all goes on by itself', async () => {
  const scene = await ReplicatedScene.open('r18-memory');
  const target = await scene.target().serving();
  scene.store.away = true;
  await scene.replica(2).kill();
  const sizeBytes = 1024 * 1024;
  let fannedOut = 0;
  for (let round = 0; round < 8; round += 1) {
    const writes = Array.from({ length: 16 }, (_each, index) =>
      scene.write(target, (index % 8) * sizeBytes, 'b', sizeBytes),
    );
    for (const write of writes) {
      expect((await scene.ended(write)).error).toMatchObject({ code: 'busy' });
    }
    fannedOut = target.coordinator.volume.inFlightCount;
  }
  expect(fannedOut * sizeBytes).toBe(CARRIED_BYTES_MAX);
  scene.store.away = false;
  await scene.written(target, 0, 'c');
  expect(await scene.letterAt(target, 0)).toBe('c');
  expect(target.coordinator.volume.inFlightCount).toBe(0);
});

test('R22, R24: a rebuild under writes ends equal, and only then counts', async () => {
  const scene = await ReplicatedScene.open('r22');
  const target = await scene.target().serving();
  for (let at = 0; at < 64; at += 1) await scene.written(target, at * 65_536, 'a');
  await scene.replica(1).kill();
  await scene.written(target, 4096, 'b');
  expect(scene.states[1]).toBe('stale');
  scene.replica(1).process = scene.replica(1).machine.process('replica');
  await scene.replica(1).open();
  for (let turn = 0; scene.states[1] !== 'inSync'; turn += 1) {
    expect(turn).toBeLessThan(2_000);
    await scene.written(target, (turn % 64) * 65_536, 'c');
  }
  await scene.written(target, 0, 'd');
  await scene.replica(0).kill();
  await scene.replica(2).kill();
  await scene.simulation.runFor(8_000);
  expect(scene.states).toEqual(['stale', 'inSync', 'stale']);
  expect(await scene.letterAt(target, 0)).toBe('d');
  expect(await scene.letterAt(target, 4096)).toBe('b');
});

test('a released target leaves a record that says so, and its successor equalises nothing', async () => {
  const scene = await ReplicatedScene.open('release');
  const first = await scene.target().serving();
  await scene.written(first, 0, 'a');
  first.process.enter(() => first.coordinator.release());
  await first.until(() => first.stopped !== null);
  expect(first.stopped).toEqual({ code: 'released' });
  expect(scene.store.record.releasedBy).toBe('t1');
  const second = await scene.target({ instance: 't2' }).serving();
  expect(second.events.map(({ event }) => event)).not.toContain('equalised');
  await scene.written(second, 0, 'b');
});
