import { expect, test } from '@jest/globals';
import { ConfigError, parseCreateSpec, parseServeConfig } from '../../../replica/config.ts';

const CONFIG = {
  replicaId: 'r1',
  volumeId: 'v1',
  incarnation: 'i1',
  poolId: 'p1',
  poolPath: '/pool/',
  sizeBytes: 1 << 30,
  blockSizeBytes: 512,
  addresses: ['unix:/run/r1.sock', 'tcp:127.0.0.1:7000'],
  adminSocket: '/run/r1.admin',
  token: 'sixteen letters!',
};

test('one file serves both commands', () => {
  const text = JSON.stringify(CONFIG);
  expect(parseServeConfig(text, 'c')).toEqual({
    replicaId: 'r1',
    volumeId: 'v1',
    incarnation: 'i1',
    poolId: 'p1',
    poolPath: '/pool',
    addresses: ['unix:/run/r1.sock', 'tcp:127.0.0.1:7000'],
    adminSocket: '/run/r1.admin',
    token: 'sixteen letters!',
  });
  expect(parseCreateSpec(text, 'c')).toEqual({
    replicaId: 'r1',
    volumeId: 'v1',
    incarnation: 'i1',
    poolId: 'p1',
    poolPath: '/pool',
    sizeBytes: 1 << 30,
    blockSizeBytes: 512,
    record: null,
  });
});

const BAD: readonly (readonly [more: Record<string, unknown>, sentence: RegExp])[] = [
  [{ replicaId: undefined }, /replicaId is missing/],
  [{ volumeId: 7 }, /volumeId is missing or not a text/],
  [{ poolPath: 'pool' }, /poolPath must be an absolute path/],
  [{ adminSocket: '' }, /adminSocket is missing/],
  [{ addresses: [] }, /addresses must be a list of 1 to 8/],
  [{ addresses: ['127.0.0.1:7000'] }, /each address must be unix:/],
  [{ token: 'short' }, /token is too short/],
];

test.each(BAD)('a configuration with %j is told in one sentence', (more, sentence) => {
  const text = JSON.stringify({ ...CONFIG, ...more });
  expect(() => parseServeConfig(text, '/etc/c.json')).toThrow(ConfigError);
  expect(() => parseServeConfig(text, '/etc/c.json')).toThrow(sentence);
  expect(() => parseServeConfig(text, '/etc/c.json')).toThrow(/^configuration \/etc\/c.json: /);
});

test.each(['', '{', '[]', 'null', '"x"'])('%j is no configuration', (text) => {
  expect(() => parseServeConfig(text, 'c')).toThrow(ConfigError);
  expect(() => parseCreateSpec(text, 'c')).toThrow(ConfigError);
});

test.each([0, -1, 1.5, '1G', null])('a size of %j is none', (sizeBytes) => {
  const text = JSON.stringify({ ...CONFIG, sizeBytes });
  expect(() => parseCreateSpec(text, 'c')).toThrow(/sizeBytes must be a positive whole number/);
});
