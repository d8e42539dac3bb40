/**
 * A page of a layer's index: for each 4 KiB block two bits that say what the layer has of it.
 *
 * A page is eight sectors of 512 bytes: u32 CRC32C, then the states of 2032 blocks, four a byte,
 * lowest bits first. Disks write a sector whole or not at all, so that a page torn by a power cut
 * is still a page of valid sectors, each old or new; damage is told from that by the CRC. It
 * starts from the sector's number, which tells a misplaced page too. A sector of zeros is valid
 * and says `absent`: what was never written is a hole. (A sector that a failing disk turned into
 * zeros looks the same, as a block of data would: comparing replicas finds both.)
 */
import { crc32c } from '../../core/crc32c/index.ts';

/** What a layer has of a block. 3 does not exist. */
export const BlockState = {
  /** Nothing: an older layer may have it; without one it reads as zeros. */
  absent: 0,
  /** The bytes in the layer's data file. */
  data: 1,
  /** Zeros, whatever older layers have. */
  zero: 2,
} as const;
export type BlockState = (typeof BlockState)[keyof typeof BlockState];

const SECTOR_BYTES = 512;
const CRC_BYTES = 4;
const SECTOR_STATE_BYTES = SECTOR_BYTES - CRC_BYTES;
const SECTORS = 8;

export const BLOCKS_PER_BYTE = 4;
export const INDEX_PAGE_BYTES = SECTORS * SECTOR_BYTES;
/** Bytes of states of one page without the checksums. */
export const PAGE_STATE_BYTES = SECTORS * SECTOR_STATE_BYTES;
export const BLOCKS_PER_PAGE = PAGE_STATE_BYTES * BLOCKS_PER_BYTE;

const ZERO_SECTOR = Buffer.alloc(SECTOR_BYTES);

export function encodeIndexPage(states: Buffer, pageIndex: number): Buffer {
  const page = Buffer.allocUnsafe(INDEX_PAGE_BYTES);
  for (let sector = 0; sector < SECTORS; sector += 1) {
    const at = sector * SECTOR_BYTES;
    const from = sector * SECTOR_STATE_BYTES;
    states.copy(page, at + CRC_BYTES, from, from + SECTOR_STATE_BYTES);
    page.writeUInt32LE(sectorCrc(page, at, pageIndex), at);
  }
  return page;
}

/** @returns the states, null when all are `absent`, or what is wrong. */
export function decodeIndexPage(page: Buffer, pageIndex: number): Buffer | null | string {
  if (page.length !== INDEX_PAGE_BYTES) return 'cut short';
  const states = Buffer.alloc(PAGE_STATE_BYTES);
  let used = false;
  for (let sector = 0; sector < SECTORS; sector += 1) {
    const at = sector * SECTOR_BYTES;
    if (ZERO_SECTOR.compare(page, at, at + SECTOR_BYTES) === 0) continue;
    if (sectorCrc(page, at, pageIndex) !== page.readUInt32LE(at)) return 'wrong checksum';
    page.copy(states, sector * SECTOR_STATE_BYTES, at + CRC_BYTES, at + SECTOR_BYTES);
    used = true;
  }
  for (const byte of states) {
    if ((byte & (byte >> 1) & 0x55) !== 0) return 'impossible block state';
  }
  return used ? states : null;
}

function sectorCrc(page: Buffer, at: number, pageIndex: number): number {
  const sectorNumber = pageIndex * SECTORS + at / SECTOR_BYTES;
  return crc32c(page.subarray(at + CRC_BYTES, at + SECTOR_BYTES), sectorNumber % 0x1_0000_0000);
}
