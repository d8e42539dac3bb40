/** READ DEFECT DATA (SBC-3 §5.17, §5.18): a volume has no defects of its own, in any format. */
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { beginNothing, type CommandDescriptor, describeCommand } from './descriptor.ts';
import { cut } from './inquiry.ts';

/** REQ_PLIST, REQ_GLIST and DEFECT LIST FORMAT: given back as they were asked for. */
const LISTS_AND_FORMAT = 0x1f;

function run10(_unit: LogicalUnit, task: ScsiTask): void {
  const answer = Buffer.from([0, (task.cdb[2] as number) & LISTS_AND_FORMAT, 0, 0]);
  task.goodWith(cut(answer, task.cdb.readUInt16BE(7)));
}

function run12(_unit: LogicalUnit, task: ScsiTask): void {
  const answer = Buffer.from([0, (task.cdb[1] as number) & LISTS_AND_FORMAT, 0, 0, 0, 0, 0, 0]);
  task.goodWith(cut(answer, task.cdb.readUInt32BE(6)));
}

export const DEFECT_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({
    name: 'READ DEFECT DATA (10)',
    opcode: 0x37,
    usage: [0, LISTS_AND_FORMAT, 0, 0, 0, 0, 0xff, 0xff, 0],
    begin: beginNothing,
    run: run10,
  }),
  describeCommand({
    name: 'READ DEFECT DATA (12)',
    opcode: 0xb7,
    usage: [LISTS_AND_FORMAT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
    begin: beginNothing,
    run: run12,
  }),
];
