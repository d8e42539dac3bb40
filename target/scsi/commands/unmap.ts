/** UNMAP (SBC-3 §5.25): every descriptor is checked before the first one is done. */
import { UNMAP_COMMAND_BYTES_MAX, UNMAP_DESCRIPTOR_COUNT_MAX } from '../limits.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInParameters, SENSE, type Sense } from '../sense.ts';
import { type CommandDescriptor, describeCommand } from './descriptor.ts';

const HEADER_BYTES = 8;
const DESCRIPTOR_BYTES = 16;
const TWO_32 = 0x1_0000_0000;

function begin(_unit: LogicalUnit, task: ScsiTask): null {
  task.dataOutBytes = task.cdb.readUInt16BE(7);
  return null;
}

function run(unit: LogicalUnit, task: ScsiTask): void {
  // SBC-3 §5.25.1: no parameter list is no error and nothing to do.
  if (task.dataOutBytes === 0) {
    task.good();
    return;
  }
  const sense = checkList(unit, task);
  if (sense !== null) task.check(sense);
  else if (task.lengthBytes === 0) task.good();
  else unit.gate.enterShared(task, unmapStep);
}

function descriptorCountOf(list: Buffer): number {
  return Math.floor(list.readUInt16BE(2) / DESCRIPTOR_BYTES);
}

/** Also sets the extent of the task to the span of all descriptors, for the gate. */
function checkList(unit: LogicalUnit, task: ScsiTask): Sense | null {
  const list = task.dataOut.subarray(0, task.dataOutBytes);
  if (list.length < HEADER_BYTES) return SENSE.parameterListLength;
  if (list.readUInt16BE(2) > list.length - HEADER_BYTES) return SENSE.parameterListLength;
  const count = descriptorCountOf(list);
  if (count > UNMAP_DESCRIPTOR_COUNT_MAX) return invalidFieldInParameters(2);
  let totalBytes = 0;
  let first = Number.POSITIVE_INFINITY;
  let end = 0;
  for (let index = 0; index < count; index += 1) {
    const at = HEADER_BYTES + index * DESCRIPTOR_BYTES;
    const block = list.readUInt32BE(at) * TWO_32 + list.readUInt32BE(at + 4);
    const blockCount = list.readUInt32BE(at + 8);
    if (block + blockCount > unit.blockCount) {
      return { ...SENSE.blockOutOfRange, information: Math.max(block, unit.blockCount) };
    }
    totalBytes += blockCount * unit.blockBytes;
    if (totalBytes > UNMAP_COMMAND_BYTES_MAX) return invalidFieldInParameters(at + 8);
    if (blockCount === 0) continue;
    first = Math.min(first, block);
    end = Math.max(end, block + blockCount);
  }
  if (end > 0) {
    task.offsetBytes = first * unit.blockBytes;
    task.lengthBytes = (end - first) * unit.blockBytes;
  }
  return null;
}

/** `progress` counts descriptors. */
function unmapStep(task: ScsiTask): void {
  const list = task.dataOut;
  const count = descriptorCountOf(list);
  while (task.progress < count && !task.aborted) {
    const at = HEADER_BYTES + task.progress * DESCRIPTOR_BYTES;
    task.progress += 1;
    const blockCount = list.readUInt32BE(at + 8);
    if (blockCount === 0) continue;
    const block = list.readUInt32BE(at) * TWO_32 + list.readUInt32BE(at + 4);
    const blockBytes = task.unit.blockBytes;
    task.unmap(block * blockBytes, blockCount * blockBytes, unmapStep);
    return;
  }
  task.good();
}

export const UNMAP_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({
    name: 'UNMAP',
    opcode: 0x42,
    usage: [0, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 0],
    writesMedium: true,
    begin,
    run,
  }),
];
