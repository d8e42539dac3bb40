/**
 * R16: makes regions in doubt equal on all members, from one source. Checksums first; only chunks
 * that differ are copied. The caller keeps writes and reads out of the range meanwhile.
 */
import { CHECKSUM_CHUNK_BYTES, REGION_BYTES } from '../../core/limits.ts';
import type { Extent } from '../../core/wire/extents.ts';
import { Op } from '../../core/wire/frame.ts';
import { type Askable, checksumsOf, extentsOf, request } from './requests.ts';

export interface EqualiseResult {
  readonly regions: number;
  readonly copiedBytes: number;
}

interface Range {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

const REGIONS_AT_ONCE = 4;

/** Everything that any member has allocated within `range`. Rejects with the first error. */
export async function equaliseRange(
  range: Range,
  source: Askable,
  others: readonly Askable[],
): Promise<EqualiseResult> {
  const ports = [source, ...others];
  const extents = await Promise.all(ports.map((port) => extentsOf(port, range)));
  const regions = regionsOf(range, extents);
  let copiedBytes = 0;
  let next = 0;
  const work = async (): Promise<void> => {
    for (;;) {
      const region = regions[next];
      next += 1;
      if (region === undefined) return;
      copiedBytes += await equaliseRegion(region, source, others);
    }
  };
  await Promise.all(Array.from({ length: REGIONS_AT_ONCE }, work));
  return { regions: regions.length, copiedBytes };
}

/** Regions (cut to `range`) that any of the extents touches, ascending. */
export function regionsOf(range: Range, extents: readonly (readonly Extent[])[]): Range[] {
  const touched = new Set<number>();
  for (const extent of extents.flat()) {
    const first = Math.floor(extent.offsetBytes / REGION_BYTES);
    const last = Math.floor((extent.offsetBytes + extent.lengthBytes - 1) / REGION_BYTES);
    for (let region = first; region <= last; region += 1) touched.add(region);
  }
  const end = range.offsetBytes + range.lengthBytes;
  return [...touched]
    .sort((left, right) => left - right)
    .map((region) => {
      const offsetBytes = Math.max(region * REGION_BYTES, range.offsetBytes);
      const lengthBytes = Math.min((region + 1) * REGION_BYTES, end) - offsetBytes;
      return { offsetBytes, lengthBytes };
    })
    .filter((region) => region.lengthBytes > 0);
}

/** @returns bytes copied, all members together. */
async function equaliseRegion(
  region: Range,
  source: Askable,
  others: readonly Askable[],
): Promise<number> {
  const ports = [source, ...others];
  const [expected, ...sums] = await Promise.all(ports.map((port) => checksumsOf(port, region)));
  if (expected === undefined) return 0;
  let copiedBytes = 0;
  for (const chunk of chunksOf(region)) {
    const behind = others.filter((_port, index) => differs(expected, sums[index], chunk.index));
    if (behind.length === 0) continue;
    const data = await request(source, Op.read, chunk);
    await Promise.all(behind.map((port) => request(port, Op.write, chunk, data)));
    copiedBytes += data.length * behind.length;
  }
  return copiedBytes;
}

/** Chunks as checksums count them: from the start of the region. */
function chunksOf(region: Range): (Range & { readonly index: number })[] {
  const chunks = [];
  for (let at = 0, index = 0; at < region.lengthBytes; at += CHECKSUM_CHUNK_BYTES, index += 1) {
    const lengthBytes = Math.min(CHECKSUM_CHUNK_BYTES, region.lengthBytes - at);
    chunks.push({ offsetBytes: region.offsetBytes + at, lengthBytes, index });
  }
  return chunks;
}

function differs(expected: Buffer, sums: Buffer | undefined, index: number): boolean {
  if (sums === undefined || sums.length !== expected.length) return true;
  return sums.readUInt32LE(index * 4) !== expected.readUInt32LE(index * 4);
}
