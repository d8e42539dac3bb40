import { DEFAULT_VOLUME_BYTES } from '../../core/api/index.ts';
import {
  formatBytes,
  VOLUME_BYTES_MAX,
  VOLUME_BYTES_MIN,
  VOLUME_BYTES_STEP,
} from '../../core/units.ts';
import { invalid } from './fields.ts';
import { type GrpcError, grpcError } from './grpc/grpc-error.ts';
import type { CapacityRange } from './messages.ts';

/** Both ends belong to it. */
export interface SizeRange {
  readonly leastBytes: number;
  readonly mostBytes: number;
  /** Of a new volume: what is required and no more, else the default, or the limit below it. */
  readonly newBytes: number;
}

/**
 * Null when it says nothing: absent, or both zero (Nomad sends that; the specification wants one of
 * them). @throws GrpcError INVALID_ARGUMENT for a negative number, OUT_OF_RANGE for a range that no
 * volume of ours can be in.
 */
export function sizeRangeOf(range: CapacityRange | null): SizeRange | null {
  if (range === null) return null;
  const required = bytesOf('required_bytes', range.requiredBytes);
  const limit = bytesOf('limit_bytes', range.limitBytes);
  if (required === 0 && limit === 0) return null;
  const leastBytes = roundUp(Math.max(required, VOLUME_BYTES_MIN));
  const mostBytes = limit === 0 ? VOLUME_BYTES_MAX : Math.min(roundDown(limit), VOLUME_BYTES_MAX);
  const newBytes = required === 0 ? Math.min(DEFAULT_VOLUME_BYTES, mostBytes) : leastBytes;
  if (leastBytes <= mostBytes) return { leastBytes, mostBytes, newBytes };
  throw outOfRange(required, limit);
}

function bytesOf(field: string, digits: string): number {
  const bytes = Number(digits);
  if (bytes >= 0) return bytes;
  throw invalid(`capacity_range.${field} ${digits} is negative`);
}

function outOfRange(required: number, limit: number): GrpcError {
  const most = limit === 0 ? 'no limit' : `at most ${limit}`;
  return grpcError(
    'OUT_OF_RANGE',
    `capacity_range (at least ${required} bytes, ${most}) has no size that a volume can have: ` +
      `a multiple of ${VOLUME_BYTES_STEP} bytes from ${formatBytes(VOLUME_BYTES_MIN)} to ` +
      formatBytes(VOLUME_BYTES_MAX),
  );
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / VOLUME_BYTES_STEP) * VOLUME_BYTES_STEP;
}

function roundDown(bytes: number): number {
  return Math.floor(bytes / VOLUME_BYTES_STEP) * VOLUME_BYTES_STEP;
}
