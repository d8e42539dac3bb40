import { describe, expect, test } from '@jest/globals';
import { MiB } from '../../../../../core/units.ts';
import { HeldDevice } from '../../../../fixtures/held-device.ts';
import {
  ConnectionUnderTest,
  fieldsOf,
  makeTarget,
} from '../../../../fixtures/iscsi-connection.ts';
import { ANSWER, FINAL, REQUEST } from '../../../../fixtures/iscsi-pdu.ts';
import { cdb10, cdb16, unmapList } from '../../../../fixtures/scsi-unit.ts';

const ABORT_TASK = 1;
const ABORT_TASK_SET = 2;
const CLEAR_TASK_SET = 4;
const UNIT_RESET = 5;
const WARM_RESET = 6;
const COLD_RESET = 7;
const TEST_UNIT_READY = Buffer.alloc(16);

const write = (block: number) => ({ cdb: cdb10(0x2a, block, 1), data: Buffer.alloc(512) });

function held(keys: Readonly<Record<string, string>> = {}) {
  const device = new HeldDevice(64 * MiB);
  const { target } = makeTarget({ device });
  const initiator = new ConnectionUnderTest(target).open(keys);
  const second = () => new ConnectionUnderTest(target).open({}, { isid: 2 });
  return { device, target, initiator, second };
}

function complete(initiator: ConnectionUnderTest): void {
  expect(fieldsOf(initiator.answer())).toMatchObject({
    opcode: ANSWER.taskManagement,
    taskTag: 9000,
    response: 0,
  });
}

describe('ABORT TASK', () => {
  test('R12: of a command that the device has is answered when that has settled, the command never', () => {
    const { device, initiator } = held();
    const taskTag = initiator.command(write(0));
    initiator.manage(ABORT_TASK, taskTag);
    expect(initiator.answers()).toEqual([]);
    device.finishNext();
    complete(initiator);
  });

  test('of a command whose data is on the way drops it at once, and its late data', () => {
    const { device, initiator } = held({ ImmediateData: 'No' });
    const taskTag = initiator.command({ cdb: cdb10(0x2a, 0, 1), writes: true, expectedBytes: 512 });
    const { transferTag } = fieldsOf(initiator.answer());
    initiator.manage(ABORT_TASK, taskTag);
    complete(initiator);
    const data = Buffer.alloc(512);
    initiator.dataOut({ taskTag, transferTag, dataNumber: 0, offsetBytes: 0, data });
    expect(device.history).toEqual([]);
    expect(initiator.answers()).toEqual([]);
  });

  test('of a command with many steps stops it after the one that runs', () => {
    const { device, initiator } = held();
    const list = unmapList([
      [0, 8],
      [100, 8],
      [200, 8],
    ]);
    const taskTag = initiator.command({ cdb: cdb10(0x42, 0, list.length), data: list });
    initiator.manage(ABORT_TASK, taskTag);
    device.finishNext();
    complete(initiator);
    expect(device.history).toEqual(['unmap 0+4096']);
  });

  test('without end, of what the device does not end, is refused from some number on', () => {
    const { device, initiator } = held();
    const taskTag = initiator.command(write(0));
    for (let count = 0; count < 64; count += 1) initiator.manage(ABORT_TASK, taskTag);
    expect(initiator.answers()).toEqual([]);
    initiator.manage(ABORT_TASK, taskTag);
    expect(fieldsOf(initiator.answer())).toMatchObject({ response: 255 });
    device.finishNext();
    expect(initiator.answers()).toHaveLength(64);
  });

  test('twice is answered twice', () => {
    const { device, initiator } = held();
    const taskTag = initiator.command(write(0));
    initiator.manage(ABORT_TASK, taskTag);
    initiator.manage(ABORT_TASK, taskTag);
    device.finishNext();
    expect(initiator.answers().map((pdu) => fieldsOf(pdu).response)).toEqual([0, 0]);
  });

  test('of a command that is over says that there is none', () => {
    const { device, initiator } = held();
    const number = initiator.commandNumber;
    const taskTag = initiator.command(write(0));
    device.finishNext();
    initiator.answer();
    initiator.manage(ABORT_TASK, taskTag, number);
    expect(fieldsOf(initiator.answer())).toMatchObject({ response: 1 });
  });

  test('of a command that has not come yet takes its number as used', () => {
    const { device, initiator } = held();
    const number = initiator.commandNumber;
    initiator.command({ ...write(1), commandNumber: number + 1 });
    expect(device.history).toEqual([]);
    initiator.manage(ABORT_TASK, 4711, number);
    complete(initiator);
    expect(device.history).toEqual(['write 512+512']);
    initiator.command({ ...write(0), commandNumber: number });
    expect(device.history).toHaveLength(1);
  });

  test('of a command that is held for its turn drops it, and the turn passes', () => {
    const { device, initiator } = held();
    const number = initiator.commandNumber;
    const taskTag = initiator.command({ ...write(1), commandNumber: number + 1 });
    initiator.command({ ...write(2), commandNumber: number + 2 });
    initiator.manage(ABORT_TASK, taskTag, number + 1);
    complete(initiator);
    initiator.command({ ...write(0), commandNumber: number });
    expect(device.history).toEqual(['write 0+512', 'write 1024+512']);
  });
});

describe('ABORT TASK SET and CLEAR TASK SET', () => {
  test('ABORT TASK SET ends the commands of its session and no other', () => {
    const { device, initiator, second } = held();
    const other = second();
    initiator.command(write(0));
    initiator.command(write(1));
    other.command(write(2));
    initiator.manage(ABORT_TASK_SET);
    device.finishNext();
    expect(initiator.answers()).toEqual([]);
    device.finishAll();
    complete(initiator);
    expect(fieldsOf(other.answer())).toMatchObject({ status: 0 });
  });

  test('CLEAR TASK SET ends those of all sessions, and tells the others', () => {
    const { device, initiator, second } = held();
    const other = second();
    initiator.command(write(0));
    other.command(write(2));
    initiator.manage(CLEAR_TASK_SET);
    device.finishAll();
    complete(initiator);
    expect(other.answers()).toEqual([]);
    other.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(other.answer())).toMatchObject({ status: 2, senseCode: 0x2f00 });
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 0 });
  });

  test('commands that wait in line are dropped, and room is given to the next', () => {
    const { device, initiator } = held();
    for (let index = 0; index < 10; index += 1) {
      const cdb = cdb16(0x88, 0, 8192);
      initiator.command({ cdb, reads: true, expectedBytes: 4 * MiB });
    }
    expect(device.calls).toHaveLength(8);
    initiator.manage(ABORT_TASK_SET);
    device.finishAll();
    complete(initiator);
    expect(device.history).toHaveLength(8);
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 0 });
  });
});

describe('resets', () => {
  test.each([
    ['LOGICAL UNIT RESET', UNIT_RESET],
    ['TARGET WARM RESET', WARM_RESET],
  ])('R12: %s ends all commands, is answered last, and every session hears of it', (_, code) => {
    const { device, initiator, second } = held();
    const other = second();
    initiator.command(write(0));
    other.command(write(1));
    initiator.manage(code);
    device.finishNext();
    expect(initiator.answers()).toEqual([]);
    device.finishNext();
    complete(initiator);
    for (const connection of [initiator, other]) {
      connection.command({ cdb: TEST_UNIT_READY });
      expect(fieldsOf(connection.answer())).toMatchObject({ status: 2, senseCode: 0x2903 });
      connection.command({ cdb: TEST_UNIT_READY });
      expect(fieldsOf(connection.answer())).toMatchObject({ status: 0 });
    }
  });

  test('TARGET COLD RESET closes every connection, after its answer', () => {
    const { target, initiator, second } = held();
    const other = second();
    initiator.manage(COLD_RESET);
    complete(initiator);
    expect([initiator.port.closed, other.port.closed]).toEqual(['end', 'end']);
    expect(target.sessions.size).toBe(0);
  });

  test('functions we do not have, and LUNs that are not there, get their own answers', () => {
    const { initiator } = held();
    const responseOf = (code: number, lun = 0) => {
      initiator.manage(code, 1, 0, lun);
      return fieldsOf(initiator.answer()).response;
    };
    expect([responseOf(3), responseOf(8), responseOf(99)]).toEqual([5, 4, 5]);
    expect([1, 2, 4, 5].map((code) => responseOf(code, 1))).toEqual([2, 2, 2, 2]);
  });
});

describe('logout', () => {
  const logout = (initiator: ConnectionUnderTest, reason: number, connectionId = 0) =>
    initiator.send({
      opcode: REQUEST.logout,
      immediate: true,
      flags: FINAL | reason,
      taskTag: 6,
      words: [connectionId << 16, initiator.commandNumber],
    });

  test('is answered when what the device has is settled, and closes the connection', () => {
    const { device, target, initiator } = held();
    initiator.command(write(0));
    logout(initiator, 0);
    initiator.command(write(1));
    expect(initiator.answers()).toEqual([]);
    expect(initiator.port.closed).toBeNull();
    device.finishNext();
    expect(fieldsOf(initiator.answer())).toMatchObject({
      opcode: ANSWER.logout,
      response: 0,
      taskTag: 6,
    });
    expect(initiator.port.closed).toBe('end');
    expect(device.history).toEqual(['write 0+512']);
    expect(target.sessions.size).toBe(0);
  });

  test('of another connection, or for recovery, is refused and the session goes on', () => {
    const { initiator } = held();
    logout(initiator, 1, 5);
    expect(fieldsOf(initiator.answer())).toMatchObject({ response: 1 });
    logout(initiator, 2);
    expect(fieldsOf(initiator.answer())).toMatchObject({ response: 2 });
    initiator.command({ cdb: TEST_UNIT_READY });
    expect(fieldsOf(initiator.answer())).toMatchObject({ status: 0 });
  });
});
