/** How large a file system says it is, from the first bytes of its device. */
import type { FileSystemKind } from './mkfs-options.ts';

/** Both superblocks lie within this much of the device's start. */
export const SUPERBLOCK_BYTES = 2048;

const EXT4_OFFSET_BYTES = 1024;
const EXT4_MAGIC = 0xef53;
/** Feature bit INCOMPAT_64BIT: the block count has a high half. */
const EXT4_64BIT = 0x80;
const XFS_MAGIC = 0x58465342;

/**
 * @param start the first 2 KiB of the device.
 * @returns bytes that the file system covers; null if there is none of that kind.
 */
export function fileSystemBytes(kind: FileSystemKind, start: Buffer): number | null {
  return kind === 'ext4' ? ext4Bytes(start) : xfsBytes(start);
}

/** Linux Documentation/filesystems/ext4/globals.rst, "Super Block". */
function ext4Bytes(start: Buffer): number | null {
  const block = start.subarray(EXT4_OFFSET_BYTES);
  if (block.length < 1024 || block.readUInt16LE(0x38) !== EXT4_MAGIC) return null;
  const is64Bit = (block.readUInt32LE(0x60) & EXT4_64BIT) !== 0;
  const high = is64Bit ? block.readUInt32LE(0x150) : 0;
  const blockCount = high * 2 ** 32 + block.readUInt32LE(0x4);
  return blockCount * 1024 * 2 ** block.readUInt32LE(0x18);
}

/** XFS Algorithms & Data Structures, "Superblocks": sb_blocksize and sb_dblocks, big endian. */
function xfsBytes(start: Buffer): number | null {
  if (start.length < 512 || start.readUInt32BE(0) !== XFS_MAGIC) return null;
  return Number(start.readBigUInt64BE(8)) * start.readUInt32BE(4);
}
