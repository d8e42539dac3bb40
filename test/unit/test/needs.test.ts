import { expect, test } from '@jest/globals';
import { type Machine, missing } from '../../fixtures/machine.ts';

const bare: Machine = {
  platform: 'linux',
  architecture: 'arm64',
  userId: 1000,
  hasCommand: (name) => name === 'fio',
  goVersion: () => '1.19',
};

test('a test that needs nothing runs anywhere', () => {
  expect(missing({}, bare)).toBeUndefined();
});

test('the reason names what the machine lacks', () => {
  expect(missing({ root: true }, bare)).toBe('needs root');
  expect(missing({ linux: true }, { ...bare, platform: 'darwin' })).toBe('needs Linux');
  expect(missing({ architecture: 'arm64' }, bare)).toBeUndefined();
  expect(missing({ architecture: 'x64' }, bare)).toBe('needs a processor of kind x64, found arm64');
  expect(missing({ command: ['fio', 'dockerd', 'tgtd'] }, bare)).toBe(
    'needs the command dockerd and tgtd: run make setup-test',
  );
});

test('Go versions compare by number, not by text', () => {
  expect(missing({ go: '1.26' }, bare)).toBe('needs Go 1.26 or newer, found 1.19');
  expect(missing({ go: '1.9' }, bare)).toBeUndefined();
  expect(missing({ go: '1.26' }, { ...bare, goVersion: () => undefined })).toBe(
    'needs Go 1.26 or newer, found none',
  );
});
