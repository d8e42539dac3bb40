/**
 * What a LUN that we do not have answers (SPC-4 §6.6.2, SAM-5 §5.11): INQUIRY says that nothing
 * is there, REPORT LUNS what is, REQUEST SENSE that the unit is not supported.
 */

import { REPORT_LUNS } from './commands/capacity.ts';
import type { CommandDescriptor } from './commands/descriptor.ts';
import { cut, encodeAbsentInquiry, INQUIRY } from './commands/inquiry.ts';
import { encodeRequestedSense, REQUEST_SENSE } from './commands/state.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { ScsiTask } from './scsi-task.ts';
import { invalidFieldInCdb, SENSE, type Sense } from './sense.ts';

const ENABLE_VPD = 0x01;

export function answersWithoutUnit(descriptor: CommandDescriptor): boolean {
  return descriptor === INQUIRY || descriptor === REPORT_LUNS || descriptor === REQUEST_SENSE;
}

export function beginWithoutUnit(
  unit: LogicalUnit,
  task: ScsiTask,
  descriptor: CommandDescriptor,
): Sense | null {
  const wantsPage = descriptor === INQUIRY && ((task.cdb[1] as number) & ENABLE_VPD) !== 0;
  return wantsPage ? invalidFieldInCdb(1, 0) : descriptor.begin(unit, task);
}

export function runWithoutUnit(
  unit: LogicalUnit,
  task: ScsiTask,
  descriptor: CommandDescriptor,
): void {
  if (descriptor === INQUIRY) {
    task.goodWith(cut(encodeAbsentInquiry(unit.identity), task.cdb.readUInt16BE(3)));
  } else if (descriptor === REQUEST_SENSE) {
    task.goodWith(encodeRequestedSense(task, SENSE.unitNotSupported));
  } else {
    descriptor.run(unit, task);
  }
}
