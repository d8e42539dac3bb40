/** WRITE SAME (10) and (16) (SBC-3 §5.40, §5.41). */
import { WRITE_SAME_BYTES_MAX, WRITE_SAME_STEP_BYTES } from '../limits.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import type { Sense } from '../sense.ts';
import { type CommandDescriptor, describeCommand } from './descriptor.ts';
import { readExtent, wrongCount } from './extent.ts';
import { answerGood, usage10, usage16 } from './read-write.ts';

const UNMAP = 0x08;
/** No data-out: the blocks are zeros. WRITE SAME (16) only. */
const NO_DATA_OUT = 0x01;

/** Given to the device again and again: nobody ever writes to it. */
const ZEROS = Buffer.alloc(WRITE_SAME_STEP_BYTES);

function begin(unit: LogicalUnit, task: ScsiTask): Sense | null {
  const hasNoDataOut = ((task.cdb[1] as number) & NO_DATA_OUT) !== 0;
  task.dataOutBytes = hasNoDataOut ? 0 : unit.blockBytes;
  const sense = readExtent(unit, task, WRITE_SAME_BYTES_MAX);
  // WSNZ=1: zero blocks do not mean all blocks up to the end.
  return sense ?? (task.lengthBytes === 0 ? wrongCount(task) : null);
}

function run(unit: LogicalUnit, task: ScsiTask): void {
  unit.gate.enterShared(task, start);
}

/**
 * UNMAP=1 gives the space back where the blocks are to read as zeros, as unmapped ones do
 * (LBPRZ=1), and writes where they are not. UNMAP=0 always writes: who zeroes to make sure of
 * space gets it.
 */
function start(task: ScsiTask): void {
  if (task.aborted) {
    task.good();
    return;
  }
  const block = task.dataOut.subarray(0, task.dataOutBytes);
  const isZero = block.every((byte) => byte === 0);
  if (isZero && ((task.cdb[1] as number) & UNMAP) !== 0) {
    task.unmap(task.offsetBytes, task.lengthBytes, answerGood);
    return;
  }
  const stepBytes = Math.min(task.lengthBytes, WRITE_SAME_STEP_BYTES);
  // The pattern takes the place of the one block, for all steps.
  task.dataOut = isZero ? ZEROS : Buffer.allocUnsafeSlow(stepBytes).fill(block);
  writeStep(task);
}

function writeStep(task: ScsiTask): void {
  const left = task.lengthBytes - task.progress;
  if (left === 0) {
    task.good();
    return;
  }
  const stepBytes = Math.min(left, WRITE_SAME_STEP_BYTES);
  const at = task.offsetBytes + task.progress;
  task.progress += stepBytes;
  task.write(at, task.dataOut.subarray(0, stepBytes), writeStep);
}

const same = { writesMedium: true, dataOut: 'exact', begin, run } as const;

export const WRITE_SAME_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({ name: 'WRITE SAME (10)', opcode: 0x41, usage: usage10(UNMAP), ...same }),
  describeCommand({
    name: 'WRITE SAME (16)',
    opcode: 0x93,
    usage: usage16(UNMAP | NO_DATA_OUT),
    ...same,
  }),
];
