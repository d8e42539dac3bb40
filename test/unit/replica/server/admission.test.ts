import { expect, test } from '@jest/globals';
import { KiB } from '../../../../core/units.ts';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { expectSame } from '../../../contract/block-device-checks.ts';
import { SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { simulate } from '../../../fixtures/simulation.ts';
import { jsonOf } from '../../../fixtures/wire-client.ts';

const STUCK_MS = 5_000;

/** The next write of data takes long, as in a thread that the kernel does not let go. */
function nextWriteIsStuck(replica: SimulatedReplica): void {
  replica.machine.disk().addFault({
    operation: 'write',
    pathIncludes: '.img',
    countMax: 1,
    effect: { kind: 'delay', delayMs: STUCK_MS },
  });
}

async function start(): Promise<SimulatedReplica> {
  return new SimulatedReplica(simulate(1), 'n1').start();
}

test('R9: a data session begins only when nothing of its predecessor is in flight', async () => {
  const replica = await start();
  const old = await replica.attach(1);
  nextWriteIsStuck(replica);
  void old.data.write(0, Buffer.alloc(4 * KiB, 1));
  await replica.simulation.runFor(50);

  await replica.control(2);
  const client = await replica.connect();
  const hello = replica.hello({ role: 'data', epoch: 2, instance: 'target-2' });
  let greeted = false;
  const answered = client.hello(hello).then((answer) => {
    greeted = true;
    return answer;
  });
  await replica.simulation.runFor(STUCK_MS - 500);
  expect(greeted).toBe(false);
  expect((await replica.finish(answered))?.status).toBe(Status.ok);

  await replica.finish(client.write(0, Buffer.alloc(4 * KiB, 2)));
  await replica.simulation.runFor(2 * STUCK_MS);
  expectSame(await replica.finish(client.read(0, 4 * KiB)), Buffer.alloc(4 * KiB, 2));
});

test('R9: what waits in a session that is cut is dropped, and never lands', async () => {
  const replica = await start();
  const old = await replica.attach(1);
  replica.machine.disk().addFault({
    operation: 'write',
    pathIncludes: '.img',
    effect: { kind: 'delay', delayMs: 1_000 },
  });
  // More than may be at the disk at once: the last ones are still in the queue.
  for (let index = 0; index < 400; index += 1) {
    void old.data.write(index * 4 * KiB, Buffer.alloc(4 * KiB, 1));
  }
  await replica.simulation.runFor(50);
  await replica.control(2);
  replica.machine.disk().clearFaults();
  const data = await replica.data(2);
  const last = 399 * 4 * KiB;
  expectSame(await replica.finish(data.read(last, 4 * KiB)), Buffer.alloc(4 * KiB));
  await replica.simulation.runFor(60_000);
  expectSame(await replica.finish(data.read(last, 4 * KiB)), Buffer.alloc(4 * KiB));
});

test('R9: a replica has one data session, and the newest connection of a target has it', async () => {
  const replica = await start();
  const { data } = await replica.attach(1);
  const second = await replica.data(1);
  expect(await replica.finish(data.ask(Op.flush))).toBeNull();
  expect((await replica.finish(second.ask(Op.flush)))?.status).toBe(Status.ok);
});

test('R9: of two that wait for the data session the later one gets it', async () => {
  const replica = await start();
  const { data } = await replica.attach(1);
  nextWriteIsStuck(replica);
  void data.write(0, Buffer.alloc(4 * KiB, 1));
  await replica.simulation.runFor(50);
  const [one, two] = [await replica.connect(), await replica.connect()];
  const hello = replica.hello({ role: 'data', epoch: 1, instance: 'target-1' });
  const first = one.hello(hello);
  await replica.simulation.runFor(50);
  const second = two.hello(hello);
  const answers = await replica.finish(Promise.all([first, second]));
  expect(answers.map((answer) => answer?.status)).toEqual([undefined, Status.ok]);
});

test('R9: a hello that waited through a higher promise is fenced', async () => {
  const replica = await start();
  const { data } = await replica.attach(1);
  nextWriteIsStuck(replica);
  void data.write(0, Buffer.alloc(4 * KiB, 1));
  await replica.simulation.runFor(50);
  const waiting = await replica.connect();
  const hello = replica.hello({ role: 'data', epoch: 1, instance: 'target-1' });
  const answer = waiting.hello(hello);
  await replica.simulation.runFor(50);
  await replica.control(2);
  const given = await replica.finish(answer);
  expect([Status.fenced, undefined]).toContain(given?.status);
  expect((await replica.finish((await replica.data(2)).ask(Op.flush)))?.status).toBe(Status.ok);
});

test('R9: a target that connects again after its connection broke goes on at the same epoch', async () => {
  const replica = await start();
  const { data } = await replica.attach(1);
  await replica.finish(data.write(0, Buffer.alloc(4 * KiB, 5)));
  replica.simulation.network.dropConnections('n1', 'target');
  const again = await replica.data(1);
  expectSame(await replica.finish(again.read(0, 4 * KiB)), Buffer.alloc(4 * KiB, 5));
});

test('R17: a promise does not queue behind data that is slow', async () => {
  const replica = await start();
  const old = await replica.attach(1);
  replica.machine.disk().addFault({
    operation: 'write',
    pathIncludes: '.img',
    effect: { kind: 'delay', delayMs: 200 },
  });
  for (let index = 0; index < 500; index += 1) {
    void old.data.write(index * 4 * KiB, Buffer.alloc(4 * KiB, 1));
  }
  await replica.simulation.runFor(1_000);
  const startedMs = replica.simulation.nowMs;
  await replica.control(2);
  // All 500 would take 25 s; those that are at the disk already take 1 s.
  expect(replica.simulation.nowMs - startedMs).toBeLessThan(2_000);
});

const WRONG_HELLOS = [
  ['token', { token: 'a token of sixteen letters at leasT' }, 'badToken'],
  ['token', { token: '' }, 'badToken'],
  ['volume', { volumeId: 'volume-2' }, 'wrongVolume'],
  ['replica', { replicaId: 'replica-2' }, 'wrongReplica'],
  ['incarnation', { incarnation: 'incarnation-2' }, 'foreignIncarnation'],
] as const;

test.each(WRONG_HELLOS)('a hello with another %s is refused', async (_what, more, code) => {
  const replica = await start();
  for (const role of ['control', 'data', 'source'] as const) {
    const client = await replica.connect();
    const answer = await replica.finish(client.hello(replica.hello({ role, ...more })));
    expect(answer?.status).toBe(Status.refused);
    expect(jsonOf(answer)['code']).toBe(code);
    await replica.simulation.runUntil(() => client.closedWith !== null);
  }
});

test('a first frame that is no hello is refused, and ends the connection', async () => {
  const replica = await start();
  const client = await replica.connect();
  expect((await replica.finish(client.ask(Op.ping)))?.status).toBe(Status.badRequest);
  await replica.simulation.runUntil(() => client.closedWith !== null);
  const other = await replica.connect();
  expect((await replica.finish(other.askJson(Op.hello, { protocol: 2 })))?.status).toBe(
    Status.badRequest,
  );
});

test('a connection that says nothing is ended', async () => {
  const replica = await start();
  const client = await replica.connect();
  await replica.simulation.runUntil(() => client.closedWith !== null, 15_000);
});

test('a source connection reads and lists, and does nothing else', async () => {
  const replica = await start();
  await replica.control(1);
  const source = await replica.connect('other');
  const hello = replica.hello({ role: 'source', epoch: 1, instance: 'target-1' });
  await replica.finish(source.hello(hello));
  expectSame(await replica.finish(source.read(0, 512)), Buffer.alloc(512));
  for (const op of [Op.write, Op.unmap, Op.flush, Op.checksum, Op.barrier]) {
    expect((await replica.finish(source.ask(op)))?.status).toBe(Status.badRequest);
  }
});

test('an orderly stop answers what was started and keeps all that was answered', async () => {
  const replica = await start();
  const { data } = await replica.attach(1);
  const asked = Array.from({ length: 100 }, (_none, index) =>
    data.write(index * 4 * KiB, Buffer.alloc(4 * KiB, index + 1)),
  );
  await replica.simulation.runFor(1);
  await replica.finish(replica.replica?.close() ?? Promise.resolve());
  const answers = await replica.finish(Promise.all(asked));
  const answered = answers.filter((answer) => answer?.status === Status.ok).length;
  expect(answered).toBeGreaterThan(0);
  await replica.powerCut();
  const { data: after } = await replica.attach(2);
  for (const [index, answer] of answers.entries()) {
    if (answer === null) continue;
    const found = await replica.finish(after.read(index * 4 * KiB, 4 * KiB));
    expectSame(found, Buffer.alloc(4 * KiB, index + 1));
  }
});
