import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatQuantity, parseQuantity } from '../../../../plugins/kubernetes/quantity.ts';

test.each([
  ['1Gi', 2 ** 30],
  ['10G', 10e9],
  ['1.5Gi', 1.5 * 2 ** 30],
  ['.5Ki', 512],
  ['100M', 100e6],
  ['5k', 5_000],
  ['1e9', 1e9],
  ['12E-1', 2],
  ['+7', 7],
  ['1500m', 2],
  ['0', 0],
])('a quantity %s is %d bytes', (text, bytes) => {
  expect(parseQuantity(text)).toBe(bytes);
});

test.each(['', '1GiB', 'Gi', '1 Gi', '-1Gi', '1K', '0x10', '1e', '1Gi\n', '١Gi'])(
  'what is no quantity is told apart: %j',
  (text) => {
    expect(parseQuantity(text)).toBeNull();
  },
);

test('a size that was written is read as the same number of bytes', () => {
  const bytes = fc.integer({ min: 1, max: 2 ** 50 });
  fc.assert(fc.property(bytes, (size) => parseQuantity(formatQuantity(size)) === size));
  fc.assert(
    fc.property(bytes, (size) => parseQuantity(formatQuantity(size * 4096)) === size * 4096),
  );
});
