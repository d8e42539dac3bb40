/**
 * One page of metadata that is written as a whole: a small JSON value with what it is, its format
 * version, a sequence number and a CRC32C. Little-endian:
 *
 *   0 kind (8 bytes ASCII)  8 u32 formatVersion  12 u32 payloadBytes  16 u64 sequence
 *  24 u32 crc of bytes 0..23 and the payload     28 payload, JSON; zeros up to the page's end
 *
 * These 28 bytes keep their meaning in every format version, so that an older program can tell a
 * newer format from damage.
 */
import { assert } from '../../core/assert.ts';
import { crc32c } from '../../core/crc32c/index.ts';

export const SEALED_HEADER_BYTES = 28;
const KIND_BYTES = 8;
const CRC_AT = 24;

export type Unsealed =
  | { readonly kind: 'valid'; readonly sequence: number; readonly value: unknown }
  | { readonly kind: 'newer'; readonly formatVersion: number }
  | { readonly kind: 'invalid'; readonly why: string };

/** What a page says it is, at most 8 letters, and the format version of its payload. */
export interface SealedKind {
  readonly name: string;
  readonly formatVersion: number;
}

/** @returns exactly `sizeBytes`. */
export function sealPage(
  kind: SealedKind,
  content: { readonly sequence: number; readonly value: unknown },
  sizeBytes: number,
): Buffer {
  const payload = Buffer.from(JSON.stringify(content.value));
  assert(SEALED_HEADER_BYTES + payload.length <= sizeBytes, 'a sealed value fits into its page');
  assert(Number.isSafeInteger(content.sequence), 'a sequence number is a safe integer');
  const page = Buffer.alloc(sizeBytes);
  page.write(kind.name, 0, KIND_BYTES, 'latin1');
  page.writeUInt32LE(kind.formatVersion, 8);
  page.writeUInt32LE(payload.length, 12);
  page.writeBigUInt64LE(BigInt(content.sequence), 16);
  payload.copy(page, SEALED_HEADER_BYTES);
  page.writeUInt32LE(pageCrc(page, payload.length), CRC_AT);
  return page;
}

export function unsealPage(kind: SealedKind, page: Buffer): Unsealed {
  if (page.length < SEALED_HEADER_BYTES) return invalid('cut short');
  const name = page.toString('latin1', 0, KIND_BYTES).replace(/\0+$/, '');
  if (name !== kind.name) return invalid(`not a page of kind ${kind.name}`);
  const payloadBytes = page.readUInt32LE(12);
  if (SEALED_HEADER_BYTES + payloadBytes > page.length) return invalid('impossible length');
  if (pageCrc(page, payloadBytes) !== page.readUInt32LE(CRC_AT)) return invalid('wrong checksum');
  const formatVersion = page.readUInt32LE(8);
  if (formatVersion > kind.formatVersion) return { kind: 'newer', formatVersion };
  const sequence = Number(page.readBigUInt64LE(16));
  const payload = page.toString('utf8', SEALED_HEADER_BYTES, SEALED_HEADER_BYTES + payloadBytes);
  try {
    return { kind: 'valid', sequence, value: JSON.parse(payload) as unknown };
  } catch {
    return invalid('not JSON');
  }
}

function invalid(why: string): Unsealed {
  return { kind: 'invalid', why };
}

function pageCrc(page: Buffer, payloadBytes: number): number {
  const head = crc32c(page.subarray(0, CRC_AT));
  return crc32c(page.subarray(SEALED_HEADER_BYTES, SEALED_HEADER_BYTES + payloadBytes), head);
}
