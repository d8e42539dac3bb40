/** Where LBA and number of blocks stand in the CDB, by the group of the operation code. */
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInCdb, SENSE, type Sense } from '../sense.ts';

const TWO_32 = 0x1_0000_0000;
/** 64-bit block numbers above it are not safe integers once they are bytes. */
const HIGH_WORD_MAX = 0xff;

const GROUP_6 = 0;
const GROUP_16 = 4;
const GROUP_12 = 5;

/** Bits of byte 1 that READ, WRITE and their like share. */
export const DPO = 0x10;
export const FUA = 0x08;
/** Obsolete since SBC-3; where a write must reach non-volatile memory, ours is the medium. */
export const FUA_NV = 0x02;

/** The byte of the CDB in which the number of blocks begins. */
function countIndexOf(cdb: Buffer): number {
  const group = (cdb[0] as number) >> 5;
  if (group === GROUP_6) return 4;
  if (group === GROUP_16) return 10;
  return group === GROUP_12 ? 6 : 7;
}

function blockOf(cdb: Buffer): number {
  const group = (cdb[0] as number) >> 5;
  if (group === GROUP_6) return cdb.readUInt32BE(0) & 0x1fffff;
  if (group !== GROUP_16) return cdb.readUInt32BE(2);
  const high = cdb.readUInt32BE(2);
  return high > HIGH_WORD_MAX ? Number.POSITIVE_INFINITY : high * TWO_32 + cdb.readUInt32BE(6);
}

function countOf(cdb: Buffer): number {
  const group = (cdb[0] as number) >> 5;
  // SBC-3 §5.10: in READ (6) and WRITE (6), and nowhere else, zero means 256.
  if (group === GROUP_6) return (cdb[4] as number) || 256;
  if (group === GROUP_16) return cdb.readUInt32BE(10);
  return group === GROUP_12 ? cdb.readUInt32BE(6) : cdb.readUInt16BE(7);
}

/**
 * Sets offset and length of the task, in bytes. The block must exist even when none is asked for
 * (SBC-3 §4.5: LOGICAL BLOCK ADDRESS OUT OF RANGE), one just behind the last being allowed then.
 *
 * @param lengthBytesMax the most that the command may cover; INVALID FIELD IN CDB above.
 */
export function readExtent(
  unit: LogicalUnit,
  task: ScsiTask,
  lengthBytesMax: number,
): Sense | null {
  return setExtent(unit, task, countOf(task.cdb), lengthBytesMax);
}

/** As `readExtent`, where zero blocks mean: up to the last one. */
export function readExtentToEnd(
  unit: LogicalUnit,
  task: ScsiTask,
  lengthBytesMax: number,
): Sense | null {
  const count = countOf(task.cdb);
  const rest = Math.max(unit.blockCount - blockOf(task.cdb), 0);
  return setExtent(unit, task, count === 0 ? rest : count, lengthBytesMax);
}

/** As `readExtent`, for the one command whose number of blocks is a byte of its own. */
export function readExtentOf(unit: LogicalUnit, task: ScsiTask, blockCount: number): Sense | null {
  return setExtent(unit, task, blockCount, Number.POSITIVE_INFINITY);
}

function setExtent(
  unit: LogicalUnit,
  task: ScsiTask,
  count: number,
  lengthBytesMax: number,
): Sense | null {
  const block = blockOf(task.cdb);
  task.offsetBytes = block * unit.blockBytes;
  task.lengthBytes = count * unit.blockBytes;
  if (block + count > unit.blockCount) {
    const information = Math.max(block, unit.blockCount);
    return Number.isFinite(information)
      ? { ...SENSE.blockOutOfRange, information }
      : SENSE.blockOutOfRange;
  }
  return task.lengthBytes > lengthBytesMax ? wrongCount(task) : null;
}

/** INVALID FIELD IN CDB that points at the number of blocks. */
export function wrongCount(task: ScsiTask): Sense {
  return invalidFieldInCdb(countIndexOf(task.cdb));
}
