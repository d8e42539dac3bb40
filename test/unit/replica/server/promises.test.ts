import { expect, test } from '@jest/globals';
import { KiB } from '../../../../core/units.ts';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { expectSame } from '../../../contract/block-device-checks.ts';
import { recordOf, SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { simulate } from '../../../fixtures/simulation.ts';
import { jsonOf, type WireClient } from '../../../fixtures/wire-client.ts';

function start(seed = 1): Promise<SimulatedReplica> {
  return new SimulatedReplica(simulate(seed), 'n1').start();
}

async function promised(replica: SimulatedReplica): Promise<unknown> {
  const client = await replica.connect();
  return jsonOf(await replica.finish(client.hello(replica.hello())))['promise'];
}

test('R8: a promise is durable before it is answered', async () => {
  for (let seed = 0; seed < 8; seed += 1) {
    const replica = await start(seed);
    expect(await promised(replica)).toMatchObject({ epoch: 0, instance: '', previous: null });
    await replica.control(7, 'a');
    await replica.powerCut();
    expect(await promised(replica)).toMatchObject({ epoch: 7, instance: 'a' });
  }
});

test('R8: of a promise that power cut off, either the old or the new one is there', async () => {
  const seen = new Set<number>();
  for (let seed = 0; seed < 30; seed += 1) {
    const replica = await start(seed);
    const control = await replica.control(1);
    void control.askJson(Op.promise, { epoch: 2, instance: 'late' });
    await replica.simulation.runFor(seed / 10);
    await replica.powerCut();
    const { epoch } = (await promised(replica)) as { epoch: number };
    expect([1, 2]).toContain(epoch);
    seen.add(epoch);
  }
  expect(seen.size).toBe(2);
});

test('R8: only strictly higher epochs are promised, the same one only to the same instance', async () => {
  const replica = await start();
  const control = await replica.control(5, 'a');
  const ask = async (epoch: number, instance: string) => {
    const answer = await replica.finish(control.askJson(Op.promise, { epoch, instance }));
    return [answer?.status, jsonOf(answer)['epoch'], jsonOf(answer)['instance']];
  };
  expect(await ask(5, 'a')).toEqual([Status.ok, 5, 'a']);
  expect(await ask(5, 'b')).toEqual([Status.fenced, 5, 'a']);
  expect(await ask(4, 'a')).toEqual([Status.fenced, 5, 'a']);
  expect(await ask(6, 'b')).toEqual([Status.ok, 6, 'b']);
  expect(await ask(5, 'a')).toEqual([Status.fenced, 6, 'b']);
});

const NO_PROMISES = [
  {},
  [],
  { epoch: 0, instance: 'a' },
  { epoch: 1 },
  { epoch: 1.5, instance: 'a' },
  { epoch: 2, instance: '' },
  { epoch: 2, instance: 'a\u0000' },
  { epoch: 2, instance: 'a'.repeat(129) },
];

test.each(NO_PROMISES)('R8: %j is no promise', async (body) => {
  const replica = await start();
  const control = await replica.control(1);
  const answer = await replica.finish(control.askJson(Op.promise, body));
  expect(answer?.status).toBe(Status.badRequest);
});

test('R8: a promise carries the one that it replaced, and where the replica was counted in', async () => {
  const replica = await start();
  const bootOf = () => replica.machine.host.bootId();
  const firstBoot = bootOf();
  await replica.control(3, 'a');
  await replica.powerCut();
  // Neither the same one made again nor the next may look as if its cache had been kept.
  await replica.control(3, 'a');
  expect(await promised(replica)).toMatchObject({ epoch: 3, bootId: firstBoot, previous: null });
  await replica.control(4, 'b');
  expect(await promised(replica)).toMatchObject({
    epoch: 4,
    instance: 'b',
    bootId: firstBoot,
    previous: { epoch: 3, instance: 'a', bootId: firstBoot },
  });
  expect(bootOf()).not.toBe(firstBoot);
});

test.each(['killed', 'closed'] as const)(
  'R15: %s, and its .live lost: its cache is lost, and it says so',
  async (how) => {
    const replica = await start();
    const { control, data } = await replica.attach(1);
    const own = recordOf(1, 1, { targetInstance: 'target-1' });
    const stored = control.ask(Op.record, { payload: Buffer.from(JSON.stringify(own)) });
    expect((await replica.finish(stored))?.status).toBe(Status.ok);
    await replica.finish(data.write(0, Buffer.alloc(4 * KiB, 1)));
    const cacheNow = async () => {
      const client = await replica.connect();
      const { bootId, mountId, promise } = jsonOf(
        await replica.finish(client.hello(replica.hello())),
      );
      const made = promise as { bootId: string; mountId: string };
      return { kept: made.bootId === bootId && made.mountId === mountId, mountId };
    };
    const before = await cacheNow();
    expect(before.kept).toBe(true);
    await replica.restart();
    expect(await cacheNow()).toEqual(before);
    if (how === 'closed') await replica.finish(replica.replica?.close() ?? Promise.resolve());
    await replica.kill();
    replica.process = replica.machine.process('replica');
    const live = `${replica.folder}/layers-1/volume-head-000.live`;
    await replica.finish(replica.files.remove(live));
    await replica.open();
    const after = await cacheNow();
    expect(after.kept).toBe(false);
    // It lost it once: what is answered from now on is kept.
    await replica.restart();
    expect(await cacheNow()).toEqual(after);
  },
);

test('R8: a promise needs no space', async () => {
  const replica = await start();
  const disk = replica.machine.disk();
  disk.capacityBytes -= disk.space().freeBytes;
  await replica.control(9, 'a');
  expect(await promised(replica)).toMatchObject({ epoch: 9 });
});

test('R8: from the durable promise on nothing of a lower epoch is answered anywhere', async () => {
  for (let seed = 0; seed < 5; seed += 1) {
    const replica = await start(seed);
    const old = await replica.attach(1);
    const source = await replica.connect('other');
    const hello = replica.hello({ role: 'source', epoch: 1, instance: 'target-1' });
    expect((await replica.finish(source.hello(hello)))?.status).toBe(Status.ok);
    expect((await replica.finish(old.control.ask(Op.ping)))?.status).toBe(Status.ok);

    await replica.control(2);
    const asked: [WireClient, number][] = [
      [old.control, Op.ping],
      [old.data, Op.flush],
      [source, Op.read],
    ];
    for (const [client, op] of asked) {
      expect(await replica.finish(client.ask(op, { lengthBytes: 0 }))).toBeNull();
      expect(client.closedWith).not.toBeNull();
    }
  }
});

test('R8: a new connection with an old epoch is fenced, and told by whom', async () => {
  const replica = await start();
  await replica.control(2, 'new');
  for (const role of ['control', 'data', 'source'] as const) {
    for (const [epoch, instance] of [
      [1, 'old'],
      [2, 'old'],
    ] as const) {
      const client = await replica.connect();
      const hello = replica.hello({ role, epoch, instance });
      const answer = await replica.finish(client.hello(hello));
      expect(answer?.status).toBe(Status.fenced);
      expect(jsonOf(answer)).toMatchObject({ epoch: 2, instance: 'new' });
    }
  }
});

test('R8: data under an epoch that is not promised yet is fenced as well', async () => {
  const replica = await start();
  await replica.control(2, 'target-2');
  const client = await replica.connect();
  const hello = replica.hello({ role: 'data', epoch: 3, instance: 'target-3' });
  expect((await replica.finish(client.hello(hello)))?.status).toBe(Status.fenced);
});

test('R8: a frame of another epoch is fenced, and nothing of it is done', async () => {
  const replica = await start();
  const { control, data } = await replica.attach(2);
  const payload = Buffer.alloc(4 * KiB, 1);
  for (const epoch of [0, 1, 3]) {
    const asked = [
      data.ask(Op.write, { lengthBytes: payload.length, payload, epoch }),
      data.ask(Op.read, { lengthBytes: 512, epoch }),
      data.ask(Op.barrier, { epoch }),
      control.ask(Op.ping, { epoch }),
      control.ask(Op.record, { epoch, payload: Buffer.from('{}') }),
      control.ask(Op.rebuild, { epoch, payload: Buffer.from('{}') }),
    ];
    for (const answer of await replica.finish(Promise.all(asked))) {
      expect(answer?.status).toBe(Status.fenced);
      expect(jsonOf(answer)).toMatchObject({ epoch: 2 });
    }
  }
  expectSame(await replica.finish(data.read(0, 4 * KiB)), Buffer.alloc(4 * KiB));
});

test('R8: a replica that only promised nothing answers no ping', async () => {
  const replica = await start();
  const client = await replica.connect();
  await replica.finish(client.hello(replica.hello()));
  expect((await replica.finish(client.ask(Op.ping)))?.status).toBe(Status.fenced);
});

test('R8: answers that wait in the connection of an old target are dropped', async () => {
  const replica = await start();
  const old = await replica.attach(1);
  await replica.finish(old.data.write(0, Buffer.alloc(4 * KiB, 1)));
  // The old target is cut off; what it asked before is answered into the void.
  const reading = Array.from({ length: 20 }, () => old.data.ask(Op.read, { lengthBytes: 4 * KiB }));
  await replica.simulation.runFor(0.01);
  replica.simulation.network.partition(['n1'], ['target']);
  await replica.simulation.runFor(100);
  const answeredBefore = old.data.answered.length;
  const successor = await replica.connect('other');
  await replica.finish(successor.hello(replica.hello()));
  await replica.finish(successor.askJson(Op.promise, { epoch: 2, instance: 'b' }));
  replica.simulation.network.heal();
  await replica.finish(Promise.all(reading));
  expect(old.data.answered.length).toBe(answeredBefore);
  expect(old.data.closedWith).not.toBeNull();
});

test('a promise that cannot be stored is not made, and the old one holds', async () => {
  const replica = await start();
  const control = await replica.control(1);
  replica.machine.disk().addFault({
    operation: 'datasync',
    pathIncludes: 'promise',
    effect: { kind: 'error', code: 'EIO' },
  });
  const answer = await replica.finish(control.askJson(Op.promise, { epoch: 2, instance: 'b' }));
  expect(answer?.status).toBe(Status.mediumError);
  expect((await replica.finish(control.ask(Op.ping)))?.status).toBe(Status.ok);
});

test('R8: what an fdatasync failed to make durable is made so before it is promised again', async () => {
  for (let seed = 0; seed < 12; seed += 1) {
    const replica = await start(seed);
    const control = await replica.control(1);
    replica.machine.disk().addFault({
      operation: 'datasync',
      pathIncludes: 'promise',
      countMax: 1,
      effect: { kind: 'error', code: 'EIO' },
    });
    await replica.finish(control.askJson(Op.promise, { epoch: 2, instance: 'late' }));
    // Its pages are clean and partly lost; a new process still reads them from the cache.
    await replica.restart();
    await replica.control(2, 'late');
    await replica.powerCut();
    expect(await promised(replica)).toMatchObject({ epoch: 2, instance: 'late' });
  }
});
