import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  decodeNumber,
  decodeText,
  encodeText,
  TextGatherer,
} from '../../../../../target/iscsi/login/text.ts';

describe('login text', () => {
  test('is pairs, each ended by a zero byte; an equals sign may stand in the value', () => {
    const text = Buffer.from('A=1\0B=x=y\0C=\0');
    const pairs = [
      ['A', '1'],
      ['B', 'x=y'],
      ['C', ''],
    ];
    expect(decodeText(text)).toEqual(pairs);
    expect(decodeText(Buffer.from('A=1\0B=x=y\0C=\0\0\0'))).toEqual(pairs);
    expect(decodeText(Buffer.alloc(0))).toEqual([]);
  });

  test.each([
    ['without an equals sign', 'InitiatorName\0'],
    ['with an empty key', '=x\0'],
    ['with a key that begins with a digit', '1A=x\0'],
    ['with a space in the key', 'A B=x\0'],
    ['with a key of 64 characters', `${'A'.repeat(64)}=x\0`],
    ['with a value of 8193 characters', `A=${'x'.repeat(8193)}\0`],
    ['with 65 pairs', 'A=1\0'.repeat(65)],
  ])('%s is malformed', (_, text) => {
    expect(decodeText(Buffer.from(text))).toBeNull();
  });

  test('that is no UTF-8 is malformed', () => {
    expect(decodeText(Buffer.from([0x41, 0x3d, 0xff, 0xfe, 0]))).toBeNull();
  });

  test('random bytes are pairs or malformed, and what is read is written the same', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const pairs = decodeText(Buffer.from(bytes));
        if (pairs !== null) expect(decodeText(encodeText(pairs))).toEqual(pairs);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['0', 0],
    ['262144', 262144],
    ['0x1F', 31],
    ['0Xff', 255],
    ['4294967295', 0xffffffff],
    ['4294967296', null],
    ['-1', null],
    ['+1', null],
    ['1.5', null],
    ['1e3', null],
    ['01', null],
    ['', null],
    [' 1', null],
    ['0x', null],
    ['Infinity', null],
  ])('the number %p is %p', (text, value) => {
    expect(decodeNumber(text)).toBe(value);
  });

  test('is gathered over several PDUs, up to its limit', () => {
    const gatherer = new TextGatherer(10);
    expect(gatherer.add(Buffer.from('A=12'))).toBe(true);
    expect(gatherer.add(Buffer.from('34\0'))).toBe(true);
    expect(gatherer.take().toString()).toBe('A=1234\0');
    expect(gatherer.take()).toHaveLength(0);
    expect(gatherer.add(Buffer.alloc(11))).toBe(false);
  });
});
