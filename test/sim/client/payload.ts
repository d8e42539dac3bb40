/**
 * Every 512-byte sector that is written says which write it belongs to and where it stands, all
 * over, so that a read tells whose bytes it got, and whether they are whole.
 */
import { LOGICAL_BLOCK_BYTES } from '../../../core/limits.ts';

/** What a sector says that was never written, or was unmapped since. */
export const ZERO = 0;
/** Neither zeros nor one write's bytes as a whole. */
export const GARBAGE = -1;

const WORD_BYTES = 8;
const ZEROS = Buffer.alloc(LOGICAL_BLOCK_BYTES);
const expected = Buffer.alloc(LOGICAL_BLOCK_BYTES);
const word = Buffer.alloc(WORD_BYTES);

function stamp(sector: Buffer, writeId: number, sectorIndex: number): void {
  word.writeUInt32LE(writeId, 0);
  word.writeUInt32LE(sectorIndex, 4);
  sector.fill(word);
}

export function payloadOf(writeId: number, offsetBytes: number, lengthBytes: number): Buffer {
  const payload = Buffer.allocUnsafe(lengthBytes);
  for (let at = 0; at < lengthBytes; at += LOGICAL_BLOCK_BYTES) {
    const sector = payload.subarray(at, at + LOGICAL_BLOCK_BYTES);
    stamp(sector, writeId, (offsetBytes + at) / LOGICAL_BLOCK_BYTES);
  }
  return payload;
}

/** The write whose bytes the sector at `at` of `data` holds, ZERO or GARBAGE. */
export function writeIdIn(data: Buffer, at: number, sectorIndex: number): number {
  const sector = data.subarray(at, at + LOGICAL_BLOCK_BYTES);
  const writeId = sector.readUInt32LE(0);
  if (writeId === 0) return sector.equals(ZEROS) ? ZERO : GARBAGE;
  stamp(expected, writeId, sectorIndex);
  return sector.equals(expected) ? writeId : GARBAGE;
}
