/** READ CAPACITY (10) and (16) (SBC-3 §5.15, §5.16), REPORT LUNS (SPC-4 §6.33). */
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInCdb, type Sense } from '../sense.ts';
import { beginNothing, type CommandDescriptor, describeCommand } from './descriptor.ts';
import { cut } from './inquiry.ts';

const UINT32_MAX = 0xffffffff;

function runReadCapacity10(unit: LogicalUnit, task: ScsiTask): void {
  const answer = Buffer.alloc(8);
  // All ones: ask READ CAPACITY (16).
  answer.writeUInt32BE(Math.min(unit.blockCount - 1, UINT32_MAX), 0);
  answer.writeUInt32BE(unit.blockBytes, 4);
  task.goodWith(answer);
}

/** LBPME: thin; LBPRZ: unmapped blocks read as zeros. */
const PROVISIONED_THIN = 0x80 | 0x40;

function runReadCapacity16(unit: LogicalUnit, task: ScsiTask): void {
  const answer = Buffer.alloc(32);
  answer.writeBigUInt64BE(BigInt(unit.blockCount - 1), 0);
  answer.writeUInt32BE(unit.blockBytes, 8);
  answer[13] = Math.log2(unit.physicalBlockBytes / unit.blockBytes);
  answer[14] = PROVISIONED_THIN;
  task.goodWith(cut(answer, task.cdb.readUInt32BE(10)));
}

/** SELECT REPORT: which units are asked for. */
const ORDINARY = 0x00;
const WELL_KNOWN = 0x01;
const ALL = 0x02;

function beginReportLuns(_unit: LogicalUnit, task: ScsiTask): Sense | null {
  const select = task.cdb[2] as number;
  if (select !== ORDINARY && select !== WELL_KNOWN && select !== ALL) return invalidFieldInCdb(2);
  return task.cdb.readUInt32BE(6) < 16 ? invalidFieldInCdb(6) : null;
}

/** One unit, LUN 0, and no well-known one. */
function runReportLuns(_unit: LogicalUnit, task: ScsiTask): void {
  const lunBytes = task.cdb[2] === WELL_KNOWN ? 0 : 8;
  const answer = Buffer.alloc(8 + lunBytes);
  answer.writeUInt32BE(lunBytes, 0);
  task.goodWith(cut(answer, task.cdb.readUInt32BE(6)));
}

export const REPORT_LUNS: CommandDescriptor = describeCommand({
  name: 'REPORT LUNS',
  opcode: 0xa0,
  usage: [0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
  passesUnitAttention: true,
  begin: beginReportLuns,
  run: runReportLuns,
});

export const CAPACITY_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({
    name: 'READ CAPACITY (10)',
    opcode: 0x25,
    usage: [0, 0, 0, 0, 0, 0, 0, 0, 0],
    begin: beginNothing,
    run: runReadCapacity10,
  }),
  describeCommand({
    name: 'READ CAPACITY (16)',
    opcode: 0x9e,
    serviceAction: 0x10,
    usage: [0, ...Array<number>(8).fill(0), 0xff, 0xff, 0xff, 0xff, 0, 0],
    begin: beginNothing,
    run: runReadCapacity16,
  }),
  REPORT_LUNS,
];
