import { describe, expect, test } from '@jest/globals';
import { MemoryBlockDevice } from '../../../../../core/block/memory-block-device.ts';
import { KiB, MiB } from '../../../../../core/units.ts';
import { HeldDevice } from '../../../../fixtures/held-device.ts';
import {
  ConnectionUnderTest,
  fieldsOf,
  makeTarget,
  type Pdu,
} from '../../../../fixtures/iscsi-connection.ts';
import { ANSWER } from '../../../../fixtures/iscsi-pdu.ts';
import { settle } from '../../../../fixtures/manual-clock.ts';
import { cdb10, cdb16 } from '../../../../fixtures/scsi-unit.ts';

const LAST = 0x81;
const OVERFLOW = 0x04;
const UNDERFLOW = 0x02;

function pattern(lengthBytes: number): Buffer {
  const period = Buffer.from(Array.from({ length: 251 }, (_, index) => (index * 31 + 7) & 0xff));
  return Buffer.alloc(lengthBytes, period);
}

function opened(
  keys: Readonly<Record<string, string>> = {},
  device: HeldDevice | MemoryBlockDevice = new HeldDevice(16 * MiB),
): ConnectionUnderTest {
  return new ConnectionUnderTest(makeTarget({ device }).target).open(keys);
}

function held(keys: Readonly<Record<string, string>> = {}) {
  const device = new HeldDevice(16 * MiB);
  return { device, initiator: opened(keys, device) };
}

function kindsOf(pdus: readonly Pdu[]): number[] {
  return pdus.map((pdu) => fieldsOf(pdu).opcode);
}

const writeCdb = (block: number, blocks: number) => cdb16(0x8a, block, blocks);
const readCdb = (block: number, blocks: number) => cdb16(0x88, block, blocks);

describe('a read', () => {
  test('comes in bursts of at most MaxBurstLength, the status in the last PDU', () => {
    const { device, initiator } = held({
      MaxRecvDataSegmentLength: '1024',
      MaxBurstLength: '2560',
    });
    const taskTag = initiator.command({ cdb: readCdb(0, 10), reads: true, expectedBytes: 5120 });
    const data = pattern(5120);
    device.finishNext(null, Buffer.from(data));
    const answers = initiator.answers();
    expect(kindsOf(answers)).toEqual(Array(6).fill(ANSWER.dataIn));
    const fields = answers.map(fieldsOf);
    expect(fields.map((field) => field.dataBytes)).toEqual([1024, 1024, 512, 1024, 1024, 512]);
    expect(fields.map((field) => field.bufferOffset)).toEqual([0, 1024, 2048, 2560, 3584, 4608]);
    expect(fields.map((field) => field.dataNumber)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(fields.map((field) => field.flags)).toEqual([0, 0, 0x80, 0, 0, LAST]);
    expect(fields.every((field) => field.taskTag === taskTag)).toBe(true);
    expect(Buffer.concat(answers.map((pdu) => pdu.data)).equals(data)).toBe(true);
  });

  test.each([
    ['more than the CDB asks for', 2048, LAST | UNDERFLOW, 1024, 1024],
    ['less than the CDB asks for', 700, LAST | OVERFLOW, 324, 700],
  ])('with room for %s has a residual', (_, expectedBytes, flags, residual, dataBytes) => {
    const { device, initiator } = held();
    initiator.command({ cdb: readCdb(0, 2), reads: true, expectedBytes });
    device.finishNext();
    expect(fieldsOf(initiator.answer())).toMatchObject({ flags, residual, dataBytes });
  });

  test('without room is answered without data, and all of it is residual', () => {
    const { device, initiator } = held();
    initiator.command({ cdb: readCdb(0, 2), reads: true, expectedBytes: 0 });
    device.finishNext();
    expect(fieldsOf(initiator.answer())).toMatchObject({
      opcode: ANSWER.command,
      flags: 0x80 | OVERFLOW,
      residual: 1024,
    });
  });

  test('that is marked as a write takes its data-out and drops it', () => {
    const { device, initiator } = held();
    initiator.command({ cdb: cdb10(0x28, 0, 1), data: Buffer.alloc(512) });
    device.finishNext();
    expect(fieldsOf(initiator.answer())).toMatchObject({ opcode: ANSWER.command, status: 0 });
  });
});

describe('a write', () => {
  test('whose data comes with the command goes to the device as it came, uncopied', () => {
    const { device, initiator } = held();
    initiator.command({ cdb: writeCdb(8, 8), data: pattern(4096) });
    const call = device.calls[0];
    expect(device.history).toEqual(['write 4096+4096']);
    expect(call?.data.equals(pattern(4096))).toBe(true);
    // A view of the chunk, which is the PDU.
    expect(call?.data.buffer.byteLength).toBeGreaterThanOrEqual(4096 + 48);
    device.finishNext();
    expect(fieldsOf(initiator.answer())).toMatchObject({
      opcode: ANSWER.command,
      flags: 0x80,
      status: 0,
      residual: 0,
    });
  });

  test('is asked for by R2T, with as many out as were agreed on, burst by burst', () => {
    const { device, initiator } = held({
      MaxBurstLength: '2048',
      MaxOutstandingR2T: '2',
      ImmediateData: 'No',
    });
    const data = pattern(5120);
    const taskTag = initiator.command({
      cdb: writeCdb(0, 10),
      writes: true,
      expectedBytes: 5120,
    });
    const asked = initiator.answers().map(fieldsOf);
    expect(asked).toMatchObject([
      { opcode: ANSWER.ready, dataNumber: 0, bufferOffset: 0, residual: 2048 },
      { opcode: ANSWER.ready, dataNumber: 1, bufferOffset: 2048, residual: 2048 },
    ]);
    const tags = asked.map((field) => field.transferTag);
    const part = (index: number, from: number, to: number, isFinal: boolean, number: number) =>
      initiator.dataOut({
        taskTag,
        transferTag: tags[index] ?? 0,
        dataNumber: number,
        offsetBytes: from,
        data: data.subarray(from, to),
        isFinal,
      });
    part(0, 0, 1024, false, 0);
    expect(initiator.answers()).toEqual([]);
    part(0, 1024, 2048, true, 1);
    const third = fieldsOf(initiator.answer());
    expect(third).toMatchObject({ dataNumber: 2, bufferOffset: 4096, residual: 1024 });
    tags.push(third.transferTag);
    part(1, 2048, 4096, true, 0);
    expect(device.calls).toEqual([]);
    part(2, 4096, 5120, true, 0);
    expect(device.calls[0]?.data.equals(data)).toBe(true);
    device.finishNext();
    // ExpDataSN: three R2Ts went out.
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 0, dataNumber: 3 });
  });

  test('takes immediate, unasked and asked-for data for one command', () => {
    const { device, initiator } = held({
      InitialR2T: 'No',
      FirstBurstLength: '2048',
      MaxBurstLength: '4096',
    });
    const data = pattern(6144);
    const taskTag = initiator.command({
      cdb: writeCdb(0, 12),
      expectedBytes: 6144,
      data: data.subarray(0, 512),
      isFinal: false,
    });
    expect(initiator.answers()).toEqual([]);
    const send = (dataNumber: number, offsetBytes: number, end: number, transferTag?: number) =>
      initiator.dataOut({
        taskTag,
        dataNumber,
        offsetBytes,
        data: data.subarray(offsetBytes, end),
        isFinal: end === 2048 || end === 6144,
        ...(transferTag === undefined ? {} : { transferTag }),
      });
    send(0, 512, 1536);
    send(1, 1536, 2048);
    const ready = fieldsOf(initiator.answer());
    expect(ready).toMatchObject({ bufferOffset: 2048, residual: 4096 });
    send(0, 2048, 6144, ready.transferTag);
    expect(device.calls[0]?.data.equals(data)).toBe(true);
  });

  test('in chunks cut anywhere arrives whole, copied once into one buffer', () => {
    const device = new MemoryBlockDevice({ sizeBytes: 16 * MiB });
    const initiator = opened({ ImmediateData: 'Yes' }, device);
    const data = pattern(256 * KiB);
    // The harness feeds a whole PDU: cut it by hand.
    const feed = initiator.connection.receive.bind(initiator.connection);
    initiator.connection.receive = (chunk) => {
      for (let at = 0; at < chunk.length; at += 1000)
        feed(Buffer.from(chunk.subarray(at, at + 1000)));
    };
    const taskTag = initiator.command({
      cdb: writeCdb(0, 512),
      expectedBytes: data.length,
      data: data.subarray(0, 64 * KiB),
    });
    const ready = fieldsOf(initiator.answer());
    expect(ready).toMatchObject({ bufferOffset: 64 * KiB, residual: 192 * KiB });
    initiator.dataOut({
      taskTag,
      transferTag: ready.transferTag,
      dataNumber: 0,
      offsetBytes: 64 * KiB,
      data: data.subarray(64 * KiB),
    });
    return settle().then(async () => {
      expect(fieldsOf(initiator.answer())).toMatchObject({ status: 0 });
      initiator.command({ cdb: readCdb(0, 512), reads: true, expectedBytes: data.length });
      await settle();
      const read = Buffer.concat(initiator.answers().map((pdu) => pdu.data));
      expect(read.equals(data)).toBe(true);
    });
  });

  test.each([
    ['of fewer blocks than there is data', writeCdb(0, 1), 1024, 0x80 | UNDERFLOW, 512],
    ['of more blocks than there is data', writeCdb(0, 4), 1024, 0x80 | OVERFLOW, 1024],
  ])('%s has a residual', (_, cdb, bytes, flags, residual) => {
    const { device, initiator } = held();
    initiator.command({ cdb, data: Buffer.alloc(bytes) });
    device.finishNext();
    expect(fieldsOf(initiator.answer())).toMatchObject({ flags, residual, status: 0 });
  });

  test('that fails by its CDB is answered only after its unasked data has come', () => {
    const { device, initiator } = held({ InitialR2T: 'No' });
    const taskTag = initiator.command({
      cdb: writeCdb(2 ** 20, 4),
      expectedBytes: 2048,
      data: Buffer.alloc(512),
      isFinal: false,
    });
    expect(initiator.answers()).toEqual([]);
    initiator.dataOut({ taskTag, dataNumber: 0, offsetBytes: 512, data: Buffer.alloc(1536) });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 2, senseCode: 0x2100 });
    expect(device.history).toEqual([]);
  });
});

describe('data-out that is not as it should be', () => {
  const keys = { ImmediateData: 'No', MaxBurstLength: '2048' };

  function asked(): { device: HeldDevice; initiator: ConnectionUnderTest; tags: number[] } {
    const { device, initiator } = held(keys);
    const taskTag = initiator.command({ cdb: writeCdb(0, 4), writes: true, expectedBytes: 2048 });
    return { device, initiator, tags: [taskTag, fieldsOf(initiator.answer()).transferTag] };
  }

  test.each([
    ['a DataSN that jumps', { dataNumber: 1 }, 0x4705],
    ['an offset that jumps', { offsetBytes: 512 }, 0x4705],
    ['more than was asked for', { data: Buffer.alloc(2560) }, 0x0c0d],
    ['less than was asked for, and the F bit', { data: Buffer.alloc(512) }, 0x0c0d],
  ])('%s fails the command, and nothing is written', (_, wrong, senseCode) => {
    const { device, initiator, tags } = asked();
    const [taskTag = 0, transferTag = 0] = tags;
    const right = { dataNumber: 0, offsetBytes: 0, data: Buffer.alloc(2048) };
    initiator.dataOut({ taskTag, transferTag, ...right, ...wrong });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 2, senseCode });
    expect(device.history).toEqual([]);
    initiator.command({ cdb: writeCdb(0, 1), writes: true, expectedBytes: 512 });
    expect(fieldsOf(initiator.answer()).opcode).toBe(ANSWER.ready);
  });

  test('with a tag of nobody fails the command once what was asked for has come', () => {
    const { device, initiator, tags } = asked();
    const [taskTag = 0, transferTag = 0] = tags;
    const data = Buffer.alloc(2048);
    initiator.dataOut({ taskTag, transferTag: 77, dataNumber: 0, offsetBytes: 0, data });
    expect(initiator.answers()).toEqual([]);
    initiator.dataOut({ taskTag, transferTag, dataNumber: 0, offsetBytes: 0, data });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 2, senseCode: 0x0c0c });
    expect(device.history).toEqual([]);
  });

  test('for a command that is over, or never was, is dropped', () => {
    const { initiator } = held();
    initiator.dataOut({ taskTag: 4711, dataNumber: 0, offsetBytes: 0, data: Buffer.alloc(512) });
    expect(initiator.answers()).toEqual([]);
  });

  test.each([
    ['immediate data that was not agreed on', { ImmediateData: 'No' }, true, 0x0c0c],
    ['unasked data that was not agreed on', { InitialR2T: 'Yes' }, false, 0x0c0c],
    ['more immediate data than the first burst', { FirstBurstLength: '512' }, true, 0x0c0d],
  ])('%s fails the command', (_, agreed, isFinal, senseCode) => {
    const { device, initiator } = held(agreed);
    const taskTag = initiator.command({
      cdb: writeCdb(0, 4),
      expectedBytes: 2048,
      data: Buffer.alloc(1024),
      isFinal,
    });
    if (!isFinal) {
      initiator.dataOut({ taskTag, dataNumber: 0, offsetBytes: 1024, data: Buffer.alloc(1024) });
    }
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 2, senseCode });
    expect(device.history).toEqual([]);
  });

  test('a first burst that is too long fails the command', () => {
    const { device, initiator } = held({ InitialR2T: 'No', FirstBurstLength: '1024' });
    const taskTag = initiator.command({
      cdb: writeCdb(0, 4),
      writes: true,
      expectedBytes: 2048,
      isFinal: false,
    });
    initiator.dataOut({ taskTag, dataNumber: 0, offsetBytes: 0, data: Buffer.alloc(2048) });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 2, senseCode: 0x0c0d });
    expect(device.history).toEqual([]);
  });
});
