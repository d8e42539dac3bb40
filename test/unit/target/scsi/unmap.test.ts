import { describe, expect, test } from '@jest/globals';
import { MemoryBlockDevice } from '../../../../core/block/memory-block-device.ts';
import { GiB, MiB } from '../../../../core/units.ts';
import { HeldDevice } from '../../../fixtures/held-device.ts';
import { cdb10, cdb16, UnitUnderTest, unmapList } from '../../../fixtures/scsi-unit.ts';

const UNMAP = 0x08;
const NO_DATA_OUT = 0x01;

function unmapCdb(listBytes: number): Buffer {
  return cdb10(0x42, 0, listBytes);
}

describe('UNMAP', () => {
  test('makes exactly its ranges read as zeros', async () => {
    const unit = new UnitUnderTest();
    await unit.send({ cdb: cdb10(0x2a, 0, 64), dataOut: Buffer.alloc(64 * 512, 0xff) });
    const list = unmapList([
      [3, 2],
      [0, 0],
      [40, 8],
    ]);
    const answer = await unit.send({ cdb: unmapCdb(list.length), dataOut: list });
    expect(answer.status).toBe(0);
    const { data } = await unit.send({ cdb: cdb10(0x28, 0, 64) });
    const zeroed = Array.from({ length: 64 }, (_, block) => data[block * 512] === 0 && block);
    expect(zeroed.filter((block) => block !== false)).toEqual([
      3, 4, 40, 41, 42, 43, 44, 45, 46, 47,
    ]);
  });

  test('a list with one bad descriptor unmaps nothing', async () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const list = unmapList([
      [0, 8],
      [16384, 1],
    ]);
    const answer = await unit.send({ cdb: unmapCdb(list.length), dataOut: list });
    expect(answer.sense).toMatchObject({ key: 5, code: 0x2100, information: 16384 });
    expect(device.history).toEqual([]);
  });

  test('refuses more blocks, or more descriptors, than the block limits page allows', async () => {
    const unit = new UnitUnderTest({ device: new MemoryBlockDevice({ sizeBytes: 4 * GiB }) });
    const tooLarge = unmapList([
      [0, 2 ** 20],
      [2 ** 20, 1],
    ]);
    const large = await unit.send({ cdb: unmapCdb(tooLarge.length), dataOut: tooLarge });
    expect(large.sense).toMatchObject({ code: 0x2600, field: { in: 'parameterList' } });
    const tooMany = unmapList(Array.from({ length: 257 }, (_, index) => [index, 1]));
    const many = await unit.send({ cdb: unmapCdb(tooMany.length), dataOut: tooMany });
    expect(many.sense).toMatchObject({ code: 0x2600, field: { byteIndex: 2 } });
  });

  test.each([
    ['of 4 bytes', Buffer.alloc(4), 0x1a00],
    ['whose descriptors are longer than it', Buffer.from([0, 22, 0, 16, 0, 0, 0, 0]), 0x1a00],
  ])('refuses a list %s', async (_, list, code) => {
    const unit = new UnitUnderTest();
    const answer = await unit.send({ cdb: unmapCdb(list.length), dataOut: list });
    expect(answer.sense).toMatchObject({ key: 5, code });
  });

  test('takes an empty list, and leaves out a descriptor that is cut off', async () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    expect(await unit.send({ cdb: unmapCdb(0) })).toMatchObject({ status: 0 });
    const list = unmapList([[0, 1]]);
    list.writeUInt16BE(15, 2);
    expect(await unit.send({ cdb: unmapCdb(24), dataOut: list })).toMatchObject({ status: 0 });
    expect(device.history).toEqual([]);
  });

  test('ends between two descriptors once it is aborted', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const list = unmapList([
      [0, 8],
      [16, 8],
    ]);
    const unmap = unit.start({ cdb: unmapCdb(list.length), dataOut: list });
    unmap.task.aborted = true;
    device.finishAll();
    expect(device.history).toEqual(['unmap 0+4096']);
  });
});

describe('WRITE SAME', () => {
  test('of zeros with UNMAP unmaps', () => {
    const device = new HeldDevice(64 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send({ cdb: cdb10(0x41, 8, 16, UNMAP), dataOut: Buffer.alloc(512) });
    void unit.send({ cdb: cdb16(0x93, 32, 8, UNMAP | NO_DATA_OUT) });
    expect(device.history).toEqual(['unmap 4096+8192', 'unmap 16384+4096']);
  });

  test('of anything else with UNMAP writes, for that must be read afterwards', async () => {
    const unit = new UnitUnderTest();
    const block = Buffer.alloc(512, 3);
    await unit.send({ cdb: cdb10(0x41, 8, 16, UNMAP), dataOut: block });
    const { data } = await unit.send({ cdb: cdb10(0x28, 7, 18) });
    const blocks = Array.from({ length: 18 }, (_, index) => data[index * 512]);
    expect(blocks).toEqual([0, ...Array<number>(16).fill(3), 0]);
  });

  test('of zeros without UNMAP writes zeros, so that the space is sure', () => {
    const device = new HeldDevice(64 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send({ cdb: cdb16(0x93, 0, 4096, NO_DATA_OUT) });
    device.finishAll();
    expect(device.history).toEqual([`write 0+${MiB}`, `write ${MiB}+${MiB}`]);
  });

  test.each([
    ['zero blocks (WSNZ=1)', 0],
    ['more than the maximum', 32769],
  ])('refuses %s, and points at the count', async (_, count) => {
    const unit = new UnitUnderTest({ device: new HeldDevice(64 * MiB) });
    const cdb = cdb10(0x41, 0, count);
    const answer = await unit.send({ cdb, dataOut: Buffer.alloc(512) });
    expect(answer.sense).toMatchObject({ code: 0x2400, field: { byteIndex: 7 } });
  });

  test.each([0x10, 0x04, 0x02, 0x20])(
    'refuses the flag %i, which it does not know',
    async (flag) => {
      const unit = new UnitUnderTest();
      const answer = await unit.send({ cdb: cdb10(0x41, 0, 1, flag), dataOut: Buffer.alloc(512) });
      expect(answer.sense).toMatchObject({ code: 0x2400, field: { byteIndex: 1 } });
    },
  );

  test.each([256, 1024])('refuses a block of %i bytes', async (bytes) => {
    const unit = new UnitUnderTest();
    const answer = await unit.send({ cdb: cdb10(0x41, 0, 1), dataOut: Buffer.alloc(bytes) });
    expect(answer).toMatchObject({ status: 2, sense: { key: 5 } });
  });
});
