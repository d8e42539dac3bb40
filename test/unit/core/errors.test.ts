import { expect, test } from '@jest/globals';
import { AssertionFailure, assert, unreachable } from '../../../core/assert.ts';
import { blockError, checkRange } from '../../../core/block/block-device.ts';
import { codeOf, messageOf } from '../../../core/errors.ts';

test('a coded error carries its code, its facts and its cause', () => {
  const cause = new Error('EIO');
  const error = blockError('mediumError', 'read failed', cause);
  expect(error).toMatchObject({ code: 'mediumError', message: 'read failed', cause });
  expect(error.data).toEqual({ code: 'mediumError', detail: 'read failed' });
  expect(blockError('busy', 'later')).not.toHaveProperty('cause');
});

test('the code of anything thrown is its text code, or null', () => {
  expect(codeOf(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe('ENOENT');
  for (const thrown of [null, undefined, 'ENOENT', 7, {}, { code: 7 }, new Error('x')]) {
    expect(codeOf(thrown)).toBeNull();
  }
});

test('the message of anything thrown is a text', () => {
  expect(messageOf(new Error('a reason'))).toBe('a reason');
  expect([messageOf('text'), messageOf(undefined), messageOf(7)]).toEqual([
    'text',
    'undefined',
    '7',
  ]);
});

test('a violated invariant stops with the invariant, stated positively', () => {
  expect(() => assert(true, 'all is well')).not.toThrow();
  expect(() => assert(0, 'all is well')).toThrow('invariant violated: all is well');
  expect(() => unreachable({ kind: 'odd' } as never)).toThrow(AssertionFailure);
});

test('a range is refused as data that says which', () => {
  expect(checkRange(4096, 512, 1024, 4096)).toBeNull();
  expect(checkRange(4096, 4096, 512, 4096)?.data).toEqual({
    code: 'outOfRange',
    offsetBytes: 4096,
    lengthBytes: 512,
  });
});
