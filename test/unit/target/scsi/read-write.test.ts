import { describe, expect, test } from '@jest/globals';
import { blockError } from '../../../../core/block/block-device.ts';
import { MiB } from '../../../../core/units.ts';
import { HeldDevice } from '../../../fixtures/held-device.ts';
import { cdb10, cdb16, UnitUnderTest } from '../../../fixtures/scsi-unit.ts';

const FUA = 0x08;
const GOOD = { status: 0, sense: null };

function pattern(blocks: number, seed = 1): Buffer {
  return Buffer.from(Array.from({ length: blocks * 512 }, (_, index) => (index * 7 + seed) & 0xff));
}

function cdb12(opcode: number, block: number, count: number): Buffer {
  const cdb = Buffer.alloc(12);
  cdb[0] = opcode;
  cdb.writeUInt32BE(block, 2);
  cdb.writeUInt32BE(count, 6);
  return cdb;
}

function cdb6(opcode: number, block: number, count: number): Buffer {
  return Buffer.from([opcode, (block >> 16) & 0x1f, block >> 8, block, count, 0]);
}

describe('READ and WRITE', () => {
  test.each([
    ['6', cdb6(0x0a, 100, 3), cdb6(0x08, 100, 3)],
    ['10', cdb10(0x2a, 100, 3), cdb10(0x28, 100, 3)],
    ['12', cdb12(0xaa, 100, 3), cdb12(0xa8, 100, 3)],
    ['16', cdb16(0x8a, 100, 3), cdb16(0x88, 100, 3)],
  ])('of %s bytes read back what was written, at that block', async (_, write, read) => {
    const unit = new UnitUnderTest();
    const data = pattern(3);
    expect(await unit.send({ cdb: write, dataOut: Buffer.from(data) })).toMatchObject(GOOD);
    const answer = await unit.send({ cdb: read });
    expect(answer).toMatchObject(GOOD);
    expect(answer.data.equals(data)).toBe(true);
    const before = await unit.send({ cdb: cdb10(0x28, 99, 1) });
    expect(before.data.equals(Buffer.alloc(512))).toBe(true);
  });

  test('READ (6) of zero blocks is of 256, and READ (10) of zero is of none', async () => {
    const unit = new UnitUnderTest();
    expect((await unit.send({ cdb: cdb6(0x08, 0, 0) })).data).toHaveLength(256 * 512);
    const none = await unit.send({ cdb: cdb10(0x28, 0, 0) });
    expect(none).toMatchObject(GOOD);
    expect(none.data).toHaveLength(0);
  });

  test('count blocks of 4096 bytes on a unit of that block size', async () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device, logicalBlockBytes: 4096 });
    void unit.send({ cdb: cdb10(0x28, 3, 2) });
    expect(device.history).toEqual(['read 12288+8192']);
    const beyond = await unit.send({ cdb: cdb10(0x28, 2048, 1) });
    expect(beyond.sense).toMatchObject({ key: 5, code: 0x2100, information: 2048 });
  });

  test.each([
    ['one block behind the end', cdb10(0x28, 16384, 1), 16384],
    ['across the end', cdb10(0x28, 16380, 8), 16384],
    ['zero blocks beyond the end', cdb10(0x28, 16385, 0), 16385],
    ['a 16-byte LBA beyond 2^32', cdb16(0x88, 2 ** 33, 1), 2 ** 33],
    ['a write across the end', cdb16(0x8a, 16384, 1), 16384],
  ])('refuse %s as out of range, without a call of the device', async (_, cdb, information) => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const answer = await unit.send({ cdb, dataOut: Buffer.alloc(512) });
    expect(answer).toMatchObject({ status: 2, sense: { key: 5, code: 0x2100, information } });
    expect(device.history).toEqual([]);
  });

  test('refuse the largest LBA there is, which is no safe integer', async () => {
    const unit = new UnitUnderTest();
    const answer = await unit.send({ cdb: cdb16(0x88, 2n ** 64n - 1n, 1) });
    expect(answer.sense).toEqual({ key: 5, code: 0x2100 });
  });

  test('refuse more than the maximum transfer length, and point at the count', async () => {
    const unit = new UnitUnderTest();
    const answer = await unit.send({ cdb: cdb16(0x88, 0, 8193) });
    const field = { in: 'cdb', byteIndex: 10, bitIndex: null };
    expect(answer.sense).toEqual({ key: 5, code: 0x2400, field });
  });

  test('see a device that has grown', async () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    device.sizeBytes = 16 * MiB;
    void unit.send({ cdb: cdb10(0x28, 20_000, 1) });
    expect(device.history).toEqual(['read 10240000+512']);
  });
});

describe('force unit access', () => {
  test('a write is GOOD only after the flush that follows it', async () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const write = unit.start({ cdb: cdb10(0x2a, 8, 1, FUA), dataOut: Buffer.alloc(512) });
    expect(device.history).toEqual(['write 4096+512']);
    device.finishNext();
    expect(device.history).toEqual(['write 4096+512', 'flush 0+0']);
    expect(write.now()).toBeNull();
    device.finishNext();
    expect(write.now()).toMatchObject(GOOD);
  });

  test('a write whose flush fails is a medium error', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const write = unit.start({ cdb: cdb10(0x2a, 8, 1, FUA), dataOut: Buffer.alloc(512) });
    device.finishNext();
    device.finishNext(blockError('mediumError', 'fdatasync failed'));
    expect(write.now()).toMatchObject({ status: 2, sense: { key: 3, code: 0x0c00 } });
  });

  test('a read flushes first, so that it comes from the medium', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send({ cdb: cdb10(0x28, 8, 1, FUA) });
    expect(device.history).toEqual(['flush 0+0']);
    device.finishNext();
    expect(device.history).toEqual(['flush 0+0', 'read 4096+512']);
  });

  test('a plain write has no flush', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const write = unit.start({ cdb: cdb10(0x2a, 8, 1), dataOut: Buffer.alloc(512) });
    device.finishNext();
    expect(write.now()).toMatchObject(GOOD);
    expect(device.history).toEqual(['write 4096+512']);
  });

  test.each([0x35, 0x91])('SYNCHRONIZE CACHE %i is GOOD only after the flush', (opcode) => {
    for (const flags of [0, 0x02]) {
      const device = new HeldDevice(8 * MiB);
      const unit = new UnitUnderTest({ device });
      const cdb = opcode === 0x35 ? cdb10(opcode, 0, 0, flags) : cdb16(opcode, 0, 0, flags);
      const flush = unit.start({ cdb });
      expect(device.history).toEqual(['flush 0+0']);
      expect(flush.now()).toBeNull();
      device.finishNext();
      expect(flush.now()).toMatchObject(GOOD);
    }
  });

  test('SYNCHRONIZE CACHE of blocks that are not there is out of range', async () => {
    const unit = new UnitUnderTest();
    const answer = await unit.send({ cdb: cdb10(0x35, 16384, 1) });
    expect(answer.sense).toMatchObject({ code: 0x2100 });
  });
});

describe('data-out that does not fit the CDB', () => {
  test('a write of more blocks than there is data for writes those that are there', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const write = unit.start({ cdb: cdb10(0x2a, 0, 4), dataOut: Buffer.alloc(1024) });
    expect(device.history).toEqual(['write 0+1024']);
    expect(write.task.dataOutWantedBytes).toBe(2048);
  });

  test('part of a block is never written', async () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const answer = await unit.send({ cdb: cdb10(0x2a, 0, 2), dataOut: Buffer.alloc(700) });
    expect(answer).toMatchObject({ status: 2, sense: { key: 5, code: 0x0e03 } });
    expect(device.history).toEqual([]);
  });

  test('of more data than blocks only the blocks are written', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send({ cdb: cdb10(0x2a, 0, 1), dataOut: Buffer.alloc(2048) });
    expect(device.history).toEqual(['write 0+512']);
  });
});

describe('WRITE AND VERIFY', () => {
  test('writes, flushes, reads back and compares', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const data = pattern(1);
    const command = unit.start({ cdb: cdb10(0x2e, 8, 1, 0x02), dataOut: data });
    device.finishNext();
    device.finishNext();
    expect(device.history).toEqual(['write 4096+512', 'flush 0+0', 'read 4096+512']);
    const other = Buffer.from(data);
    other[17] = (other[17] as number) ^ 1;
    device.finishNext(null, other);
    expect(command.now()?.sense).toEqual({ key: 0xe, code: 0x1d00, information: 17 });
  });

  test('keeps other writes out of its range until it has compared', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send({ cdb: cdb10(0x2e, 8, 1), dataOut: Buffer.alloc(512) });
    const other = unit.start({ cdb: cdb10(0x2a, 8, 1), dataOut: Buffer.alloc(512) });
    device.finishNext();
    device.finishNext();
    expect(device.history).toEqual(['write 4096+512', 'flush 0+0', 'read 4096+512']);
    device.finishNext();
    expect(device.history.at(-1)).toBe('write 4096+512');
    device.finishNext();
    expect(other.now()).toMatchObject(GOOD);
  });
});
