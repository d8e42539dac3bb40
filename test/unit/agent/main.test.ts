import { expect, test } from '@jest/globals';
import { parseAgentArguments } from '../../../agent/main.ts';
import { UsageError } from '../../../core/config/program-arguments.ts';

const REQUIRED = ['--apiserver', 'unix:/run/apiserver.sock', '--node', 'node-1'];

test('what is not given has its default', () => {
  const given = parseAgentArguments([...REQUIRED, '--state', '/state']);
  expect(given?.options).toEqual({
    node: 'node-1',
    zone: null,
    stateFolder: '/state',
    pools: [{ path: '/state/pool', name: 'default' }],
    apiserver: 'unix:/run/apiserver.sock',
    keepBytes: null,
    attachMethod: 'auto',
  });
  expect(given).toMatchObject({
    dockerSocket: null,
    csiSocket: null,
    level: 'info',
    format: 'json',
  });
});

test('pools are repeatable and may have names', () => {
  const given = parseAgentArguments([...REQUIRED, '--pool', '/a', '--pool', '/b:fast']);
  expect(given?.options.pools).toEqual([
    { path: '/a', name: 'default' },
    { path: '/b', name: 'fast' },
  ]);
});

test('help is no mistake', () => {
  expect(parseAgentArguments(['--help'])).toBeNull();
});

test.each([
  [['--node', 'node-1'], /--apiserver ADDRESS is missing/],
  [[...REQUIRED, '--apiserver', 'http://10.0.0.1:80'], /give unix:\/path or http:\/\/127.0.0.1/],
  [['--apiserver', 'unix:/a', '--node', 'Node_1'], /lower-case DNS name/],
  [[...REQUIRED, '--pool', '/a', '--pool', '/a:other'], /--pool \/a is there twice/],
  [[...REQUIRED, '--pool', '/a:b@'], /is no name for a pool/],
  [[...REQUIRED, '--pool-keep', '1G'], /whole number of bytes/],
  [[...REQUIRED, '--attach-method', 'nbd'], /one of auto, kernel, userspace/],
  [[...REQUIRED, '--wrong'], /--wrong/],
  [[...REQUIRED, 'extra'], /extra/],
])('%j is refused with one sentence', (argv, sentence) => {
  expect(() => parseAgentArguments(argv)).toThrow(sentence);
  expect(() => parseAgentArguments(argv)).toThrow(UsageError);
});
