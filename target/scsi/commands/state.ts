/** TEST UNIT READY, REQUEST SENSE (SPC-4 §6.47, §6.39), START STOP UNIT (SBC-3 §5.21). */
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { encodeSense, invalidFieldInCdb, SENSE, type Sense } from '../sense.ts';
import { beginNothing, type CommandDescriptor, describeCommand } from './descriptor.ts';
import { cut } from './inquiry.ts';

/** Ready as long as the process lives: what cannot be served yet waits, and is then BUSY (R18). */
function runTestUnitReady(_unit: LogicalUnit, task: ScsiTask): void {
  task.good();
}

const DESCRIPTOR_FORMAT = 0x01;

/** A pending unit attention is the answer, and is cleared by it. */
function runRequestSense(_unit: LogicalUnit, task: ScsiTask): void {
  task.goodWith(encodeRequestedSense(task, task.nexus.takeUnitAttention() ?? SENSE.none));
}

export function encodeRequestedSense(task: ScsiTask, sense: Sense): Buffer {
  const isDescriptor = ((task.cdb[1] as number) & DESCRIPTOR_FORMAT) !== 0;
  const bytes = encodeSense(sense, isDescriptor ? 'descriptor' : 'fixed');
  return cut(bytes, task.cdb[4] as number);
}

const START = 0x01;
const LOAD_EJECT = 0x02;
const NO_FLUSH = 0x04;

/**
 * Starting what runs is done at once. Stopping, ejecting and power conditions are refused: the
 * unit does none of it, and one initiator would stop it for all.
 */
function beginStartStop(_unit: LogicalUnit, task: ScsiTask): Sense | null {
  const action = task.cdb[4] as number;
  if (action >> 4 !== 0) return invalidFieldInCdb(4, 7);
  if ((action & LOAD_EJECT) !== 0) return invalidFieldInCdb(4, 1);
  return (action & START) === 0 ? invalidFieldInCdb(4, 0) : null;
}

export const REQUEST_SENSE: CommandDescriptor = describeCommand({
  name: 'REQUEST SENSE',
  opcode: 0x03,
  usage: [DESCRIPTOR_FORMAT, 0, 0, 0xff, 0],
  passesUnitAttention: true,
  begin: beginNothing,
  run: runRequestSense,
});

export const STATE_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({
    name: 'TEST UNIT READY',
    opcode: 0x00,
    usage: [0, 0, 0, 0, 0],
    begin: beginNothing,
    run: runTestUnitReady,
  }),
  REQUEST_SENSE,
  describeCommand({
    name: 'START STOP UNIT',
    opcode: 0x1b,
    usage: [0x01, 0, 0, 0xf0 | NO_FLUSH | LOAD_EJECT | START, 0],
    begin: beginStartStop,
    run: (_unit, task) => task.good(),
  }),
];
