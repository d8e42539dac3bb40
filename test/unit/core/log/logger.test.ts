import { PassThrough } from 'node:stream';
import { expect, test } from '@jest/globals';
import { CodedError } from '../../../../core/errors.ts';
import { createLogger, type LoggerOptions } from '../../../../core/log/index.ts';

function logTo(options: Partial<LoggerOptions> = {}) {
  const stream = new PassThrough();
  const logger = createLogger({ service: 'apiserver', stream, ...options });
  const lines = () =>
    String(stream.read() ?? '')
      .split('\n')
      .filter((line) => line !== '');
  return { logger, lines };
}

test('a line is one JSON object with level, service, constant message and fields', () => {
  const { logger, lines } = logTo();
  logger.with({ volume: 'data' }).info('volume ready', { replicas: 3 });
  const [line, ...more] = lines();
  expect(more).toEqual([]);
  expect(JSON.parse(line ?? '')).toEqual({
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    level: 'info',
    service: 'apiserver',
    message: 'volume ready',
    volume: 'data',
    replicas: 3,
  });
});

test('a text line is for people', () => {
  const { logger, lines } = logTo({ format: 'text' });
  logger.warn('node lost', { node: 'c' });
  expect(lines()).toEqual([expect.stringMatching(/^\S+Z warn {2}apiserver: node lost node="c"$/)]);
});

test('secrets are never written, at any depth', () => {
  const { logger, lines } = logTo();
  const attachment = { token: 'abc', chapSecret: 'abc', node: 'a' };
  logger.info('attached', { list: [{ attachment }], replicaToken: 'abc' });
  const text = lines().join('');
  expect(text).toContain('"node":"a"');
  expect(text).not.toContain('abc');
});

test('an error with a code is a sentence, one without is a bug with its stack', () => {
  const { logger, lines } = logTo();
  const cause = new CodedError({ code: 'noSpace' }, 'the pool is full');
  logger.error('failed', { error: new Error('boom', { cause }) });
  const { error } = JSON.parse(lines()[0] ?? '') as { error: Record<string, unknown> };
  expect(error['stack']).toContain('boom');
  expect(error['cause']).toEqual({ message: 'the pool is full', code: 'noSpace' });
});

test('levels below the wanted one are silent, and no field can forge level or message', () => {
  const { logger, lines } = logTo({ level: 'warn' });
  logger.info('not this');
  logger.debug('nor this');
  logger.error('this', { level: 'info', message: 'forged' });
  expect(lines().map((line) => JSON.parse(line) as object)).toEqual([
    expect.objectContaining({ level: 'error', message: 'this' }),
  ]);
});

test('a field that refers to itself does not hang the log', () => {
  const { logger, lines } = logTo();
  const loop: Record<string, unknown> = {};
  loop['self'] = loop;
  logger.info('odd', { loop });
  expect(lines()).toHaveLength(1);
});
