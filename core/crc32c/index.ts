/**
 * CRC32C (Castagnoli, RFC 7143 §13.1): the checksum of iSCSI digests and of our frames and
 * metadata. The only importer of its native library.
 */
import { crc32c as native } from '@node-rs/crc32';

/** @param initial the CRC of what came before, to go on from there. */
export function crc32c(data: Buffer, initial?: number): number {
  return native(data, initial);
}
