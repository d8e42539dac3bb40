import { describe, expect, test } from '@jest/globals';
import {
  checkVolumeBytes,
  formatBytes,
  GiB,
  KiB,
  MiB,
  parseByteCount,
  parseVolumeSize,
  SizeError,
  TiB,
  VOLUME_BYTES_MAX,
} from '../../../core/units.ts';

function refusalOf(text: string): string {
  try {
    return `taken as ${parseVolumeSize(text)}`;
  } catch (error) {
    if (!(error instanceof SizeError) || error.code !== 'badSize') throw error;
    return error.message;
  }
}

describe('a volume size', () => {
  test.each([
    ['64M', 64 * MiB],
    ['65536K', 64 * MiB],
    ['65536Ki', 64 * MiB],
    ['67108864', 64 * MiB],
    ['67108865', 64 * MiB + 4 * KiB],
    ['10G', 10 * GiB],
    ['10Gi', 10 * GiB],
    ['100Mi', 100 * MiB],
    ['64T', 64 * TiB],
    ['1Ti', TiB],
    ['0010G', 10 * GiB],
  ])('of %s is %d bytes', (text, sizeBytes) => {
    expect(parseVolumeSize(text)).toBe(sizeBytes);
  });

  const nonsense = [
    '',
    ' ',
    '9'.repeat(19),
    ...'-1 +1G 1X 1e30 1e9 10GB 1.5G 1,5G 10g 10m G 0x10G 10GiB 10KK 1P NaN Infinity １０G'.split(
      ' ',
    ),
    '10 G',
    ' 10G',
    '10G ',
    '10G\n',
  ];
  test.each(nonsense)('%j is not a size', (text) => {
    expect(refusalOf(text)).toContain(`size ${JSON.stringify(text.slice(0, 64))} is not a size`);
  });

  test.each(['0', '1', '0G', '63M', '67108863'])('%s is too small', (text) => {
    expect(refusalOf(text)).toBe(`size "${text}" is too small: a volume has at least 64M`);
  });

  test.each(['65T', '64T1', `${VOLUME_BYTES_MAX + 1}`, '9'.repeat(18), `${'9'.repeat(18)}T`])(
    '%s is too large or no size',
    (text) => {
      expect(refusalOf(text)).toMatch(/is too large: a volume has at most 64T|is not a size/);
    },
  );

  test('never shows more of a bad text than fits a line', () => {
    expect(refusalOf('x'.repeat(10_000)).length).toBeLessThan(200);
  });

  test('as a number is bounded and rounded up to 4 KiB', () => {
    expect(checkVolumeBytes(64 * MiB + 1)).toBe(64 * MiB + 4096);
    expect(checkVolumeBytes(VOLUME_BYTES_MAX)).toBe(VOLUME_BYTES_MAX);
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0, VOLUME_BYTES_MAX + 1]) {
      expect(() => checkVolumeBytes(bad)).toThrow(SizeError);
    }
  });

  test('is counted without bounds where only the spelling matters', () => {
    expect(parseByteCount('1K')).toBe(1024);
    expect(parseByteCount('0')).toBe(0);
    expect(() => parseByteCount('1k')).toThrow(SizeError);
  });
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1 KiB'],
  [1536, '1.5 KiB'],
  [1.5 * GiB, '1.5 GiB'],
  [999 * GiB, '999 GiB'],
  [150.3 * MiB, '150 MiB'],
  [64 * TiB, '64 TiB'],
  [5000 * 1024 * TiB, '5000 PiB'],
])('%d bytes are shown as %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});
