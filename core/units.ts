import { CodedError } from './errors.ts';

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

export type SizeErrorData = { readonly code: 'badSize'; readonly text: string };

export class SizeError extends CodedError<SizeErrorData> {
  override readonly name = 'SizeError';
}

const SUFFIX_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  K: KiB,
  Ki: KiB,
  M: MiB,
  Mi: MiB,
  G: GiB,
  Gi: GiB,
  T: TiB,
  Ti: TiB,
};

/** The smallest and the largest volume that can be made, in bytes. */
export const VOLUME_BYTES_MIN = 64 * MiB;
export const VOLUME_BYTES_MAX = 64 * TiB;
/** Volume sizes are rounded up to this, in bytes. */
export const VOLUME_BYTES_STEP = 4 * KiB;

/**
 * Reads a size as the options of every front door spell it: a whole number of bytes, or one with
 * the suffix K, M, G or T (= Ki, Mi, Gi, Ti: powers of 1024). `GB` and fractions are refused,
 * because half of the world reads them as 10^9.
 *
 * @returns bytes, at least 64 MiB, rounded up to a multiple of 4 KiB.
 * @throws SizeError with one sentence that names the text and what is accepted.
 */
export function parseVolumeSize(text: string): number {
  return checkVolumeBytes(parseByteCount(text), text);
}

/** The same spelling without bounds and rounding, to tell whether a size was rounded. */
export function parseByteCount(text: string): number {
  const match = /^([0-9]{1,18})(|K|Ki|M|Mi|G|Gi|T|Ti)$/.exec(text);
  const factor = match?.[2] === undefined ? undefined : SUFFIX_BYTES[match[2]];
  if (match?.[1] === undefined || factor === undefined) {
    throw new SizeError(
      { code: 'badSize', text: text.slice(0, 64) },
      `size ${JSON.stringify(text.slice(0, 64))} is not a size: ` +
        'give a whole number with K, M, G or T (powers of 1024), such as 10G',
    );
  }
  return Number(match[1]) * factor;
}

/** Bounds and rounding of a volume's size that is already a number of bytes. */
export function checkVolumeBytes(sizeBytes: number, text = `${sizeBytes}`): number {
  const shown = JSON.stringify(text.slice(0, 64));
  if (!Number.isFinite(sizeBytes) || sizeBytes < VOLUME_BYTES_MIN) {
    throw new SizeError(
      { code: 'badSize', text: text.slice(0, 64) },
      `size ${shown} is too small: a volume has at least 64M`,
    );
  }
  if (sizeBytes > VOLUME_BYTES_MAX) {
    throw new SizeError(
      { code: 'badSize', text: text.slice(0, 64) },
      `size ${shown} is too large: a volume has at most 64T`,
    );
  }
  return Math.ceil(sizeBytes / VOLUME_BYTES_STEP) * VOLUME_BYTES_STEP;
}

/** `1.5 GiB`, for people; never parsed again. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let index = 0;
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024;
    index += 1;
  }
  const digits = index === 0 || value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${value.toFixed(digits)} ${units[index]}`;
}
