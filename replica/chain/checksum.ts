import type { BlockDone } from '../../core/block/block-device.ts';
import { crc32c } from '../../core/crc32c/index.ts';
import { CHECKSUM_CHUNK_BYTES } from '../../core/limits.ts';
import { BLOCK_BYTES, type ByteRange, type ChainParts, readRuns } from './chain-parts.ts';

const CRC_BYTES = 4;
const ZERO_CHUNK = Buffer.alloc(CHECKSUM_CHUNK_BYTES);
const ZERO_CHUNK_CRC = crc32c(ZERO_CHUNK);

export function checksumBytes(lengthBytes: number): number {
  return Math.ceil(lengthBytes / CHECKSUM_CHUNK_BYTES) * CRC_BYTES;
}

/**
 * One CRC32C per chunk of the range, counted from its start; the last chunk may be shorter. The
 * blocks are locked and loaded. Chunks that read as zeros cost no I/O.
 *
 * @param sums of `checksumBytes(range.lengthBytes)`, filled in when `done` comes.
 */
export function checksumRegion(
  parts: ChainParts,
  range: ByteRange,
  sums: Buffer,
  done: BlockDone,
): void {
  const endBytes = range.offsetBytes + range.lengthBytes;
  const chunk = Buffer.allocUnsafe(Math.min(CHECKSUM_CHUNK_BYTES, range.lengthBytes));
  let position = 0;
  const step = (): void => {
    while (position < sums.length) {
      const startBytes = range.offsetBytes + (position / CRC_BYTES) * CHECKSUM_CHUNK_BYTES;
      const lengthBytes = Math.min(CHECKSUM_CHUNK_BYTES, endBytes - startBytes);
      const at = position;
      position += CRC_BYTES;
      if (!readsAsZeros(parts, startBytes, lengthBytes)) {
        const part = chunk.subarray(0, lengthBytes);
        readRuns(parts, startBytes, part, (error) => {
          if (error !== null) {
            done(error);
            return;
          }
          sums.writeUInt32LE(crc32c(part), at);
          step();
        });
        return;
      }
      sums.writeUInt32LE(zeroCrc(lengthBytes), at);
    }
    done(null);
  };
  step();
}

function readsAsZeros(parts: ChainParts, startBytes: number, lengthBytes: number): boolean {
  const { stack } = parts;
  const end = Math.ceil((startBytes + lengthBytes) / BLOCK_BYTES);
  let block = Math.floor(startBytes / BLOCK_BYTES);
  while (block < end) {
    if (stack.resolve(block, end) !== null) return false;
    block = stack.runEnd;
  }
  return true;
}

function zeroCrc(lengthBytes: number): number {
  if (lengthBytes === CHECKSUM_CHUNK_BYTES) return ZERO_CHUNK_CRC;
  return crc32c(ZERO_CHUNK.subarray(0, lengthBytes));
}
