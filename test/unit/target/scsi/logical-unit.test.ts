import { describe, expect, test } from '@jest/globals';
import { BlockError, blockError } from '../../../../core/block/block-device.ts';
import { MiB } from '../../../../core/units.ts';
import { encodeSense, TASK_ATTRIBUTE, UNIT_ATTENTION } from '../../../../target/scsi/index.ts';
import { HeldDevice } from '../../../fixtures/held-device.ts';
import { cdb10, UnitUnderTest } from '../../../fixtures/scsi-unit.ts';

const TEST_UNIT_READY = [0x00];
const REQUEST_SENSE = [0x03, 0, 0, 0, 252, 0];

describe('unit attention', () => {
  test('a new session hears of a power on once, and not on INQUIRY or REPORT LUNS', async () => {
    const unit = new UnitUnderTest({ keepsAttention: true });
    expect(await unit.cdb([0x12, 0, 0, 0, 96, 0])).toMatchObject({ status: 0 });
    expect(await unit.cdb([0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0])).toMatchObject({ status: 0 });
    const first = await unit.cdb(TEST_UNIT_READY);
    expect(first).toMatchObject({ status: 2, sense: { key: 6, code: 0x2900 } });
    expect(await unit.cdb(TEST_UNIT_READY)).toMatchObject({ status: 0 });
  });

  test('comes before what is wrong with the command, and before any effect', async () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device, keepsAttention: true });
    const write = await unit.send({ cdb: cdb10(0x2a, 0, 1), dataOut: Buffer.alloc(512) });
    expect(write.sense).toMatchObject({ code: 0x2900 });
    expect(device.history).toEqual([]);
    expect((await unit.cdb([0xff])).sense).toMatchObject({ code: 0x2000 });
  });

  test('REQUEST SENSE gives it as data and clears it, in either format', async () => {
    const unit = new UnitUnderTest({ keepsAttention: true });
    const fixed = await unit.cdb(REQUEST_SENSE);
    expect(fixed).toMatchObject({ status: 0 });
    expect([fixed.data[0], fixed.data[2], fixed.data.readUInt16BE(12)]).toEqual([0x70, 6, 0x2900]);
    const none = await unit.cdb([0x03, 1, 0, 0, 252, 0]);
    expect([...none.data]).toEqual([0x72, 0, 0, 0, 0, 0, 0, 0]);
  });

  test('is raised on every session, once each, in order', () => {
    const unit = new UnitUnderTest();
    const other = unit.newNexus('other');
    unit.unit.raiseUnitAttention(UNIT_ATTENTION.capacityChanged);
    unit.unit.raiseUnitAttention(UNIT_ATTENTION.capacityChanged);
    unit.unit.raiseUnitAttention(UNIT_ATTENTION.inquiryDataChanged, other);
    expect(unit.nexus.takeUnitAttention()).toMatchObject({ code: 0x2a09 });
    expect(unit.nexus.takeUnitAttention()).toMatchObject({ code: 0x3f03 });
    expect(unit.nexus.takeUnitAttention()).toBeNull();
    expect(other.takeUnitAttention()).toMatchObject({ code: 0x2a09 });
    expect(other.takeUnitAttention()).toBeNull();
  });

  test('a power on covers what was pending before', () => {
    const unit = new UnitUnderTest();
    unit.nexus.raise(UNIT_ATTENTION.capacityChanged);
    unit.nexus.raise(UNIT_ATTENTION.powerOn);
    expect(unit.nexus.takeUnitAttention()).toMatchObject({ code: 0x2900 });
    expect(unit.nexus.hasUnitAttention).toBe(false);
  });
});

describe('errors of the device', () => {
  const outOfRange = new BlockError(
    { code: 'outOfRange', offsetBytes: 0, lengthBytes: 512 },
    'shrunk meanwhile',
  );

  test.each([
    ['a medium error on a read', 0x28, blockError('mediumError', ''), 2, 3, 0x1100],
    ['a medium error on a write', 0x2a, blockError('mediumError', ''), 2, 3, 0x0c00],
    ['no space', 0x2a, blockError('noSpace', ''), 2, 7, 0x2707],
    ['lost caches', 0x28, blockError('cachesLost', ''), 2, 4, 0x3e01],
    ['a refusal', 0x2a, blockError('refused', ''), 2, 4, 0x4400],
    ['a range that is gone', 0x2a, outOfRange, 2, 5, 0x2100],
  ])('%s is told as what it is', (_, opcode, error, status, key, code) => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const command = unit.start({ cdb: cdb10(opcode, 0, 1), dataOut: Buffer.alloc(512) });
    device.finishNext(error);
    expect(command.now()).toMatchObject({ status, sense: { key, code } });
  });

  test.each(['busy', 'disconnected'] as const)('%s is BUSY, never NOT READY', (code) => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const command = unit.start({ cdb: cdb10(0x2a, 0, 1), dataOut: Buffer.alloc(512) });
    device.finishNext(blockError(code, ''));
    expect(command.now()).toMatchObject({ status: 8, sense: null });
  });

  test('fenced is not answered at all', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    const command = unit.start({ cdb: cdb10(0x28, 0, 1) });
    device.finishNext(blockError('fenced', ''));
    expect(command.task.silenced).toBe(true);
  });
});

describe('task attributes', () => {
  const write = (block: number, attribute: number = TASK_ATTRIBUTE.simple) => ({
    cdb: cdb10(0x2a, block, 1),
    dataOut: Buffer.alloc(512),
    attribute,
  });

  test('an ordered command runs after all before it and before all after it', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send(write(0));
    void unit.send(write(1));
    void unit.send(write(2, TASK_ATTRIBUTE.ordered));
    void unit.send(write(3));
    expect(device.history).toHaveLength(2);
    device.finishNext();
    expect(device.history).toHaveLength(2);
    device.finishNext();
    expect(device.history.at(-1)).toBe('write 1024+512');
    expect(device.history).toHaveLength(3);
    device.finishNext();
    expect(device.history.at(-1)).toBe('write 1536+512');
  });

  test('a head of queue command passes those that wait', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send(write(0));
    void unit.send(write(1, TASK_ATTRIBUTE.ordered));
    void unit.send(write(2, TASK_ATTRIBUTE.headOfQueue));
    expect(device.history).toEqual(['write 0+512', 'write 1024+512']);
  });

  test('an ordered command that is given up lets the next ones go', () => {
    const device = new HeldDevice(8 * MiB);
    const unit = new UnitUnderTest({ device });
    void unit.send(write(0));
    const ordered = unit.start(write(1, TASK_ATTRIBUTE.ordered));
    void unit.send(write(2));
    ordered.task.aborted = true;
    unit.unit.abandon(ordered.task);
    expect(device.history).toEqual(['write 0+512', 'write 1024+512']);
  });

  test('ACA is refused, and so is NACA in the control byte', async () => {
    const unit = new UnitUnderTest();
    const aca = await unit.send({ cdb: TEST_UNIT_READY, attribute: TASK_ATTRIBUTE.aca });
    expect(aca.sense).toEqual({ key: 0xb, code: 0x4900 });
    const naca = await unit.cdb([0, 0, 0, 0, 0, 0x04]);
    expect(naca.sense).toMatchObject({ code: 0x2400, field: { byteIndex: 5, bitIndex: 2 } });
  });
});

describe('sense data', () => {
  const sense = {
    key: 0x5,
    code: 0x2400,
    field: { in: 'cdb', byteIndex: 7, bitIndex: 3 },
    information: 0x1234,
  } as const;

  test('in fixed format has INFORMATION and the field pointer in their places', () => {
    expect([...encodeSense(sense, 'fixed')]).toEqual([
      0xf0, 0, 5, 0, 0, 0x12, 0x34, 10, 0, 0, 0, 0, 0x24, 0, 0, 0xcb, 0, 7,
    ]);
  });

  test('in descriptor format has one descriptor for each', () => {
    expect([...encodeSense(sense, 'descriptor')]).toEqual([
      0x72, 5, 0x24, 0, 0, 0, 0, 20, 0, 0x0a, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34, 2, 6, 0, 0,
      0xcb, 0, 7, 0,
    ]);
  });

  test('leaves out INFORMATION that does not fit', () => {
    const large = { ...sense, information: 2 ** 40 };
    expect(encodeSense(large, 'fixed')[0]).toBe(0x70);
    expect(encodeSense({ ...sense, information: 2 ** 64 }, 'descriptor')[7]).toBe(8);
  });
});
