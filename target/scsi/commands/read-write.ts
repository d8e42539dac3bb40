/** READ, WRITE, WRITE AND VERIFY of 6 to 16 bytes (SBC-3 §5.10–5.13, §5.32–5.39). */
import { TRANSFER_BYTES_MAX } from '../../../core/limits.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInCdb, type Sense } from '../sense.ts';
import { checkSame } from './compare.ts';
import { type CommandDescriptor, describeCommand } from './descriptor.ts';
import { DPO, FUA, FUA_NV, readExtent } from './extent.ts';

const FLAGS = DPO | FUA | FUA_NV;
const GROUP_BITS = 0x1f;
const BYTE_CHECK = 0x06;

/** CDB bytes after the operation code, by length: flags, block, count, group, control. */
export function usage6(): number[] {
  return [0x1f, 0xff, 0xff, 0xff, 0];
}

export function usage10(flags: number): number[] {
  return [flags, 0xff, 0xff, 0xff, 0xff, GROUP_BITS, 0xff, 0xff, 0];
}

export function usage12(flags: number): number[] {
  return [flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, GROUP_BITS, 0];
}

export function usage16(flags: number): number[] {
  return [flags, ...Array<number>(12).fill(0xff), GROUP_BITS, 0];
}

export function isForced(cdb: Buffer): boolean {
  return ((cdb[1] as number) & (FUA | FUA_NV)) !== 0;
}

function beginRead(unit: LogicalUnit, task: ScsiTask): Sense | null {
  const isShort = task.cdb[0] === 0x08;
  task.forceUnitAccess = !isShort && isForced(task.cdb);
  return readExtent(unit, task, TRANSFER_BYTES_MAX);
}

/** FUA (SBC-3 §5.11): the blocks come from the medium; cached newer ones are written to it. */
function runRead(_unit: LogicalUnit, task: ScsiTask): void {
  if (task.lengthBytes === 0) task.good();
  else if (task.forceUnitAccess) task.flush(readNow);
  else readNow(task);
}

function readNow(task: ScsiTask): void {
  task.read(task.offsetBytes, task.lengthBytes, answerRead);
}

function answerRead(task: ScsiTask, data: Buffer): void {
  task.goodWith(data);
}

function beginWrite(unit: LogicalUnit, task: ScsiTask): Sense | null {
  const isShort = task.cdb[0] === 0x0a;
  task.forceUnitAccess = !isShort && isForced(task.cdb);
  const sense = readExtent(unit, task, TRANSFER_BYTES_MAX);
  task.dataOutBytes = task.lengthBytes;
  return sense;
}

function runWrite(unit: LogicalUnit, task: ScsiTask): void {
  if (task.lengthBytes === 0) task.good();
  else unit.gate.enterShared(task, writeNow);
}

function writeNow(task: ScsiTask): void {
  if (task.aborted) task.good();
  else task.write(task.offsetBytes, task.dataOut, flushIfForced);
}

/** FUA (SBC-3 §5.32): GOOD only once the blocks are on the medium. */
export function flushIfForced(task: ScsiTask): void {
  if (task.forceUnitAccess) task.flush(answerGood);
  else task.good();
}

export function answerGood(task: ScsiTask): void {
  task.good();
}

function beginWriteAndVerify(unit: LogicalUnit, task: ScsiTask): Sense | null {
  const sense = readExtent(unit, task, TRANSFER_BYTES_MAX);
  task.dataOutBytes = task.lengthBytes;
  const byteCheck = ((task.cdb[1] as number) & BYTE_CHECK) >> 1;
  return sense ?? (byteCheck > 1 ? invalidFieldInCdb(1, 2) : null);
}

/** Alone on its range: another write in between would be a false miscompare. */
function runWriteAndVerify(unit: LogicalUnit, task: ScsiTask): void {
  if (task.lengthBytes === 0) task.good();
  else unit.gate.enterExclusive(task, writeThenVerify);
}

function writeThenVerify(task: ScsiTask): void {
  if (task.aborted) task.good();
  else task.write(task.offsetBytes, task.dataOut, flushThenRead);
}

function flushThenRead(task: ScsiTask): void {
  task.flush(readBack);
}

function readBack(task: ScsiTask): void {
  task.read(task.offsetBytes, task.lengthBytes, compareWritten);
}

function compareWritten(task: ScsiTask, data: Buffer): void {
  const comparesBytes = ((task.cdb[1] as number) & BYTE_CHECK) !== 0;
  const sense = comparesBytes ? checkSame(data, task.dataOut, 0) : null;
  if (sense === null) task.good();
  else task.check(sense);
}

const read = { begin: beginRead, run: runRead };
const write = { begin: beginWrite, run: runWrite, writesMedium: true, dataOut: 'cut' } as const;
const writeAndVerify = {
  begin: beginWriteAndVerify,
  run: runWriteAndVerify,
  writesMedium: true,
  dataOut: 'cut',
} as const;
const CHECK_FLAGS = DPO | BYTE_CHECK;

export const READ_WRITE_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({ name: 'READ (6)', opcode: 0x08, usage: usage6(), ...read }),
  describeCommand({ name: 'WRITE (6)', opcode: 0x0a, usage: usage6(), ...write }),
  describeCommand({ name: 'READ (10)', opcode: 0x28, usage: usage10(FLAGS), ...read }),
  describeCommand({ name: 'WRITE (10)', opcode: 0x2a, usage: usage10(FLAGS), ...write }),
  describeCommand({ name: 'READ (16)', opcode: 0x88, usage: usage16(FLAGS), ...read }),
  describeCommand({ name: 'WRITE (16)', opcode: 0x8a, usage: usage16(FLAGS), ...write }),
  describeCommand({ name: 'READ (12)', opcode: 0xa8, usage: usage12(FLAGS), ...read }),
  describeCommand({ name: 'WRITE (12)', opcode: 0xaa, usage: usage12(FLAGS), ...write }),
  describeCommand({
    name: 'WRITE AND VERIFY (10)',
    opcode: 0x2e,
    usage: usage10(CHECK_FLAGS),
    ...writeAndVerify,
  }),
  describeCommand({
    name: 'WRITE AND VERIFY (16)',
    opcode: 0x8e,
    usage: usage16(CHECK_FLAGS),
    ...writeAndVerify,
  }),
  describeCommand({
    name: 'WRITE AND VERIFY (12)',
    opcode: 0xae,
    usage: usage12(CHECK_FLAGS),
    ...writeAndVerify,
  }),
];
