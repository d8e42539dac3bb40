/** REPORT SUPPORTED OPERATION CODES and TASK MANAGEMENT FUNCTIONS (SPC-4 §6.35, §6.36). */
import { COMMAND_TIMEOUT_S } from '../limits.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInCdb, type Sense } from '../sense.ts';
import { beginNothing, type CommandDescriptor, describeCommand } from './descriptor.ts';
import { cut } from './inquiry.ts';

const RETURN_TIMEOUTS = 0x80;
/** REPORTING OPTIONS. */
const ALL = 0;
const ONE_WITHOUT_ACTION = 1;
const ONE_WITH_ACTION = 2;
const ONE_OF_EITHER = 3;

const HAS_ACTION = 0x01;
const HAS_TIMEOUTS = 0x02;

/** SUPPORT field of a single command. */
const NOT_SUPPORTED = 1;
const SUPPORTED = 3;
const ONE_HAS_TIMEOUTS = 0x80;

function begin(unit: LogicalUnit, task: ScsiTask): Sense | null {
  const option = (task.cdb[2] as number) & 0x07;
  if (option > ONE_OF_EITHER) return invalidFieldInCdb(2, 2);
  const hasActions = unit.commands.hasServiceActions(task.cdb[3] as number);
  const isKnown = unit.commands.isKnown(task.cdb[3] as number);
  if (option === ONE_WITHOUT_ACTION && hasActions) return invalidFieldInCdb(2, 2);
  return option === ONE_WITH_ACTION && isKnown && !hasActions ? invalidFieldInCdb(2, 2) : null;
}

function run(unit: LogicalUnit, task: ScsiTask): void {
  const { cdb } = task;
  const withTimeouts = ((cdb[2] as number) & RETURN_TIMEOUTS) !== 0;
  const option = (cdb[2] as number) & 0x07;
  const answer =
    option === ALL ? encodeAll(unit, withTimeouts) : encodeOne(find(unit, task), withTimeouts);
  task.goodWith(cut(answer, cdb.readUInt32BE(6)));
}

function find(unit: LogicalUnit, task: ScsiTask): CommandDescriptor | null {
  const opcode = task.cdb[3] as number;
  const action = task.cdb.readUInt16BE(4);
  if (unit.commands.hasServiceActions(opcode)) {
    return action > 0x1f ? null : unit.commands.find(opcode, action);
  }
  const option = (task.cdb[2] as number) & 0x07;
  return option === ONE_OF_EITHER && action !== 0 ? null : unit.commands.find(opcode, 0);
}

function encodeAll(unit: LogicalUnit, withTimeouts: boolean): Buffer {
  const entries = unit.commands.all.map((command) => {
    const entry = Buffer.alloc(8);
    entry[0] = command.opcode;
    entry.writeUInt16BE(command.serviceAction ?? 0, 2);
    entry[5] =
      (command.serviceAction === null ? 0 : HAS_ACTION) | (withTimeouts ? HAS_TIMEOUTS : 0);
    entry.writeUInt16BE(command.usage.length, 6);
    return withTimeouts ? Buffer.concat([entry, encodeTimeouts()]) : entry;
  });
  const body = Buffer.concat(entries);
  const header = Buffer.alloc(4);
  header.writeUInt32BE(body.length, 0);
  return Buffer.concat([header, body]);
}

function encodeOne(command: CommandDescriptor | null, withTimeouts: boolean): Buffer {
  if (command === null) return Buffer.from([0, NOT_SUPPORTED, 0, 0]);
  const header = Buffer.alloc(4);
  header[1] = SUPPORTED | (withTimeouts ? ONE_HAS_TIMEOUTS : 0);
  header.writeUInt16BE(command.usage.length, 2);
  return Buffer.concat([header, command.usage, ...(withTimeouts ? [encodeTimeouts()] : [])]);
}

/** SPC-4 §6.35.4: no nominal time is known, and how long to wait before doubting. */
function encodeTimeouts(): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16BE(0x0a, 0);
  bytes.writeUInt32BE(COMMAND_TIMEOUT_S, 8);
  return bytes;
}

/** ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET. */
const FUNCTIONS = 0x80 | 0x40 | 0x10 | 0x08;
const EXTENDED = 0x80;

function runFunctions(_unit: LogicalUnit, task: ScsiTask): void {
  const isExtended = ((task.cdb[2] as number) & EXTENDED) !== 0;
  const answer = Buffer.alloc(isExtended ? 16 : 4);
  answer[0] = FUNCTIONS;
  if (isExtended) answer[3] = 12;
  task.goodWith(cut(answer, task.cdb.readUInt32BE(6)));
}

function beginFunctions(_unit: LogicalUnit, task: ScsiTask): Sense | null {
  return task.cdb.readUInt32BE(6) < 4 ? invalidFieldInCdb(6) : beginNothing();
}

const MAINTENANCE_IN = 0xa3;

export const REPORT_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({
    name: 'REPORT SUPPORTED OPERATION CODES',
    opcode: MAINTENANCE_IN,
    serviceAction: 0x0c,
    usage: [0, RETURN_TIMEOUTS | 0x07, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
    begin,
    run,
  }),
  describeCommand({
    name: 'REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS',
    opcode: MAINTENANCE_IN,
    serviceAction: 0x0d,
    usage: [0, EXTENDED, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
    begin: beginFunctions,
    run: runFunctions,
  }),
];
