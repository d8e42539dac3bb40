import { expect, test } from '@jest/globals';
import { MiB } from '../../../../core/units.ts';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { createReplica } from '../../../../replica/index.ts';
import { recordOf, SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { simulate } from '../../../fixtures/simulation.ts';
import { jsonOf } from '../../../fixtures/wire-client.ts';

async function withPool(seed: number | string = 1): Promise<SimulatedReplica> {
  const replica = new SimulatedReplica(simulate(seed), 'n1');
  await replica.makePool();
  return replica;
}

test('R6: a replica is minted once, and minting it again changes nothing', async () => {
  const replica = await withPool();
  const { platform } = replica.process;
  expect(await replica.finish(createReplica(platform, replica.spec))).toBe('created');
  await replica.open();
  await replica.control(4);
  await replica.finish(replica.replica?.close() ?? Promise.resolve());
  expect(await replica.finish(createReplica(platform, replica.spec))).toBe('existed');
  await replica.open();
  const client = await replica.connect();
  expect(jsonOf(await replica.finish(client.hello(replica.hello())))).toMatchObject({
    promise: { epoch: 4 },
  });
});

test('R6: a folder that is another replica is never taken over', async () => {
  const replica = await withPool();
  const { platform } = replica.process;
  await replica.finish(createReplica(platform, replica.spec));
  for (const more of [{ volumeId: 'volume-2' }, { incarnation: 'i2' }, { sizeBytes: 32 * MiB }]) {
    const again = createReplica(platform, { ...replica.spec, ...more });
    await expect(replica.finish(again)).rejects.toMatchObject({ code: 'wrongIdentity' });
  }
});

test('R5: the first copy of the record is minted with the replica', async () => {
  const replica = await withPool();
  const record = recordOf(0, 1);
  const spec = { ...replica.spec, record };
  await replica.finish(createReplica(replica.process.platform, spec));
  await replica.powerCut();
  const client = await replica.connect();
  const answer = await replica.finish(client.hello(replica.hello()));
  expect(jsonOf(answer)['record']).toEqual(record);
});

const BAD_SPECS = [
  { replicaId: '../up' },
  { replicaId: '' },
  { volumeId: 'a/b' },
  { sizeBytes: 0 },
  { sizeBytes: 4095 },
  { sizeBytes: 2 ** 60 },
  { sizeBytes: Number.NaN },
  { blockSizeBytes: 1000 },
  { record: {} },
  { record: recordOf(0, 1, { volumeId: 'volume-2' }) },
];

test.each(BAD_SPECS)('a spec with %j makes nothing', async (more) => {
  const replica = await withPool();
  const made = createReplica(replica.process.platform, { ...replica.spec, ...more });
  await expect(replica.finish(made)).rejects.toMatchObject({ code: 'badSpec' });
  expect(await replica.finish(replica.files.exists('/pool/replicas'))).toBe(false);
});

test('R6: nothing is made in a pool without an id, or with another one', async () => {
  const replica = await withPool();
  const { platform } = replica.process;
  const other = createReplica(platform, { ...replica.spec, poolId: 'pool-2' });
  await expect(replica.finish(other)).rejects.toMatchObject({ code: 'wrongPool' });
  await replica.finish(replica.files.remove('/pool/pool.json'));
  const none = createReplica(platform, replica.spec);
  await expect(replica.finish(none)).rejects.toMatchObject({ code: 'wrongPool' });
  expect(await replica.finish(replica.files.list('/pool'))).toEqual([]);
});

test('R6: at whatever moment power is lost, a replica is there whole or not at all', async () => {
  let there = 0;
  for (let seed = 0; seed < 40; seed += 1) {
    const replica = await withPool(`mint ${seed}`);
    createReplica(replica.process.platform, replica.spec).catch(() => undefined);
    await replica.simulation.runFor(replica.simulation.random.below(900) / 10);
    replica.machine.losePower();
    replica.machine.boot();
    replica.process = replica.machine.process('replica');
    if (await replica.finish(replica.files.exists(replica.folder))) {
      there += 1;
      await replica.open();
      const { data } = await replica.attach(1);
      expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.ok);
    }
    // The agent tries again.
    await replica.finish(createReplica(replica.process.platform, replica.spec));
    expect(await replica.finish(replica.files.list('/pool/replicas'))).toEqual([replica.id]);
  }
  expect(there).toBeGreaterThan(3);
  expect(there).toBeLessThan(37);
});

test('R6: a replica that exists is durable, also when who made it was killed', async () => {
  for (let seed = 0; seed < 8; seed += 1) {
    const replica = await withPool(`killed ${seed}`);
    createReplica(replica.process.platform, replica.spec).catch(() => undefined);
    await replica.simulation.runFor(40 + replica.simulation.random.below(300) / 10);
    await replica.kill();
    replica.process = replica.machine.process('replica');
    await replica.finish(createReplica(replica.process.platform, replica.spec));
    await replica.powerCut();
    const { data } = await replica.attach(1);
    expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.ok);
  }
});

test('a full pool makes no replica, and leaves nothing behind', async () => {
  const replica = await withPool();
  replica.machine.disk().capacityBytes = 64 * 1024;
  const made = createReplica(replica.process.platform, replica.spec);
  await expect(replica.finish(made)).rejects.toMatchObject({ code: 'noSpace' });
  expect(await replica.finish(replica.files.list('/pool/replicas'))).toEqual([]);
});

test('two processes never serve the same folder', async () => {
  const replica = await withPool();
  await replica.finish(createReplica(replica.process.platform, replica.spec));
  await replica.open();
  const first = replica.process;
  replica.process = replica.machine.process('second');
  await expect(replica.open()).rejects.toMatchObject({
    code: 'locked',
    message: expect.stringMatching(/served by another process/),
  });
  first.kill();
  await replica.simulation.runFor(1_000);
  await replica.open();
});

test('an address that is taken is thrown, and the folder is free again', async () => {
  const replica = await withPool();
  await replica.finish(createReplica(replica.process.platform, replica.spec));
  const other = replica.machine.process('other');
  const listening = new Promise<void>((resolve) => {
    other.platform.network.listen(
      replica.address,
      () => null,
      () => resolve(),
    );
  });
  await replica.finish(listening);
  await expect(replica.open()).rejects.toMatchObject({ code: 'EADDRINUSE' });
  other.kill();
  await replica.simulation.runFor(100);
  await replica.open();
});
