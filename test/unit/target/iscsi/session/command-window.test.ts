import { describe, expect, test } from '@jest/globals';
import { CommandWindow } from '../../../../../target/iscsi/session/command-window.ts';

describe('the command window', () => {
  test('runs numbers in order, holds those ahead, and ignores the rest', () => {
    const window = new CommandWindow<string>(10, 4);
    expect(window.max).toBe(13);
    expect(window.classify(9)).toBe('ignore');
    expect(window.classify(14)).toBe('ignore');
    expect(window.classify(12)).toBe('hold');
    window.hold(12, 'twelve');
    expect(window.classify(12)).toBe('ignore');
    expect(window.classify(10)).toBe('run');
    expect(window.classify(10)).toBe('ignore');
    expect(window.takeNext()).toBeUndefined();
    expect(window.classify(11)).toBe('run');
    expect(window.takeNext()).toBe('twelve');
    expect(window.takeNext()).toBeUndefined();
    expect(window.expected).toBe(13);
  });

  test('is full until something is over, and never goes back', () => {
    const window = new CommandWindow<string>(1, 2);
    expect([window.classify(1), window.classify(2), window.classify(3)]).toEqual([
      'run',
      'run',
      'ignore',
    ]);
    window.release();
    expect(window.max).toBe(3);
    expect(window.classify(3)).toBe('run');
    expect(window.classify(4)).toBe('ignore');
  });

  test.each([0x7ffffffe, 0xfffffffe])('goes on where the number %i wraps', (first) => {
    const window = new CommandWindow<string>(first | 0, 8);
    for (let step = 0; step < 6; step += 1) {
      const number = (first + step) | 0;
      expect(window.contains(number)).toBe(true);
      expect(window.classify(number)).toBe('run');
      expect(window.classify(number)).toBe('ignore');
      window.release();
    }
    expect(window.max).toBe((first + 13) | 0);
    expect(window.classify((first + 8) | 0)).toBe('hold');
  });
});
