/** INQUIRY (SPC-4 §6.6). */
import { NO_DATA } from '../../../core/block/block-device.ts';
import type { Identity } from '../identity.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInCdb, type Sense } from '../sense.ts';
import { type CommandDescriptor, describeCommand } from './descriptor.ts';
import { encodeVitalProductData } from './vital-product-data.ts';

const ENABLE_VPD = 0x01;
const SPC_4 = 0x06;
/** HiSup, and response data format 2 (SPC-4 §6.6.2). */
const FORMAT = 0x12;
/** CmdQue: commands are queued. */
const QUEUES = 0x02;

/** Version descriptors: SAM-5, iSCSI, SPC-4, SBC-3, in no version of theirs (SPC-4 §6.6.2). */
const CLAIMS = [0x00a0, 0x0960, 0x0460, 0x04c0];

/** Where there is no unit: qualifier 011b and the type "unknown". */
const NO_UNIT = 0x7f;

const LENGTH = 96;

export function encodeStandardInquiry(identity: Identity): Buffer {
  const bytes = Buffer.alloc(LENGTH);
  bytes[2] = SPC_4;
  bytes[3] = FORMAT;
  bytes[4] = LENGTH - 5;
  bytes[7] = QUEUES;
  bytes.write(identity.vendor, 8, 'latin1');
  bytes.write(identity.product, 16, 'latin1');
  bytes.write(identity.revision, 32, 'latin1');
  CLAIMS.forEach((claim, index) => bytes.writeUInt16BE(claim, 58 + index * 2));
  return bytes;
}

/** The standard answer for a LUN that we do not have (SPC-4 §6.6.2). */
export function encodeAbsentInquiry(identity: Identity): Buffer {
  const bytes = encodeStandardInquiry(identity);
  bytes[0] = NO_UNIT;
  return bytes;
}

function begin(_unit: LogicalUnit, task: ScsiTask): Sense | null {
  const wantsPage = ((task.cdb[1] as number) & ENABLE_VPD) !== 0;
  return !wantsPage && task.cdb[2] !== 0 ? invalidFieldInCdb(2) : null;
}

function run(unit: LogicalUnit, task: ScsiTask): void {
  const wantsPage = ((task.cdb[1] as number) & ENABLE_VPD) !== 0;
  const answer = wantsPage
    ? encodeVitalProductData(unit, task.cdb[2] as number)
    : encodeStandardInquiry(unit.identity);
  if (answer === null) task.check(invalidFieldInCdb(2));
  else task.goodWith(cut(answer, task.cdb.readUInt16BE(3)));
}

/** To the allocation length (SPC-4 §4.3.5.6); the initiator is told nothing of the rest. */
export function cut(answer: Buffer, allocationBytes: number): Buffer {
  if (allocationBytes === 0) return NO_DATA;
  return answer.length <= allocationBytes ? answer : answer.subarray(0, allocationBytes);
}

export const INQUIRY: CommandDescriptor = describeCommand({
  name: 'INQUIRY',
  opcode: 0x12,
  usage: [ENABLE_VPD, 0xff, 0xff, 0xff, 0],
  passesUnitAttention: true,
  begin,
  run,
});
