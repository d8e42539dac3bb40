import { SENSE, type Sense } from '../sense.ts';

/**
 * MISCOMPARE with the position of the first difference in INFORMATION, or null when equal.
 *
 * @param positionBytes where the two begin within the data-out, for INFORMATION (SBC-3 §5.2).
 */
export function checkSame(stored: Buffer, expected: Buffer, positionBytes: number): Sense | null {
  const length = stored.length;
  if (stored.compare(expected, 0, length) === 0) return null;
  let index = 0;
  while (index < length && stored[index] === expected[index]) index += 1;
  return { ...SENSE.miscompare, information: positionBytes + index };
}
