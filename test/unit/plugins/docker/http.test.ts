import { connect } from 'node:net';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { AgentClient } from '../../../../core/api/index.ts';
import { startDockerPlugin } from '../../../../plugins/docker/plugin.ts';
import { FakeAgent } from '../../../fixtures/fake-agent.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { engineWithPlugin, send } from './engine.ts';

const CALLS = ['Create', 'Remove', 'Mount', 'Unmount', 'Path', 'Get', 'List', 'Capabilities'];

test('neither Accept nor Content-Type nor Host matter', async () => {
  await using engine = await engineWithPlugin();
  for (const value of [
    'application/json',
    'text/plain',
    'application/vnd.docker.plugins.v9+json',
  ]) {
    const headers = { Accept: value, 'Content-Type': value, Host: 'somewhere' };
    const answer = await engine.send('VolumeDriver.List', '{}', { headers });
    expect(answer).toEqual({ status: 200, body: { Volumes: [] } });
  }
});

test.each([
  ['{', 400, 'not JSON'],
  ['[]', 400, 'not a JSON object'],
  ['"data"', 400, 'not a JSON object'],
  ['{"Name":"data"', 400, 'not JSON'],
  [Buffer.from([0x22, 0xff, 0x22]), 400, 'not JSON'],
  [`{"Name":"${'x'.repeat(300_000)}"}`, 413, 'at most'],
])('a body that is not as it must be is refused (%#)', async (text, status, sentence) => {
  await using engine = await engineWithPlugin();
  const answer = await engine.send('VolumeDriver.Get', text);
  expect(answer).toEqual({ status, body: { Err: expect.stringContaining(sentence) } });
  expect((await engine.call('Plugin.Activate')).status).toBe(200);
});

test('another call, another method and a query are told apart', async () => {
  await using engine = await engineWithPlugin();
  expect((await engine.call('NetworkDriver.Join', {})).status).toBe(404);
  expect((await engine.send('Plugin.Activate', '', { method: 'GET' })).status).toBe(405);
  expect((await engine.call('Plugin.Activate?x=1')).status).toBe(200);
});

test('a bug is one answer and one line in the log, and the plugin goes on', async () => {
  await using folder = await temporaryFolder('docker');
  const socketPath = `${folder.path}/openebs.sock`;
  const agent = new AgentClient(new FakeAgent());
  agent.listVolumes = () => {
    throw new TypeError('a bug');
  };
  const logged: unknown[] = [];
  const log = { info: () => undefined, error: (message: string) => logged.push(message) };
  const plugin = await startDockerPlugin({ socketPath, agent, log });
  const answer = await send(socketPath, 'VolumeDriver.List', '{}');
  expect(answer).toEqual({ status: 500, body: { Err: 'a bug' } });
  expect(logged).toEqual(['a volume call met a bug']);
  expect((await send(socketPath, 'Plugin.Activate', '')).status).toBe(200);
  await plugin.close();
});

test('whatever JSON comes, the answer is a success or an Err, and never a bug', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data');
  const field = fc.oneof(fc.constant('data'), fc.string(), fc.jsonValue());
  const body = fc.record(
    { Name: field, ID: field, Opts: fc.oneof(field, fc.dictionary(fc.string(), field)) },
    { requiredKeys: [] },
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...CALLS), body, async (call, fields) => {
      const answer = await engine.call(`VolumeDriver.${call}`, fields);
      if (answer.status !== 200) {
        expect(answer.status).toBeGreaterThanOrEqual(400);
        expect(answer.body).toEqual({ Err: expect.stringMatching(/./) });
      } else {
        expect(answer.body).not.toHaveProperty('Err');
      }
    }),
    { numRuns: 200 },
  );
  expect(engine.bugs).toEqual([]);
});

test('whatever bytes come, the plugin goes on', async () => {
  await using engine = await engineWithPlugin();
  const text = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.string().map((head) => Buffer.from(`POST /VolumeDriver.Get HTTP/1.1\r\n${head}\r\n\r\n`)),
  );
  await fc.assert(
    fc.asyncProperty(text, async (bytes) => {
      const closed = Promise.withResolvers<void>();
      const connection = connect(engine.socketPath);
      connection.on('error', () => undefined);
      connection.on('close', () => closed.resolve());
      connection.resume();
      connection.end(bytes);
      await closed.promise;
    }),
    { numRuns: 100 },
  );
  expect((await engine.call('Plugin.Activate')).status).toBe(200);
  expect(engine.bugs).toEqual([]);
});
