/**
 * Payloads of `Op.extents`. Request: u64 length (the header has the offset). Answer: u64 offset,
 * u64 length pairs, ascending, at most EXTENTS_MAX: with EXTENTS_MAX of them there may be more,
 * asked for from the end of the last. Extents cover all that may read as something but zeros.
 */
import { assert } from '../assert.ts';

export interface Extent {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export const EXTENTS_MAX = 4096;

const EXTENT_BYTES = 16;

export function encodeExtentsRequest(lengthBytes: number): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeBigUInt64LE(BigInt(lengthBytes), 0);
  return payload;
}

/** Null: the payload is not a request. */
export function decodeExtentsRequest(payload: Buffer): number | null {
  if (payload.length !== 8) return null;
  const lengthBytes = Number(payload.readBigUInt64LE(0));
  return Number.isSafeInteger(lengthBytes) ? lengthBytes : null;
}

export function encodeExtents(extents: readonly Extent[]): Buffer {
  assert(extents.length <= EXTENTS_MAX, 'an answer has at most EXTENTS_MAX extents');
  const payload = Buffer.alloc(extents.length * EXTENT_BYTES);
  extents.forEach((extent, index) => {
    payload.writeBigUInt64LE(BigInt(extent.offsetBytes), index * EXTENT_BYTES);
    payload.writeBigUInt64LE(BigInt(extent.lengthBytes), index * EXTENT_BYTES + 8);
  });
  return payload;
}

/** Null: the payload is not an answer (odd or too long, unsafe numbers, not ascending). */
export function decodeExtents(payload: Buffer): readonly Extent[] | null {
  if (payload.length % EXTENT_BYTES !== 0) return null;
  if (payload.length > EXTENTS_MAX * EXTENT_BYTES) return null;
  const extents: Extent[] = [];
  let end = 0;
  for (let at = 0; at < payload.length; at += EXTENT_BYTES) {
    const offsetBytes = Number(payload.readBigUInt64LE(at));
    const lengthBytes = Number(payload.readBigUInt64LE(at + 8));
    const last = offsetBytes + lengthBytes;
    if (!Number.isSafeInteger(last) || offsetBytes < end || lengthBytes === 0) return null;
    end = last;
    extents.push({ offsetBytes, lengthBytes });
  }
  return extents;
}
