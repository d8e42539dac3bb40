import { expect, test } from '@jest/globals';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { recordOf, SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { simulate } from '../../../fixtures/simulation.ts';
import { jsonOf } from '../../../fixtures/wire-client.ts';

async function start(seed = 1) {
  const replica = await new SimulatedReplica(simulate(seed), 'n1').start();
  return { replica, control: await replica.control(3) };
}

async function copyOf(replica: SimulatedReplica): Promise<unknown> {
  const client = await replica.connect();
  return jsonOf(await replica.finish(client.hello(replica.hello())))['record'];
}

test('R5: a copy of the record is durable before it is answered', async () => {
  for (let seed = 0; seed < 5; seed += 1) {
    const { replica, control } = await start(seed);
    expect(await copyOf(replica)).toBeNull();
    const record = recordOf(3, 4);
    const answer = await replica.finish(control.askJson(Op.record, record));
    expect(answer?.status).toBe(Status.ok);
    await replica.powerCut();
    expect(await copyOf(replica)).toEqual(record);
  }
});

test('R5: a copy needs no space', async () => {
  const { replica, control } = await start();
  const disk = replica.machine.disk();
  disk.capacityBytes -= disk.space().freeBytes;
  const replicas = Array.from({ length: 500 }, (_none, index) => ({
    id: `replica-${index}`,
    node: 'n'.repeat(200),
    state: 'stale' as const,
  }));
  const record = recordOf(3, 4, { replicas });
  expect((await replica.finish(control.askJson(Op.record, record)))?.status).toBe(Status.ok);
  await replica.powerCut();
  expect(await copyOf(replica)).toEqual(record);
});

test('R5: an older record, and another one of the same generation, is not taken', async () => {
  const { replica, control } = await start();
  const held = recordOf(3, 4);
  await replica.finish(control.askJson(Op.record, held));
  for (const older of [recordOf(2, 9), recordOf(3, 3), recordOf(3, 4, { minInSync: 2 })]) {
    const answer = await replica.finish(control.askJson(Op.record, older));
    expect(answer?.status).toBe(Status.badRequest);
    expect(jsonOf(answer)['detail']).toMatch(/not newer/);
  }
  expect((await replica.finish(control.askJson(Op.record, held)))?.status).toBe(Status.ok);
  expect(await copyOf(replica)).toEqual(held);
});

test('R5: of two copies sent at once the newer one stays, whichever is stored first', async () => {
  const { replica, control } = await start();
  const asked = [recordOf(3, 6), recordOf(3, 5)].map((record) =>
    control.askJson(Op.record, record),
  );
  const answers = await replica.finish(Promise.all(asked));
  expect(answers.map((answer) => answer?.status)).toEqual([Status.ok, Status.badRequest]);
  expect(await copyOf(replica)).toEqual(recordOf(3, 6));
});

test('R7: a record of another incarnation or volume is refused', async () => {
  const { replica, control } = await start();
  const wrong = [
    [{ incarnation: 'incarnation-2' }, 'foreignIncarnation'],
    [{ volumeId: 'volume-2' }, 'wrongVolume'],
  ] as const;
  for (const [more, code] of wrong) {
    const answer = await replica.finish(control.askJson(Op.record, recordOf(3, 4, more)));
    expect(answer?.status).toBe(Status.refused);
    expect(jsonOf(answer)['code']).toBe(code);
  }
  expect(await copyOf(replica)).toBeNull();
});

test.each([{}, null, 7, { ...recordOf(3, 4), formatVersion: 2 }, { ...recordOf(3, 4), epoch: -1 }])(
  'a record such as %j is a bad request',
  async (body) => {
    const { replica, control } = await start();
    const answer = await replica.finish(control.askJson(Op.record, body));
    expect(answer?.status).toBe(Status.badRequest);
  },
);

test('a record that is too long, as it comes or as it would be stored, is a bad request', async () => {
  const { replica, control } = await start();
  const long = { ...recordOf(3, 4), extra: 'x'.repeat(256 * 1024) };
  expect((await replica.finish(control.askJson(Op.record, long)))?.status).toBe(Status.badRequest);
  const numbers = JSON.stringify(recordOf(3, 4)).replace(
    '"snapshots"',
    `"extra":[${'1e20,'.repeat(40_000)}0],"snapshots"`,
  );
  const answer = await replica.finish(control.ask(Op.record, { payload: Buffer.from(numbers) }));
  expect(answer?.status).toBe(Status.badRequest);
  expect(jsonOf(answer)['detail']).toMatch(/more than 262144 bytes/);
});

test('R5: after a promise no older target changes the copy, however long its order took', async () => {
  for (let seed = 0; seed < 10; seed += 1) {
    const { replica, control } = await start(seed);
    await replica.finish(control.askJson(Op.record, recordOf(3, 4)));
    const successor = await replica.connect('other');
    await replica.finish(successor.hello(replica.hello()));
    void control.askJson(Op.record, recordOf(3, 5));
    await replica.simulation.runFor(replica.simulation.random.below(30) / 10);
    const promise = successor.askJson(Op.promise, { epoch: 4, instance: 'successor' });
    void control.askJson(Op.record, recordOf(3, 6));
    const told = jsonOf(await replica.finish(promise))['record'];
    await replica.simulation.runFor(1_000);
    expect(await copyOf(replica)).toEqual(told);
  }
});

test('R15: a lost cache stays visible until the promised target gives its own record', async () => {
  const { replica } = await start();
  const firstBoot = replica.machine.host.bootId();
  await replica.powerCut();
  const control = await replica.control(4, 'b');
  const promised = async () => {
    const client = await replica.connect();
    return jsonOf(await replica.finish(client.hello(replica.hello())))['promise'];
  };
  await replica.finish(control.askJson(Op.record, recordOf(3, 5, { targetInstance: 'a' })));
  expect(await promised()).toMatchObject({ epoch: 4, bootId: firstBoot });
  await replica.finish(control.askJson(Op.record, recordOf(4, 6, { targetInstance: 'b' })));
  const bootId = replica.machine.host.bootId();
  expect(await promised()).toMatchObject({ epoch: 4, bootId, previous: { bootId: firstBoot } });
});

test('a record that is nested without end is refused, and the replica lives on', async () => {
  const { replica, control } = await start();
  const depth = 60_000;
  const nested = `${'['.repeat(depth)}${']'.repeat(depth)}`;
  const text = `${JSON.stringify(recordOf(3, 4)).slice(0, -1)},"more":${nested}}`;
  const answer = await replica.finish(control.ask(Op.record, { payload: Buffer.from(text) }));
  expect(answer?.status).toBe(Status.badRequest);
  expect(jsonOf(answer)['detail']).toMatch(/too many levels/);
  expect((await replica.finish(control.askJson(Op.record, recordOf(3, 4))))?.status).toBe(0);
});

test('many who ask for its status cost one look at the files', async () => {
  const { replica } = await start();
  const { files } = replica;
  const look = files.allocatedBytes.bind(files);
  let looks = 0;
  files.allocatedBytes = (path) => {
    looks += 1;
    return look(path);
  };
  const served = replica.replica;
  if (served === null) throw new Error('it is served');
  const asked = Array.from({ length: 50 }, () => served.status());
  const answers = await replica.finish(Promise.all(asked));
  expect(answers.every(({ state }) => state === 'serving')).toBe(true);
  expect(looks).toBe(1);
});
