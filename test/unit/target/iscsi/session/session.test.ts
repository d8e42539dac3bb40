import { describe, expect, test } from '@jest/globals';
import { blockError } from '../../../../../core/block/block-device.ts';
import { MiB } from '../../../../../core/units.ts';
import { RESERVED_BYTES_MAX } from '../../../../../target/iscsi/session/limits.ts';
import { HeldDevice } from '../../../../fixtures/held-device.ts';
import {
  ConnectionUnderTest,
  fieldsOf,
  makeTarget,
  TARGET_NAME,
} from '../../../../fixtures/iscsi-connection.ts';
import { ANSWER, decodeText, encodeText, FINAL, REQUEST } from '../../../../fixtures/iscsi-pdu.ts';
import { cdb10, cdb16 } from '../../../../fixtures/scsi-unit.ts';

const TEST_UNIT_READY = Buffer.alloc(16);

function held() {
  const device = new HeldDevice(64 * MiB);
  const { target, logged } = makeTarget({ device });
  return { device, target, logged, initiator: new ConnectionUnderTest(target).open() };
}

describe('commands', () => {
  test('run in the order of CmdSN, and those ahead wait for the gap to close', () => {
    const { device, initiator } = held();
    const at = initiator.commandNumber;
    const write = (block: number, commandNumber: number) =>
      initiator.command({ cdb: cdb10(0x2a, block, 1), data: Buffer.alloc(512), commandNumber });
    write(2, at + 2);
    write(1, at + 1);
    expect(device.history).toEqual([]);
    write(0, at);
    expect(device.history).toEqual(['write 0+512', 'write 512+512', 'write 1024+512']);
  });

  test('outside of the window, or once more, are ignored without a word', () => {
    const { device, initiator } = held();
    const at = initiator.commandNumber;
    for (const number of [at + 256, at - 1, at - 1000]) {
      initiator.command({ cdb: TEST_UNIT_READY, commandNumber: number });
    }
    expect(initiator.answers()).toEqual([]);
    expect(device.history).toEqual([]);
    initiator.command({ cdb: TEST_UNIT_READY, commandNumber: at });
    expect(fieldsOf(initiator.answer())).toMatchObject({
      status: 0,
      expectedCommandNumber: at + 1,
      commandNumberMax: at + 256,
    });
  });

  test('open the window again one by one as they end', () => {
    const { device, initiator } = held();
    const at = initiator.commandNumber;
    for (let index = 0; index < 300; index += 1) {
      initiator.command({ cdb: cdb10(0x28, index, 1), reads: true, expectedBytes: 512 });
    }
    expect(device.calls).toHaveLength(256);
    device.finishNext();
    const first = fieldsOf(initiator.answer());
    expect(first.commandNumberMax).toBe(at + 256);
    expect(first.expectedCommandNumber).toBe(at + 256);
  });

  test('that are immediate pass the order and do not count', () => {
    const { initiator } = held();
    const at = initiator.commandNumber;
    initiator.command({ cdb: TEST_UNIT_READY, immediate: true });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 0, expectedCommandNumber: at });
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(initiator.answer())).toMatchObject({ expectedCommandNumber: at + 1 });
  });

  test('StatSN counts each answer', () => {
    const { initiator } = held();
    initiator.command({ cdb: TEST_UNIT_READY });
    initiator.command({ cdb: TEST_UNIT_READY });
    const [first, second] = initiator.answers().map((pdu) => fieldsOf(pdu).statusNumber);
    expect(second).toBe((first ?? 0) + 1);
  });

  test('with a tag that is in use, too many at once, or both ways are rejected', () => {
    const { device, initiator } = held();
    const taskTag = initiator.command({ cdb: cdb10(0x28, 0, 1), reads: true, expectedBytes: 512 });
    initiator.command({ cdb: TEST_UNIT_READY, taskTag });
    expect(fieldsOf(initiator.answer())).toMatchObject({ opcode: ANSWER.reject, response: 7 });
    initiator.command({ cdb: TEST_UNIT_READY, reads: true, writes: true });
    expect(fieldsOf(initiator.answer())).toMatchObject({ opcode: ANSWER.reject, response: 9 });
    const immediate = { cdb: cdb10(0x28, 0, 1), reads: true, expectedBytes: 512, immediate: true };
    for (let index = 0; index < 65; index += 1) initiator.command(immediate);
    expect(fieldsOf(initiator.answer())).toMatchObject({ opcode: ANSWER.reject, response: 6 });
    device.finishAll();
    expect(initiator.answers()).toHaveLength(65);
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 0 });
  });

  test('for a LUN that is not there say so', () => {
    const { initiator } = held();
    initiator.command({ cdb: TEST_UNIT_READY, lun: 3 });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 2, senseCode: 0x2500 });
  });
});

describe('memory', () => {
  test('for data is bounded: commands beyond it wait in line, in order', () => {
    const { device, initiator } = held();
    const transfer = 4 * MiB;
    const count = RESERVED_BYTES_MAX / transfer;
    for (let index = 0; index < count + 2; index += 1) {
      const cdb = cdb16(0x88, index * 8192, 8192);
      initiator.command({ cdb, reads: true, expectedBytes: transfer });
    }
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(device.calls).toHaveLength(count);
    expect(initiator.answers()).toEqual([]);
    device.finishNext();
    expect(device.calls).toHaveLength(count);
    device.finishAll();
    expect(initiator.answers().map(fieldsOf).at(-1)).toMatchObject({ opcode: ANSWER.dataIn });
    expect(device.history).toHaveLength(count + 2);
  });

  test('nothing begins while the initiator takes no answers', () => {
    const { device, initiator } = held();
    initiator.port.isCongested = true;
    initiator.command({ cdb: cdb10(0x28, 0, 1), reads: true, expectedBytes: 512 });
    expect(device.calls).toEqual([]);
    initiator.port.isCongested = false;
    initiator.connection.drained();
    expect(device.calls).toHaveLength(1);
  });

  test('a command whose EDTL is 4 GiB costs no such buffer', () => {
    const { device, initiator } = held();
    initiator.command({
      cdb: cdb10(0x2a, 0, 1),
      expectedBytes: 0xffffffff,
      data: Buffer.alloc(512, 5),
    });
    expect(device.calls[0]?.data.equals(Buffer.alloc(512, 5))).toBe(true);
    expect(device.calls[0]?.data.buffer.byteLength).toBeLessThanOrEqual(4 * MiB);
  });
});

describe('a fenced device', () => {
  test('silences the target: every connection closes, nothing is answered, nobody gets in', () => {
    const { device, target, logged, initiator } = held();
    const other = new ConnectionUnderTest(target).open({}, { isid: 2 });
    initiator.command({ cdb: cdb10(0x28, 0, 1), reads: true, expectedBytes: 512 });
    other.command({ cdb: cdb10(0x28, 1, 1), reads: true, expectedBytes: 512 });
    device.finishNext(blockError('fenced', 'epoch 8'));
    device.finishAll();
    expect([initiator.answers(), other.answers()]).toEqual([[], []]);
    expect([initiator.port.closed, other.port.closed]).toEqual(['destroy', 'destroy']);
    expect(target.sessions.size).toBe(0);
    expect(logged).toContain('iscsi target fenced');
    const late = new ConnectionUnderTest(target).login();
    expect(late.header.readUInt16BE(36)).toBe(0x0202);
  });
});

describe('NOP', () => {
  test('is echoed with its data, cut to what the initiator takes', () => {
    const { target } = held();
    const initiator = new ConnectionUnderTest(target);
    initiator.open({ MaxRecvDataSegmentLength: '512' }, { isid: 9 });
    const nop = { opcode: REQUEST.nopOut, immediate: true, flags: FINAL, taskTag: 77 };
    initiator.send({ ...nop, words: [0xffffffff, initiator.commandNumber] }, Buffer.from('ping'));
    const answer = initiator.answer();
    expect(fieldsOf(answer)).toMatchObject({ opcode: ANSWER.nopIn, taskTag: 77 });
    expect(answer.data.toString()).toBe('ping');
    const long = Buffer.alloc(1000, 1);
    initiator.send({ ...nop, words: [0xffffffff, initiator.commandNumber] }, long);
    expect(initiator.answer().data).toHaveLength(512);
  });

  test('of ours comes after ten silent seconds, and its answer keeps the session', () => {
    const { initiator } = held();
    const second = () => initiator.connection.tick();
    for (let count = 0; count < 9; count += 1) second();
    expect(initiator.answers()).toEqual([]);
    second();
    const ping = fieldsOf(initiator.answer());
    expect(ping).toMatchObject({ opcode: ANSWER.nopIn, taskTag: 0xffffffff });
    expect(ping.transferTag).not.toBe(0xffffffff);
    const words = [ping.transferTag, initiator.commandNumber];
    const nop = { opcode: REQUEST.nopOut, immediate: true, flags: FINAL, taskTag: 0xffffffff };
    initiator.send({ ...nop, words });
    expect(initiator.answers()).toEqual([]);
    for (let count = 0; count < 10; count += 1) second();
    expect(initiator.port.closed).toBeNull();
    expect(initiator.answers()).toHaveLength(1);
    for (let count = 0; count < 11; count += 1) second();
    expect(initiator.port.closed).toBe('destroy');
  });

  test('an initiator that takes none of its answers for a minute is gone', () => {
    const { initiator } = held();
    initiator.port.isCongested = true;
    for (let count = 0; count < 60; count += 1) initiator.connection.tick();
    expect(initiator.port.closed).toBeNull();
    initiator.connection.tick();
    expect(initiator.port.closed).toBe('destroy');
  });
});

describe('text', () => {
  const text = (initiator: ConnectionUnderTest, pairs: Record<string, string>, flags = FINAL) =>
    initiator.send(
      {
        opcode: REQUEST.text,
        immediate: true,
        flags,
        taskTag: 5,
        words: [0xffffffff, initiator.commandNumber],
      },
      encodeText(pairs),
    );
  const listed = [
    ['TargetName', TARGET_NAME],
    ['TargetAddress', '192.0.2.9:3260,1'],
  ];

  test('SendTargets=All in a discovery session gives the address the initiator came to', () => {
    const { target } = makeTarget();
    const initiator = new ConnectionUnderTest(target).open({}, { isDiscovery: true });
    text(initiator, { SendTargets: 'All' });
    const answer = initiator.answer();
    expect(fieldsOf(answer)).toMatchObject({ opcode: ANSWER.text, flags: FINAL, taskTag: 5 });
    expect(decodeText(answer.data)).toEqual(listed);
    text(initiator, { SendTargets: TARGET_NAME });
    expect(decodeText(initiator.answer().data)).toEqual(listed);
    text(initiator, { SendTargets: 'iqn.other' });
    expect(initiator.answer().data).toHaveLength(0);
    text(initiator, { SendTargets: '' });
    expect(decodeText(initiator.answer().data)).toEqual([['SendTargets', 'Reject']]);
  });

  test('a discovery session of who is not admitted sees nothing', () => {
    const { target } = makeTarget({ admits: () => false });
    const initiator = new ConnectionUnderTest(target).open({}, { isDiscovery: true });
    text(initiator, { SendTargets: 'All' });
    expect(initiator.answer().data).toHaveLength(0);
  });

  test('in a normal session SendTargets is about this target only', () => {
    const { initiator } = held();
    text(initiator, { SendTargets: '' });
    expect(decodeText(initiator.answer().data)).toEqual(listed);
    text(initiator, { SendTargets: 'All' });
    expect(decodeText(initiator.answer().data)).toEqual([['SendTargets', 'Reject']]);
  });

  test('other keys belong to the login', () => {
    const { initiator } = held();
    text(initiator, { MaxBurstLength: '512', 'X-a': 'b', MaxRecvDataSegmentLength: '512' });
    expect(decodeText(initiator.answer().data)).toEqual([
      ['MaxBurstLength', 'Reject'],
      ['X-a', 'NotUnderstood'],
    ]);
  });

  test('comes in pieces, is bounded, and malformed it is rejected', () => {
    const { initiator } = held();
    text(initiator, { SendTargets: '' }, 0x40);
    const more = fieldsOf(initiator.answer());
    expect(more).toMatchObject({ opcode: ANSWER.text, flags: 0, dataBytes: 0 });
    const words = [more.transferTag, initiator.commandNumber];
    const rest = { opcode: REQUEST.text, immediate: true, flags: FINAL, taskTag: 5, words };
    initiator.send(rest, Buffer.from('X-a=1\0'));
    expect(decodeText(initiator.answer().data)).toHaveLength(3);
    initiator.send({ ...rest, words: [0xffffffff, 0] }, Buffer.from('no pair\0'));
    expect(fieldsOf(initiator.answer())).toMatchObject({ opcode: ANSWER.reject, response: 4 });
    initiator.send({ ...rest, words: [0xffffffff, 0] }, Buffer.alloc(20_000, 0x41));
    expect(fieldsOf(initiator.answer())).toMatchObject({ opcode: ANSWER.reject, response: 10 });
  });

  test('a discovery session takes no commands and no task management', () => {
    const { target } = makeTarget();
    const initiator = new ConnectionUnderTest(target).open({}, { isDiscovery: true });
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(initiator.answer())).toMatchObject({ opcode: ANSWER.reject, response: 4 });
    initiator.manage(5);
    expect(fieldsOf(initiator.answer())).toMatchObject({ opcode: ANSWER.reject, response: 4 });
  });
});

describe('what has no place in a session', () => {
  test.each([
    ['SNACK', 0x10, 3],
    ['another login', 0x03, 4],
    ['an opcode of the target', 0x21, 5],
    ['an unknown opcode', 0x1e, 5],
  ])('%s is rejected, with its header, and the session goes on', (_, opcode, reason) => {
    const { initiator } = held();
    initiator.send({ opcode, flags: FINAL, taskTag: 42 });
    const answer = initiator.answer();
    expect(fieldsOf(answer)).toMatchObject({
      opcode: ANSWER.reject,
      response: reason,
      taskTag: 0xffffffff,
      dataBytes: 48,
    });
    expect(answer.data.readUInt32BE(16)).toBe(42);
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 0 });
  });

  test('a data segment that is too long ends the session with a Reject', () => {
    const { initiator } = held();
    const header = Buffer.alloc(48);
    header[0] = REQUEST.nopOut;
    header.writeUIntBE(2 ** 23, 5, 3);
    initiator.connection.receive(header);
    expect(fieldsOf(initiator.answer())).toMatchObject({ opcode: ANSWER.reject, response: 4 });
    expect(initiator.port.closed).toBe('end');
  });
});
