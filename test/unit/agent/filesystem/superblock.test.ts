import { expect, test } from '@jest/globals';
import { fileSystemBytes, SUPERBLOCK_BYTES } from '../../../../agent/filesystem/superblock.ts';
import { GiB, TiB } from '../../../../core/units.ts';

function ext4(blockCount: number, logBlockSize: number, is64Bit: boolean): Buffer {
  const start = Buffer.alloc(SUPERBLOCK_BYTES);
  start.writeUInt16LE(0xef53, 1024 + 0x38);
  start.writeUInt32LE(blockCount % 2 ** 32, 1024 + 0x4);
  start.writeUInt32LE(logBlockSize, 1024 + 0x18);
  start.writeUInt32LE(is64Bit ? 0x80 : 0, 1024 + 0x60);
  start.writeUInt32LE(Math.floor(blockCount / 2 ** 32), 1024 + 0x150);
  return start;
}

test('the size of an ext4 file system is its blocks', () => {
  expect(fileSystemBytes('ext4', ext4(GiB / 4096, 2, true))).toBe(GiB);
  expect(fileSystemBytes('ext4', ext4(GiB / 1024, 0, false))).toBe(GiB);
  expect(fileSystemBytes('ext4', ext4((32 * TiB) / 4096, 2, true))).toBe(32 * TiB);
});

test('without the 64-bit feature the high half of the block count is something else', () => {
  const start = ext4((32 * TiB) / 4096, 2, false);
  expect(fileSystemBytes('ext4', start)).toBe(0);
});

test('the size of an xfs file system is its blocks', () => {
  const start = Buffer.alloc(SUPERBLOCK_BYTES);
  start.write('XFSB', 'latin1');
  start.writeUInt32BE(4096, 4);
  start.writeBigUInt64BE(BigInt(GiB / 4096), 8);
  expect(fileSystemBytes('xfs', start)).toBe(GiB);
});

test('where there is no superblock of that kind there is no size', () => {
  expect(fileSystemBytes('ext4', Buffer.alloc(SUPERBLOCK_BYTES))).toBeNull();
  expect(fileSystemBytes('xfs', Buffer.alloc(SUPERBLOCK_BYTES))).toBeNull();
  expect(fileSystemBytes('ext4', Buffer.alloc(100))).toBeNull();
});
