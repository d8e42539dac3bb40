/** Every metadata file cut, damaged, emptied, removed, from a newer version: each in turn. */
import { describe, expect, test } from '@jest/globals';
import { KiB, MiB } from '../../../../core/units.ts';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { expectSame } from '../../../contract/block-device-checks.ts';
import { SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { filesOf, simulate } from '../../../fixtures/simulation.ts';
import { jsonOf } from '../../../fixtures/wire-client.ts';

const DATA = Buffer.alloc(64 * KiB, 'data');

/** A replica with data, stopped. */
async function stopped(): Promise<SimulatedReplica> {
  const replica = await new SimulatedReplica(simulate(1), 'n1', { sizeBytes: 4 * MiB }).start();
  const { data } = await replica.attach(1);
  await replica.finish(data.write(0, DATA));
  await replica.finish(data.ask(Op.flush));
  await replica.finish(replica.replica?.close() ?? Promise.resolve());
  replica.process = replica.machine.process('replica');
  return replica;
}

async function change(
  replica: SimulatedReplica,
  path: string,
  edit: (content: Buffer) => Buffer,
): Promise<void> {
  const { files } = replica;
  const before = await replica.finish(files.readWhole(path, 5 * MiB));
  await replica.finish(files.remove(path));
  const file = await filesOf(replica.process).create(path);
  const after = edit(Buffer.from(before));
  if (after.length > 0) await file.write(0, after);
  await file.close();
}

async function helloOf(replica: SimulatedReplica, role: 'control' | 'data') {
  const client = await replica.connect();
  const epoch = role === 'data' ? 1 : 0;
  const instance = role === 'data' ? 'target-1' : '';
  return replica.finish(client.hello(replica.hello({ role, epoch, instance })));
}

const cutInHalf = (content: Buffer) => content.subarray(0, content.length / 2);
const emptied = () => Buffer.alloc(0);
const garbage = (content: Buffer) => Buffer.alloc(content.length, 0xa5);
const zeroed = (content: Buffer) => Buffer.alloc(content.length);
const oneByte = (content: Buffer) => {
  const at = Math.floor(content.length / 3);
  content[at] = (content[at] ?? 0) ^ 0x10;
  return content;
};

const DAMAGES = [
  ['cut in half', cutInHalf],
  ['empty', emptied],
  ['full of garbage', garbage],
  ['full of zeros', zeroed],
] as const;

const IDENTITY_FILES = ['identity.json', 'promise', 'failed', 'record', 'current'];
const LAYER_FILES = ['chain.json', 'volume-head-000.img', 'volume-head-000.index'];

describe.each(IDENTITY_FILES)('R6: %s', (name) => {
  async function expectLost(replica: SimulatedReplica): Promise<void> {
    await replica.open();
    for (const role of ['control', 'data'] as const) {
      const answer = await helloOf(replica, role);
      expect(answer?.status).toBe(Status.refused);
      expect(jsonOf(answer)).toEqual({
        code: 'lostIdentity',
        detail: expect.stringMatching(new RegExp(`${name} is (damaged|missing).*rebuild it`)),
      });
    }
    expect(
      await replica.finish(replica.replica?.status() ?? Promise.reject(new Error('closed'))),
    ).toMatchObject({
      state: 'lost',
    });
  }

  test.each(DAMAGES)('%s makes the replica nobody, and it says why', async (_what, edit) => {
    const replica = await stopped();
    await change(replica, `${replica.folder}/${name}`, edit);
    await expectLost(replica);
  });

  test('missing makes the replica nobody, and it is not made again', async () => {
    const replica = await stopped();
    await replica.finish(replica.files.remove(`${replica.folder}/${name}`));
    await expectLost(replica);
    expect(await replica.finish(replica.files.exists(`${replica.folder}/${name}`))).toBe(false);
  });
});

test('R6: one wrong byte in identity.json makes the replica nobody', async () => {
  const replica = await stopped();
  await change(replica, `${replica.folder}/identity.json`, oneByte);
  await replica.open();
  expect(jsonOf(await helloOf(replica, 'control'))['code']).toBe('lostIdentity');
});

test.each(['promise', 'failed', 'record', 'current'])(
  'either slot of %s alone is enough, and the other one is written again',
  async (name) => {
    for (const slot of [0, 1]) {
      const replica = await stopped();
      const path = `${replica.folder}/${name}`;
      const whole = await replica.finish(replica.files.readWhole(path, MiB));
      await change(replica, path, (content) => {
        const half = content.length / 2;
        return content.fill(0xee, slot * half, (slot + 1) * half);
      });
      await replica.open();
      expect((await helloOf(replica, 'data'))?.status).toBe(Status.ok);
      expectSame(await replica.finish(replica.files.readWhole(path, MiB)), whole);
    }
  },
);

describe.each(LAYER_FILES)('R6: %s', (name) => {
  async function expectLayersLost(replica: SimulatedReplica): Promise<void> {
    await replica.open();
    const answer = await helloOf(replica, 'data');
    expect(answer?.status).toBe(Status.refused);
    expect(jsonOf(answer)).toEqual({
      code: 'lostIdentity',
      detail: expect.stringMatching(new RegExp(`${name} is (damaged|missing).*rebuild it`)),
    });
    // It still promises, and can be rebuilt.
    const control = await replica.control(2);
    expect((await replica.finish(control.ask(Op.ping)))?.status).toBe(Status.ok);
    const begin = control.askJson(Op.rebuild, { action: 'begin', rebuildId: 'r1' });
    expect((await replica.finish(begin))?.status).toBe(Status.ok);
  }
  const damages = DAMAGES.filter(([what]) => name !== 'volume-head-000.img' || !/full/.test(what));

  test.each(damages)('%s is not in sync, and says why', async (_what, edit) => {
    const replica = await stopped();
    await change(replica, `${replica.folder}/layers-1/${name}`, edit);
    await expectLayersLost(replica);
  });

  test('missing is not in sync, and says why', async () => {
    const replica = await stopped();
    await replica.finish(replica.files.remove(`${replica.folder}/layers-1/${name}`));
    await expectLayersLost(replica);
  });
});

test.each([...DAMAGES, ['missing', null] as const])(
  'a .live index that is %s is made again from the durable one',
  async (_what, edit) => {
    const replica = await stopped();
    const path = `${replica.folder}/layers-1/volume-head-000.live`;
    if (edit === null) await replica.finish(replica.files.remove(path));
    else await change(replica, path, edit);
    await replica.open();
    const data = await replica.data(1);
    expectSame(await replica.finish(data.read(0, DATA.length)), DATA);
  },
);

test('a damaged page of the index is a medium error, and never other data', async () => {
  const replica = await stopped();
  await replica.finish(replica.files.remove(`${replica.folder}/layers-1/volume-head-000.live`));
  await change(replica, `${replica.folder}/layers-1/volume-head-000.index`, (content) => {
    content[4096 + 10] = (content[4096 + 10] ?? 0) ^ 4;
    return content;
  });
  await replica.open();
  const data = await replica.data(1);
  for (const op of [Op.read, Op.checksum, Op.unmap]) {
    const answer = await replica.finish(data.ask(op, { lengthBytes: 4096 }));
    expect(answer?.status).toBe(Status.mediumError);
  }
  const written = await replica.finish(data.write(512, Buffer.alloc(512)));
  expect(written?.status).toBe(Status.mediumError);
});

describe('what a newer version wrote is refused, not reinterpreted:', () => {
  const bumpJson = (content: Buffer) =>
    Buffer.from(content.toString().replace('"formatVersion": 1', '"formatVersion": 2'));

  test.each(['identity.json', 'layers-1/chain.json'])('%s', async (name) => {
    const replica = await stopped();
    await change(replica, `${replica.folder}/${name}`, bumpJson);
    await expect(replica.open()).rejects.toMatchObject({
      code: 'newerFormat',
      message: expect.stringMatching(`${name.replace(/.*\//, '')} has format version 2.*newer`),
    });
  });

  test('the pool', async () => {
    const replica = await stopped();
    await change(replica, '/pool/pool.json', () =>
      Buffer.from(JSON.stringify({ formatVersion: 2, poolId: 'pool-1' })),
    );
    await expect(replica.open()).rejects.toMatchObject({ code: 'newerFormat' });
  });
});

test('R6: a pool without its id is an unmounted disk: refused, and nothing is made in it', async () => {
  const replica = await stopped();
  await replica.finish(replica.files.remove('/pool/pool.json'));
  await replica.open();
  expect(jsonOf(await helloOf(replica, 'control'))).toMatchObject({
    code: 'lostIdentity',
    detail: expect.stringMatching(/pool.json is missing: mount the disk/),
  });
});

test('R6: a pool with another id is another disk', async () => {
  const replica = await stopped();
  await change(replica, '/pool/pool.json', () => Buffer.from('{"poolId":"pool-2"}'));
  await replica.open();
  expect(jsonOf(await helloOf(replica, 'data'))).toMatchObject({
    code: 'lostIdentity',
    detail: expect.stringMatching(/has pool id pool-2, not pool-1/),
  });
});

test('R6: a folder that is not there is not made', async () => {
  const replica = await stopped();
  await replica.finish(replica.files.remove(replica.folder));
  await replica.open();
  expect(jsonOf(await helloOf(replica, 'control'))['code']).toBe('lostIdentity');
  expect(await replica.finish(replica.files.exists(replica.folder))).toBe(false);
});
