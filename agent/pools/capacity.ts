/** What a file system can still promise to replicas: pure arithmetic. */
import type { FileSystemSpace } from '../../core/platform/index.ts';
import { GiB, KiB, MiB } from '../../core/units.ts';

export interface Reservation {
  /** What was promised, in full from the start. */
  readonly sizeBytes: number;
  /** What it takes of the file system already. */
  readonly allocatedBytes: number;
}

/** Kept free on each file system: for maps, records, and because full file systems are slow. */
const KEEP_SHARE = 0.05;
const KEEP_BYTES_MIN = GiB;

/** A replica's own files beside its data: indexes, slots, the copy of the record. */
const OVERHEAD_BYTES = MiB;
const OVERHEAD_PER_BLOCK = 16 / (4 * KiB);

/** What a replica may take on the medium when every block of it is written, in bytes. */
export function fullBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes * (1 + OVERHEAD_PER_BLOCK)) + OVERHEAD_BYTES;
}

export function keptBytes(space: FileSystemSpace, asked: number | null): number {
  return asked ?? Math.max(Math.ceil(space.totalBytes * KEEP_SHARE), KEEP_BYTES_MIN);
}

/**
 * What may still be promised on one file system, whatever the number of pools on it: free space,
 * less what is kept, less what the present replicas were promised and have not taken yet. Space
 * that others take goes out of `freeBytes` and so out of the promise.
 *
 * @param reservations of all pools on the file system.
 */
export function promisableBytes(
  space: FileSystemSpace,
  reservations: readonly Reservation[],
  kept: number,
): number {
  const outstandingBytes = reservations.reduce(
    (sum, { sizeBytes, allocatedBytes }) =>
      sum + Math.max(0, fullBytes(sizeBytes) - allocatedBytes),
    0,
  );
  const promisable = space.freeBytes - kept - outstandingBytes;
  // What a new replica takes beside its data is left out of what it may be promised as size.
  const usable = (promisable - OVERHEAD_BYTES) / (1 + OVERHEAD_PER_BLOCK);
  return Math.max(0, Math.floor(usable));
}
