/** Single fields of a request, checked as the specification says ("Field Requirements"). */
import { absolutePathSchema, volumeNameSchema } from '../../core/api/index.ts';
import { KiB } from '../../core/units.ts';
import { type GrpcError, grpcError } from './grpc/grpc-error.ts';
import type { StringMap } from './messages.ts';

/** "Size Limits". Paths have their own limit, the system's; node ids have 256. */
const STRING_BYTES_MAX = 128;
const MAP_BYTES_MAX = 4 * KiB;
export const NODE_ID_BYTES_MAX = 256;

/** @throws GrpcError INVALID_ARGUMENT that names the field. */
export function requiredString(
  field: string,
  value: string,
  bytesMax: number = STRING_BYTES_MAX,
): string {
  if (value === '') throw invalid(`${field} is missing`);
  if (Buffer.byteLength(value) <= bytesMax) return value;
  throw invalid(`${field} is longer than ${bytesMax} bytes`);
}

/** @throws GrpcError INVALID_ARGUMENT */
export function requiredPath(field: string, value: string): string {
  if (value === '') throw invalid(`${field} is missing`);
  if (isUsablePath(value)) return value;
  throw invalid(
    `${field} ${shown(value)} is not an absolute path of at most 1024 characters without ` +
      'empty parts, "." and ".."',
  );
}

export function isUsablePath(path: string): boolean {
  return absolutePathSchema.safeParse(path).success;
}

/** @throws GrpcError INVALID_ARGUMENT */
export function checkMapSize(field: string, map: StringMap): void {
  let sizeBytes = 0;
  for (const [key, value] of Object.entries(map)) {
    sizeBytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (sizeBytes > MAP_BYTES_MAX) throw invalid(`${field} is larger than ${MAP_BYTES_MAX} bytes`);
}

/**
 * A volume is asked for by its id (a UUID), or by its name where people registered it beforehand.
 * What is neither is no volume's: such a text never becomes part of a path that the agent is asked.
 */
export function isVolumeReference(text: string): boolean {
  return volumeNameSchema.safeParse(text).success;
}

export function noSuchVolume(reference: string): GrpcError {
  return grpcError('NOT_FOUND', `volume ${shown(reference)} does not exist`);
}

export function invalid(sentence: string): GrpcError {
  return grpcError('INVALID_ARGUMENT', sentence);
}

export function shown(text: string): string {
  return JSON.stringify(text.length > STRING_BYTES_MAX ? `${text.slice(0, 128)}…` : text);
}
