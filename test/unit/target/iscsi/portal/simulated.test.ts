import { expect, test } from '@jest/globals';
import { MemoryBlockDevice } from '../../../../../core/block/memory-block-device.ts';
import { MiB } from '../../../../../core/units.ts';
import { openPortal } from '../../../../../target/iscsi/index.ts';
import { LogicalUnit } from '../../../../../target/scsi/index.ts';
import { fieldsOf, type Pdu, pduOf } from '../../../../fixtures/iscsi-connection.ts';
import {
  encodeHeader,
  encodeText,
  FINAL,
  PduReader,
  REQUEST,
} from '../../../../fixtures/iscsi-pdu.ts';
import { cdb10, UNIT_ID } from '../../../../fixtures/scsi-unit.ts';
import { simulate } from '../../../../fixtures/simulation.ts';

const TARGET_NAME = 'iqn.2016-09.com.openebs:simulated';
const BLOCKS = 64;

function loginPdu(): Buffer {
  const text = encodeText({ InitiatorName: 'iqn.initiator', TargetName: TARGET_NAME });
  const header = encodeHeader({
    opcode: REQUEST.login,
    immediate: true,
    flags: FINAL | (1 << 2) | 3,
    lun: 0,
    taskTag: 1,
    dataBytes: text.length,
    words: [0, 1, 0],
  });
  return pduOf(header, text);
}

function commandPdu(number: number, cdb: Buffer, data?: Buffer): Buffer {
  const header = encodeHeader({
    opcode: REQUEST.command,
    flags: FINAL | (data === undefined ? 0x40 : 0x20) | 1,
    lun: 0,
    taskTag: 100 + number,
    dataBytes: data?.length ?? 0,
    words: [512, number, 0],
  });
  cdb.copy(header, 32);
  return pduOf(header, data);
}

test.each([1, 2, 3])('reads and writes over the simulated network, seed %i', async (seed) => {
  const simulation = simulate(seed);
  const target = simulation.machine('n1').process('target').platform;
  const initiator = simulation.machine('n2').process('initiator').platform;
  const portal = await simulation.finish(
    openPortal(
      { ...target, address: 'tcp:n1:3260', log: () => undefined },
      {
        targetName: TARGET_NAME,
        logicalUnit: new LogicalUnit({
          device: new MemoryBlockDevice({ sizeBytes: MiB }),
          identity: { volumeId: UNIT_ID },
        }),
        admits: () => true,
      },
    ),
  );
  const answers: Pdu[] = [];
  const reader = new PduReader({
    place: () => null,
    end: (header, data) => answers.push({ header: Buffer.from(header), data: Buffer.from(data) }),
  });
  let isClosed = false;
  const connection = initiator.network.connect(portal.address, {
    onOpen: () => void connection.write(loginPdu()),
    onData: (chunk) => reader.push(chunk),
    onClose: () => {
      isClosed = true;
    },
  });
  await simulation.runFor(100);
  expect(answers).toHaveLength(1);
  // The first command takes the unit attention; the rest is sent at once.
  connection.write(commandPdu(1, Buffer.alloc(16)));
  for (let block = 0; block < BLOCKS; block += 1) {
    connection.write(commandPdu(2 + block, cdb10(0x2a, block, 1), Buffer.alloc(512, block)));
  }
  await simulation.runFor(1_000);
  for (let block = 0; block < BLOCKS; block += 1) {
    connection.write(commandPdu(2 + BLOCKS + block, cdb10(0x28, block, 1)));
  }
  await simulation.runFor(1_000);
  const fields = answers.slice(2).map(fieldsOf);
  expect(fields.map(({ status }) => status)).toEqual(Array(2 * BLOCKS).fill(0));
  const read = answers.slice(2 + BLOCKS).map(({ data }) => data);
  expect(read.every((data, block) => data.equals(Buffer.alloc(512, block)))).toBe(true);
  // A silent initiator that answers no pings is dropped.
  await simulation.runFor(25_000);
  expect([isClosed, portal.sessionCount]).toEqual([true, 0]);
  await simulation.finish(portal.close());
});
