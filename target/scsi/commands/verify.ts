/** VERIFY (10), (12) and (16) (SBC-3 §5.26–5.28). */
import { TRANSFER_BYTES_MAX } from '../../../core/limits.ts';
import { VERIFY_STEP_BYTES } from '../limits.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInCdb, type Sense } from '../sense.ts';
import { checkSame } from './compare.ts';
import { type CommandDescriptor, describeCommand } from './descriptor.ts';
import { DPO, readExtent } from './extent.ts';
import { usage10, usage12, usage16 } from './read-write.ts';

const BYTE_CHECK_BITS = 0x06;

/** BYTCHK: what the blocks are compared with. */
const COMPARE_NOTHING = 0;
const COMPARE_ALL = 1;
const RESERVED = 2;
const COMPARE_ONE_BLOCK = 3;

function byteCheckOf(task: ScsiTask): number {
  return ((task.cdb[1] as number) & BYTE_CHECK_BITS) >> 1;
}

function begin(unit: LogicalUnit, task: ScsiTask): Sense | null {
  const sense = readExtent(unit, task, TRANSFER_BYTES_MAX);
  if (sense !== null) return sense;
  const byteCheck = byteCheckOf(task);
  if (byteCheck === RESERVED) return invalidFieldInCdb(1, 2);
  if (byteCheck === COMPARE_ALL) task.dataOutBytes = task.lengthBytes;
  if (byteCheck === COMPARE_ONE_BLOCK && task.lengthBytes > 0) task.dataOutBytes = unit.blockBytes;
  return null;
}

function run(_unit: LogicalUnit, task: ScsiTask): void {
  if (task.lengthBytes === 0) task.good();
  else readStep(task);
}

function readStep(task: ScsiTask): void {
  const left = task.lengthBytes - task.progress;
  task.read(task.offsetBytes + task.progress, Math.min(left, VERIFY_STEP_BYTES), compareStep);
}

function compareStep(task: ScsiTask, data: Buffer): void {
  const sense = compare(task, data);
  if (sense !== null) {
    task.check(sense);
    return;
  }
  task.progress += data.length;
  if (task.progress === task.lengthBytes) task.good();
  else readStep(task);
}

function compare(task: ScsiTask, data: Buffer): Sense | null {
  const byteCheck = byteCheckOf(task);
  if (byteCheck === COMPARE_NOTHING) return null;
  if (byteCheck === COMPARE_ALL) {
    const expected = task.dataOut.subarray(task.progress, task.progress + data.length);
    return checkSame(data, expected, task.progress);
  }
  const blockBytes = task.dataOutBytes;
  for (let at = 0; at < data.length; at += blockBytes) {
    const sense = checkSame(data.subarray(at, at + blockBytes), task.dataOut, 0);
    if (sense !== null) return sense;
  }
  return null;
}

const FLAGS = DPO | BYTE_CHECK_BITS;

export const VERIFY_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({ name: 'VERIFY (10)', opcode: 0x2f, usage: usage10(FLAGS), begin, run }),
  describeCommand({ name: 'VERIFY (16)', opcode: 0x8f, usage: usage16(FLAGS), begin, run }),
  describeCommand({ name: 'VERIFY (12)', opcode: 0xaf, usage: usage12(FLAGS), begin, run }),
];
