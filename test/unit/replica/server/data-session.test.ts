import { expect, test } from '@jest/globals';
import { crc32c } from '../../../../core/crc32c/index.ts';
import { CHECKSUM_CHUNK_BYTES, REGION_BYTES } from '../../../../core/limits.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { decodeExtents, encodeExtentsRequest } from '../../../../core/wire/extents.ts';
import { Op, Status } from '../../../../core/wire/frame.ts';
import { expectSame } from '../../../contract/block-device-checks.ts';
import { SimulatedReplica } from '../../../fixtures/simulated-replica.ts';
import { simulate } from '../../../fixtures/simulation.ts';
import { jsonOf } from '../../../fixtures/wire-client.ts';

async function attached(seed = 1) {
  const replica = await new SimulatedReplica(simulate(seed), 'n1').start();
  return { replica, ...(await replica.attach(1)) };
}

test('what is written is read, whole and in part, and zeros elsewhere', async () => {
  const { replica, data } = await attached();
  const bytes = Buffer.alloc(12 * KiB, 'abc');
  expect((await replica.finish(data.write(4 * KiB, bytes)))?.status).toBe(Status.ok);
  expectSame(await replica.finish(data.read(4 * KiB, bytes.length)), bytes);
  const around = await replica.finish(data.read(3.5 * KiB, KiB));
  expect(around).toEqual(Buffer.concat([Buffer.alloc(512), bytes.subarray(0, 512)]));
});

test('overlapping requests take effect in the order in which they were sent', async () => {
  const { replica, data } = await attached();
  const asked = [1, 2, 3, 4, 5].flatMap((value) => [
    data.write(0, Buffer.alloc(8 * KiB, value)),
    data.read(4 * KiB, 4 * KiB),
  ]);
  const answers = await replica.finish(Promise.all(asked));
  for (const [index, value] of [1, 2, 3, 4, 5].entries()) {
    const read = answers[index * 2 + 1] as Buffer;
    expect(read).toEqual(Buffer.alloc(4 * KiB, value));
  }
});

test('a barrier is answered when all writes before it have been applied, however they end', async () => {
  const { replica, data } = await attached();
  replica.machine.disk().addFault({
    operation: 'write',
    pathIncludes: '.img',
    countMax: 1,
    effect: { kind: 'error', code: 'EIO' },
  });
  const failing = data.write(0, Buffer.alloc(4 * KiB, 1));
  const slow = data.write(MiB, Buffer.alloc(MiB, 2));
  const barrier = data.ask(Op.barrier);
  const later = data.write(8 * MiB, Buffer.alloc(512, 3));
  const second = data.ask(Op.barrier);
  const all = await replica.finish(Promise.all([failing, slow, barrier, later, second]));
  expect(all.map((answer) => answer?.status)).toEqual([
    Status.mediumError,
    Status.ok,
    Status.ok,
    Status.ok,
    Status.ok,
  ]);
  const [one, two, three, four, five] = [2, 3, 4, 5, 6].map((sequence) =>
    data.answered.indexOf(sequence),
  );
  expect(three).toBeGreaterThan(Math.max(one ?? 0, two ?? 0));
  expect(five).toBeGreaterThan(Math.max(three ?? 0, four ?? 0));
});

test('a barrier with nothing before it is answered at once', async () => {
  const { replica, data } = await attached();
  expect((await replica.finish(data.ask(Op.barrier)))?.status).toBe(Status.ok);
});

test('a checksum is of the bytes at its place in the stream, chunk by chunk', async () => {
  const { replica, data } = await attached();
  const bytes = Buffer.alloc(2 * CHECKSUM_CHUNK_BYTES, 'x');
  void data.write(CHECKSUM_CHUNK_BYTES / 2, bytes);
  const sums = data.ask(Op.checksum, { offsetBytes: 0, lengthBytes: REGION_BYTES });
  void data.write(0, Buffer.alloc(4 * CHECKSUM_CHUNK_BYTES, 'y'));
  const answer = await replica.finish(sums);
  const whole = Buffer.alloc(REGION_BYTES);
  bytes.copy(whole, CHECKSUM_CHUNK_BYTES / 2);
  const expected: number[] = [];
  for (let at = 0; at < whole.length; at += CHECKSUM_CHUNK_BYTES) {
    expected.push(crc32c(whole.subarray(at, at + CHECKSUM_CHUNK_BYTES)));
  }
  const found = expected.map((_sum, index) => answer?.payload.readUInt32LE(index * 4));
  expect(found).toEqual(expected);
});

test('extents are what was written and not unmapped', async () => {
  const { replica, data } = await attached();
  await replica.finish(data.write(4 * KiB, Buffer.alloc(16 * KiB, 1)));
  await replica.finish(data.write(8 * MiB + 512, Buffer.alloc(512, 1)));
  await replica.finish(data.ask(Op.unmap, { offsetBytes: 8 * KiB, lengthBytes: 4 * KiB }));
  const payload = encodeExtentsRequest(replica.sizeBytes);
  const answer = await replica.finish(data.ask(Op.extents, { payload }));
  expect(decodeExtents(answer?.payload ?? Buffer.alloc(1))).toEqual([
    { offsetBytes: 4 * KiB, lengthBytes: 4 * KiB },
    { offsetBytes: 12 * KiB, lengthBytes: 8 * KiB },
    { offsetBytes: 8 * MiB, lengthBytes: 4 * KiB },
  ]);
});

const BAD_REQUESTS = [
  ['a read with a payload', Op.read, { lengthBytes: 512, payload: Buffer.alloc(512) }],
  ['a read of nothing', Op.read, { lengthBytes: 0 }],
  ['a read over the end', Op.read, { offsetBytes: 16 * MiB - 512, lengthBytes: 1024 }],
  ['a read between blocks', Op.read, { offsetBytes: 100, lengthBytes: 512 }],
  ['a read that is too long', Op.read, { lengthBytes: 4 * MiB + 512 }],
  ['a write without payload', Op.write, { lengthBytes: 512 }],
  ['a write of another length', Op.write, { lengthBytes: 1024, payload: Buffer.alloc(512) }],
  ['a write of half a block', Op.write, { lengthBytes: 100, payload: Buffer.alloc(100) }],
  ['an unmap that is too long', Op.unmap, { lengthBytes: 1024 * MiB + 512 }],
  ['a checksum of more than a region', Op.checksum, { lengthBytes: REGION_BYTES + 512 }],
  ['extents without a length', Op.extents, {}],
  ['a flush with a payload', Op.flush, { payload: Buffer.alloc(1) }],
  ['a ping', Op.ping, {}],
  ['a second hello', Op.hello, { payload: Buffer.from('{}') }],
] as const;

test.each(BAD_REQUESTS)('%s is a bad request, and the session goes on', async (_what, op, ask) => {
  const { replica, data } = await attached();
  const answer = await replica.finish(data.ask(op, ask));
  expect(answer?.status).toBe(Status.badRequest);
  expect(jsonOf(answer)['detail']).toEqual(expect.any(String));
  expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.ok);
});

test.each([0, 13, 16, 99, 127])('op %i is unknown, and said so', async (op) => {
  const { replica, data } = await attached();
  expect((await replica.finish(data.ask(op)))?.status).toBe(Status.unknownOperation);
});

test('what is not a frame ends the connection', async () => {
  const { replica, data } = await attached();
  data.connection.write(Buffer.alloc(48, 'no frame'));
  await replica.simulation.runUntil(() => data.closedWith !== null);
  const again = await replica.data(1);
  expect((await replica.finish(again.ask(Op.flush)))?.status).toBe(Status.ok);
});

test('a full pool answers noSpace, and nothing that was written is lost', async () => {
  const { replica, data } = await attached();
  await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 1)));
  const disk = replica.machine.disk();
  disk.capacityBytes = disk.capacityBytes - disk.space().freeBytes;
  expect((await replica.finish(data.write(MiB, Buffer.alloc(MiB, 2))))?.status).toBe(
    Status.noSpace,
  );
  expectSame(await replica.finish(data.read(MiB, 4 * KiB)), Buffer.alloc(4 * KiB));
  expect((await replica.finish(data.write(0, Buffer.alloc(64 * KiB, 3))))?.status).toBe(Status.ok);
  expect((await replica.finish(data.ask(Op.flush)))?.status).toBe(Status.ok);
  await replica.powerCut();
  const { data: after } = await replica.attach(2);
  expectSame(await replica.finish(after.read(0, 64 * KiB)), Buffer.alloc(64 * KiB, 3));
});

test('a read error of the medium is told, and the session goes on', async () => {
  const { replica, data } = await attached();
  await replica.finish(data.write(0, Buffer.alloc(4 * KiB, 1)));
  const disk = replica.machine.disk();
  disk.addFault({ operation: 'read', countMax: 1, effect: { kind: 'error', code: 'EIO' } });
  const failed = await replica.finish(data.ask(Op.read, { lengthBytes: 4 * KiB }));
  expect(failed?.status).toBe(Status.mediumError);
  expectSame(await replica.finish(data.read(0, 4 * KiB)), Buffer.alloc(4 * KiB, 1));
});

test('a replica whose disk hangs stops reading, and answers everything when it goes on', async () => {
  const { replica, data } = await attached();
  replica.machine.disk().hang();
  const bytes = Buffer.alloc(64 * KiB, 7);
  const count = 1200;
  const asked = Array.from({ length: count }, (_none, index) =>
    data.write((index % 200) * bytes.length, bytes),
  );
  await replica.simulation.runFor(5_000);
  // Its queue takes 32 MiB, the network between a little more.
  expect(data.connection.queuedBytes).toBeGreaterThan(count * bytes.length - 40 * MiB);
  replica.machine.disk().unhang();
  const answers = await replica.finish(Promise.all(asked));
  expect(answers.every((answer) => answer?.status === Status.ok)).toBe(true);
});
