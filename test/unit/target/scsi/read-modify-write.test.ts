import { describe, expect, test } from '@jest/globals';
import { blockError } from '../../../../core/block/block-device.ts';
import { MiB } from '../../../../core/units.ts';
import { HeldDevice } from '../../../fixtures/held-device.ts';
import { cdb10, cdb16, UnitUnderTest } from '../../../fixtures/scsi-unit.ts';

function compareAndWrite(block: number, count: number, flags = 0): Buffer {
  const cdb = Buffer.alloc(16);
  cdb[0] = 0x89;
  cdb[1] = flags;
  cdb.writeBigUInt64BE(BigInt(block), 2);
  cdb[13] = count;
  return cdb;
}

const halves = (expected: number, written: number) =>
  Buffer.concat([Buffer.alloc(512, expected), Buffer.alloc(512, written)]);

describe('COMPARE AND WRITE', () => {
  test('writes the second half where the first is what is there', async () => {
    const unit = new UnitUnderTest();
    const swap = await unit.send({ cdb: compareAndWrite(4, 1), dataOut: halves(0, 7) });
    expect(swap.status).toBe(0);
    const read = await unit.send({ cdb: cdb10(0x28, 4, 1) });
    expect(read.data.equals(Buffer.alloc(512, 7))).toBe(true);
  });

  test('writes nothing where it is not, and tells the first byte that differs', async () => {
    const unit = new UnitUnderTest();
    const stored = Buffer.alloc(512);
    stored[300] = 1;
    await unit.send({ cdb: cdb10(0x2a, 4, 1), dataOut: Buffer.from(stored) });
    const swap = await unit.send({ cdb: compareAndWrite(4, 1), dataOut: halves(0, 7) });
    expect(swap).toMatchObject({ status: 2 });
    expect(swap.sense).toEqual({ key: 0xe, code: 0x1d00, information: 300 });
    const read = await unit.send({ cdb: cdb10(0x28, 4, 1) });
    expect(read.data.equals(stored)).toBe(true);
  });

  test('of two that expect the same, one wins', async () => {
    const unit = new UnitUnderTest();
    const answers = await Promise.all([
      unit.send({ cdb: compareAndWrite(4, 1), dataOut: halves(0, 1) }),
      unit.send({ cdb: compareAndWrite(4, 1), dataOut: halves(0, 2) }),
    ]);
    expect(answers.map((answer) => answer.status)).toEqual([0, 2]);
  });

  test('waits for the plain writes before it, and holds up overlapping ones after it', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send({ cdb: cdb10(0x2a, 4, 1), dataOut: Buffer.alloc(512) });
    void unit.send({ cdb: compareAndWrite(4, 1), dataOut: halves(0, 7) });
    void unit.send({ cdb: cdb10(0x2a, 4, 1), dataOut: Buffer.alloc(512) });
    void unit.send({ cdb: cdb10(0x2a, 100, 1), dataOut: Buffer.alloc(512) });
    expect(device.history).toEqual(['write 2048+512', 'write 51200+512']);
    device.finishNext();
    expect(device.history.at(-1)).toBe('read 2048+512');
    device.finishAll();
    expect(device.history).toEqual([
      'write 2048+512',
      'write 51200+512',
      'read 2048+512',
      'write 2048+512',
      'write 2048+512',
    ]);
  });

  test('lets go of its range after a failed read, and plain writes count again', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const swap = unit.start({ cdb: compareAndWrite(4, 1), dataOut: halves(0, 7) });
    void unit.send({ cdb: cdb10(0x2a, 4, 1), dataOut: Buffer.alloc(512) });
    device.finishNext(blockError('mediumError', 'bad sector'));
    expect(swap.now()).toMatchObject({ status: 2, sense: { key: 3, code: 0x1100 } });
    expect(device.history).toEqual(['read 2048+512', 'write 2048+512']);
    device.finishAll();
    void unit.send({ cdb: compareAndWrite(4, 1), dataOut: halves(0, 7) });
    expect(device.history.at(-1)).toBe('read 2048+512');
  });

  test('aborted while it waits for its range, it hands nothing to the device', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send({ cdb: cdb10(0x2a, 4, 1), dataOut: Buffer.alloc(512) });
    const swap = unit.start({ cdb: compareAndWrite(4, 1), dataOut: halves(0, 7) });
    swap.task.aborted = true;
    device.finishAll();
    expect(swap.now()).not.toBeNull();
    expect(device.history).toEqual(['write 2048+512']);
  });

  test.each([
    ['too little data', 1, 512],
    ['too much data', 1, 2048],
    ['no blocks, but data', 0, 1024],
  ])('refuses %s', async (_, count, bytes) => {
    const unit = new UnitUnderTest();
    const answer = await unit.send({
      cdb: compareAndWrite(0, count),
      dataOut: Buffer.alloc(bytes),
    });
    expect(answer).toMatchObject({ status: 2, sense: { key: 5 } });
  });
});

describe('ORWRITE', () => {
  test('sets bits and clears none, alone on its range', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send({ cdb: cdb16(0x8b, 0, 1), dataOut: Buffer.alloc(512, 0x0f) });
    void unit.send({ cdb: cdb10(0x2a, 0, 1), dataOut: Buffer.alloc(512) });
    expect(device.history).toEqual(['read 0+512']);
    device.finishNext(null, Buffer.alloc(512, 0x51));
    expect(device.history).toEqual(['read 0+512', 'write 0+512']);
    expect(device.calls[0]?.data.equals(Buffer.alloc(512, 0x5f))).toBe(true);
  });
});
