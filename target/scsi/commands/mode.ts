/** MODE SENSE and MODE SELECT (SPC-4 §6.9–6.12). */
import type { LogicalUnit } from '../logical-unit.ts';
import {
  ALL_PAGES,
  applyModePage,
  CACHING_PAGE,
  CONTROL_PAGE,
  encodeModePage,
  PAGE_CONTROL,
} from '../mode-pages.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInCdb, invalidFieldInParameters, SENSE, type Sense } from '../sense.ts';
import { type CommandDescriptor, describeCommand } from './descriptor.ts';
import { cut } from './inquiry.ts';

const DISABLE_BLOCK_DESCRIPTORS = 0x08;
const LONG_DESCRIPTORS = 0x10;
const ALL_SUBPAGES = 0xff;

/** Device specific parameter of a direct access device (SBC-3 §6.5.1). */
const WRITE_PROTECTED = 0x80;
const DPO_AND_FUA = 0x10;

const UINT32_MAX = 0xffffffff;

function isShort(task: ScsiTask): boolean {
  return (task.cdb[0] as number) < 0x20;
}

function pagesOf(page: number): readonly number[] {
  return page === ALL_PAGES ? [CACHING_PAGE, CONTROL_PAGE] : [page];
}

function beginSense(unit: LogicalUnit, task: ScsiTask): Sense | null {
  const control = (task.cdb[2] as number) >> 6;
  if (control === PAGE_CONTROL.saved) return SENSE.savingNotSupported;
  const page = (task.cdb[2] as number) & 0x3f;
  const subpage = task.cdb[3] as number;
  if (subpage !== 0 && subpage !== ALL_SUBPAGES) return invalidFieldInCdb(3);
  const isKnown = pagesOf(page).every((code) => encodeModePage(code, control, unit.mode) !== null);
  return isKnown ? null : invalidFieldInCdb(2, 5);
}

function runSense(unit: LogicalUnit, task: ScsiTask): void {
  const { cdb } = task;
  const control = (cdb[2] as number) >> 6;
  const pages = pagesOf((cdb[2] as number) & 0x3f).map(
    (code) => encodeModePage(code, control, unit.mode) as Buffer,
  );
  const flags = cdb[1] as number;
  const blocks = (flags & DISABLE_BLOCK_DESCRIPTORS) === 0 ? encodeBlocks(unit, task) : [];
  const body = Buffer.concat([...blocks, ...pages]);
  const specific = DPO_AND_FUA | (unit.mode.softwareWriteProtected ? WRITE_PROTECTED : 0);
  const descriptorBytes = blocks[0]?.length ?? 0;
  const header = Buffer.alloc(isShort(task) ? 4 : 8);
  if (isShort(task)) {
    header[0] = header.length - 1 + body.length;
    header[2] = specific;
    header[3] = descriptorBytes;
  } else {
    header.writeUInt16BE(header.length - 2 + body.length, 0);
    header[3] = specific;
    header[4] = descriptorBytes === 16 ? 1 : 0;
    header.writeUInt16BE(descriptorBytes, 6);
  }
  const allocationBytes = isShort(task) ? (cdb[4] as number) : cdb.readUInt16BE(7);
  task.goodWith(cut(Buffer.concat([header, body]), allocationBytes));
}

/** One block descriptor, short or long (SBC-3 §6.5.2). */
function encodeBlocks(unit: LogicalUnit, task: ScsiTask): Buffer[] {
  if (!isShort(task) && ((task.cdb[1] as number) & LONG_DESCRIPTORS) !== 0) {
    const long = Buffer.alloc(16);
    long.writeBigUInt64BE(BigInt(unit.blockCount), 0);
    long.writeUInt32BE(unit.blockBytes, 12);
    return [long];
  }
  const short = Buffer.alloc(8);
  short.writeUInt32BE(Math.min(unit.blockCount, UINT32_MAX), 0);
  short.writeUIntBE(unit.blockBytes, 5, 3);
  return [short];
}

const PAGE_FORMAT = 0x10;
const SAVE_PAGES = 0x01;

function beginSelect(_unit: LogicalUnit, task: ScsiTask): Sense | null {
  const flags = task.cdb[1] as number;
  task.dataOutBytes = isShort(task) ? (task.cdb[4] as number) : task.cdb.readUInt16BE(7);
  if ((flags & SAVE_PAGES) !== 0) return invalidFieldInCdb(1, 0);
  // Without PF the layout of the list is not known (SPC-4 §6.9).
  return (flags & PAGE_FORMAT) === 0 ? invalidFieldInCdb(1, 4) : null;
}

/** All pages are checked before the first one counts. */
function runSelect(unit: LogicalUnit, task: ScsiTask): void {
  if (task.dataOutBytes === 0) {
    task.good();
    return;
  }
  const headerBytes = isShort(task) ? 4 : 8;
  const list = task.dataOut;
  if (list.length < headerBytes) {
    task.check(SENSE.parameterListLength);
    return;
  }
  const descriptorBytes = isShort(task) ? (list[3] as number) : list.readUInt16BE(6);
  let at = headerBytes + descriptorBytes;
  if (at > list.length) {
    task.check(SENSE.parameterListLength);
    return;
  }
  const wrongDescriptor = checkBlocks(unit, list.subarray(headerBytes, at));
  if (wrongDescriptor) {
    task.check(invalidFieldInParameters(headerBytes));
    return;
  }
  let settings = unit.mode;
  while (at < list.length) {
    const pageBytes = 2 + (list[at + 1] ?? Number.POSITIVE_INFINITY);
    if (at + pageBytes > list.length) {
      task.check(SENSE.parameterListLength);
      return;
    }
    const applied = applyModePage(list.subarray(at, at + pageBytes), settings);
    if ('wrongIndex' in applied) {
      task.check(invalidFieldInParameters(at + applied.wrongIndex));
      return;
    }
    settings = applied;
    at += pageBytes;
  }
  unit.changeMode(settings, task.nexus);
  task.good();
}

/** A block descriptor may say what is so anyway: neither size nor count can be changed. */
function checkBlocks(unit: LogicalUnit, descriptors: Buffer): boolean {
  if (descriptors.length === 0) return false;
  if (descriptors.length !== 8) return true;
  const count = descriptors.readUInt32BE(0);
  const isSameCount = count === 0 || count === Math.min(unit.blockCount, UINT32_MAX);
  return !isSameCount || descriptors.readUIntBE(5, 3) !== unit.blockBytes;
}

const sense = { begin: beginSense, run: runSense };
const select = { begin: beginSelect, run: runSelect };
const SELECT_FLAGS = PAGE_FORMAT | SAVE_PAGES;

export const MODE_COMMANDS: readonly CommandDescriptor[] = [
  describeCommand({
    name: 'MODE SELECT (6)',
    opcode: 0x15,
    usage: [SELECT_FLAGS, 0, 0, 0xff, 0],
    ...select,
  }),
  describeCommand({
    name: 'MODE SENSE (6)',
    opcode: 0x1a,
    usage: [DISABLE_BLOCK_DESCRIPTORS, 0xff, 0xff, 0xff, 0],
    ...sense,
  }),
  describeCommand({
    name: 'MODE SELECT (10)',
    opcode: 0x55,
    usage: [SELECT_FLAGS, 0, 0, 0, 0, 0, 0xff, 0xff, 0],
    ...select,
  }),
  describeCommand({
    name: 'MODE SENSE (10)',
    opcode: 0x5a,
    usage: [DISABLE_BLOCK_DESCRIPTORS | LONG_DESCRIPTORS, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0],
    ...sense,
  }),
];
