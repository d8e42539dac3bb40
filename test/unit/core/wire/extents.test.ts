import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AssertionFailure } from '../../../../core/assert.ts';
import {
  decodeExtents,
  decodeExtentsRequest,
  EXTENTS_MAX,
  encodeExtents,
  encodeExtentsRequest,
} from '../../../../core/wire/extents.ts';

describe('extents', () => {
  test('are read as they were written', () => {
    const gaps = fc.array(fc.tuple(fc.nat(2 ** 30), fc.integer({ min: 1, max: 2 ** 30 })));
    fc.assert(
      fc.property(gaps, (pairs) => {
        let end = 0;
        const extents = pairs.map(([gapBytes, lengthBytes]) => {
          const offsetBytes = end + gapBytes;
          end = offsetBytes + lengthBytes;
          return { offsetBytes, lengthBytes };
        });
        expect(decodeExtents(encodeExtents(extents))).toEqual(extents);
      }),
    );
  });

  test('are requested by a length', () => {
    for (const lengthBytes of [0, 512, 64 * 2 ** 40]) {
      expect(decodeExtentsRequest(encodeExtentsRequest(lengthBytes))).toBe(lengthBytes);
    }
    expect(decodeExtentsRequest(Buffer.alloc(7))).toBeNull();
    expect(decodeExtentsRequest(Buffer.alloc(8, 0xff))).toBeNull();
  });

  test('that overlap, go back, are empty, too many, too large or cut are refused', () => {
    const one = { offsetBytes: 4096, lengthBytes: 4096 };
    expect(decodeExtents(encodeExtents([one, { offsetBytes: 8191, lengthBytes: 1 }]))).toBeNull();
    expect(decodeExtents(encodeExtents([one, { offsetBytes: 0, lengthBytes: 1 }]))).toBeNull();
    expect(decodeExtents(encodeExtents([{ offsetBytes: 0, lengthBytes: 0 }]))).toBeNull();
    expect(decodeExtents(encodeExtents([one]).subarray(1))).toBeNull();
    expect(decodeExtents(Buffer.alloc(16, 0xff))).toBeNull();
    const many = Array.from({ length: EXTENTS_MAX + 1 }, (_none, index) => ({
      offsetBytes: index,
      lengthBytes: 1,
    }));
    const most = encodeExtents(many.slice(1));
    expect(decodeExtents(most)).toHaveLength(EXTENTS_MAX);
    expect(decodeExtents(Buffer.concat([encodeExtents(many.slice(0, 1)), most]))).toBeNull();
    expect(() => encodeExtents(many)).toThrow(AssertionFailure);
  });

  test('out of any bytes are a list or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const extents = decodeExtents(Buffer.from(bytes));
        if (extents !== null) expect(encodeExtents(extents)).toEqual(Buffer.from(bytes));
      }),
    );
  });
});
