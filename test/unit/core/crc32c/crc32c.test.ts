import { expect, test } from '@jest/globals';
import { crc32c } from '../../../../core/crc32c/index.ts';

/** RFC 7143 §13.1 and RFC 3720 appendix B.4; the digests there are in network order. */
test.each([
  ['32 bytes of zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 incrementing bytes', Buffer.from(Array.from({ length: 32 }, (_none, at) => at)), 0x46dd794e],
  [
    '32 decrementing bytes',
    Buffer.from(Array.from({ length: 32 }, (_none, at) => 31 - at)),
    0x113fdb5c,
  ],
  ['the nine digits', Buffer.from('123456789'), 0xe3069283],
  ['nothing', Buffer.alloc(0), 0],
])('the CRC32C of %s is as the RFC has it', (_what, bytes, expected) => {
  expect(crc32c(bytes)).toBe(expected);
});

test('a CRC32C goes on from the CRC of what came before', () => {
  const bytes = Buffer.from('123456789');
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(0xe3069283);
  }
});
