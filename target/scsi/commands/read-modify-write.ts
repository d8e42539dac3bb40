/**
 * COMPARE AND WRITE (SBC-3 §5.2) and ORWRITE (16) (§5.8). Each holds its range from the read to
 * the last answer of the device (R13).
 */
import { TRANSFER_BYTES_MAX } from '../../../core/limits.ts';
import { COMPARE_AND_WRITE_BLOCK_COUNT_MAX } from '../limits.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInCdb, type Sense } from '../sense.ts';
import { checkSame } from './compare.ts';
import { type CommandDescriptor, describeCommand } from './descriptor.ts';
import { DPO, FUA, FUA_NV, readExtent, readExtentOf } from './extent.ts';
import { flushIfForced, isForced, usage16 } from './read-write.ts';

const COUNT_INDEX = 13;
const FLAGS = DPO | FUA | FUA_NV;

function beginCompareAndWrite(unit: LogicalUnit, task: ScsiTask): Sense | null {
  const blockCount = task.cdb[COUNT_INDEX] as number;
  task.forceUnitAccess = isForced(task.cdb);
  // Both halves: what is expected, then what is written.
  task.dataOutBytes = 2 * blockCount * unit.blockBytes;
  const sense = readExtentOf(unit, task, blockCount);
  if (sense !== null) return sense;
  return blockCount > COMPARE_AND_WRITE_BLOCK_COUNT_MAX ? invalidFieldInCdb(COUNT_INDEX) : null;
}

function runExclusive(unit: LogicalUnit, task: ScsiTask): void {
  if (task.lengthBytes === 0) task.good();
  else unit.gate.enterExclusive(task, readFirst);
}

function readFirst(task: ScsiTask): void {
  if (task.aborted) task.good();
  else task.read(task.offsetBytes, task.lengthBytes, task.cdb[0] === 0x8b ? or : compareAndWrite);
}

function compareAndWrite(task: ScsiTask, stored: Buffer): void {
  const sense = checkSame(stored, task.dataOut, 0);
  if (sense !== null) task.check(sense);
  else task.write(task.offsetBytes, task.dataOut.subarray(task.lengthBytes), flushIfForced);
}

function beginOrWrite(unit: LogicalUnit, task: ScsiTask): Sense | null {
  task.forceUnitAccess = isForced(task.cdb);
  const sense = readExtent(unit, task, TRANSFER_BYTES_MAX);
  task.dataOutBytes = task.lengthBytes;
  return sense;
}

function or(task: ScsiTask, stored: Buffer): void {
  const merged = Buffer.allocUnsafeSlow(stored.length);
  for (let index = 0; index < stored.length; index += 1) {
    merged[index] = (stored[index] as number) | (task.dataOut[index] as number);
  }
  task.write(task.offsetBytes, merged, flushIfForced);
}

const COMPARE_AND_WRITE_USAGE = [FLAGS, ...Array<number>(8).fill(0xff), 0, 0, 0, 0xff, 0x1f, 0];

export const READ_MODIFY_WRITE_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({
    name: 'COMPARE AND WRITE',
    opcode: 0x89,
    usage: COMPARE_AND_WRITE_USAGE,
    writesMedium: true,
    dataOut: 'exact',
    begin: beginCompareAndWrite,
    run: runExclusive,
  }),
  describeCommand({
    name: 'ORWRITE (16)',
    opcode: 0x8b,
    usage: usage16(FLAGS),
    writesMedium: true,
    dataOut: 'exact',
    begin: beginOrWrite,
    run: runExclusive,
  }),
];
