import { stat } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { problemSchema } from '../../../../core/api/index.ts';
import { createLogger } from '../../../../core/log/index.ts';
import { MiB } from '../../../../core/units.ts';
import { ServedCluster } from '../../../fixtures/cluster/served-cluster.ts';

let cluster: ServedCluster;
const logged: string[] = [];

beforeAll(async () => {
  const stream = new PassThrough().on('data', (line) => logged.push(String(line)));
  const log = createLogger({ service: 'apiserver', level: 'debug', stream });
  cluster = await ServedCluster.open(log);
});

afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

/** The Problem that the answer must be. */
function problemIn(answer: { status: number; json: unknown }) {
  expect(answer.status).toBeGreaterThanOrEqual(400);
  const problem = problemSchema.parse(answer.json);
  expect(problem.detail).not.toContain('\n');
  return { status: answer.status, ...problem };
}

const post = (path: string, body: unknown) =>
  cluster.raw('POST', path, { body: JSON.stringify(body) });

test('nobody but the owner may connect', async () => {
  expect((await stat(cluster.socketPath)).mode & 0o777).toBe(0o600);
});

test('the whole life of a volume through the typed client', async () => {
  const { client } = cluster;
  const { revision } = await client.heartbeat(cluster.nodes[0]?.heartbeat() ?? fail());
  const volume = await client.createVolume({ name: 'life', sizeBytes: 64 * MiB, replicas: 2 });
  expect(volume).toMatchObject({ phase: 'ready', condition: 'healthy', replicas: 2 });
  expect(await client.getVolume(volume.id)).toEqual(volume);
  expect(await client.getVolume('life')).toEqual(volume);
  expect((await client.listVolumes()).volumes).toEqual([volume]);

  const attached = await client.attach('life', { node: 'a', initiatorNames: ['any'] });
  const read = await client.getRecord(volume.id);
  expect(read.record).toMatchObject({ attachment: { token: attached.token, node: 'a' } });
  const record = read.record as { generation: number; epoch: number };
  const next = {
    ...record,
    generation: record.generation + 1,
    epoch: 1,
    targetInstance: 'one',
  };
  const actor = { kind: 'target', instance: 'one' } as const;
  const { version } = await client.putRecord('life', {
    version: read.version,
    record: next,
    actor,
  });
  expect(version).toBeGreaterThan(read.version);
  const late = client.putRecord('life', { version: read.version, record: next, actor });
  await expect(late).rejects.toMatchObject({
    data: { code: 'conflict', current: { version, record: { targetInstance: 'one' } } },
  });

  await expect(client.deleteVolume('life')).rejects.toMatchObject({ data: { code: 'inUse' } });
  await client.detach('life', 'a');
  await client.deleteVolume('life');
  await client.deleteVolume('life');
  await expect(client.getVolume('life')).rejects.toMatchObject({ data: { code: 'notFound' } });
  expect(cluster.nodes.map((node) => node.folders.size + node.targets.size)).toEqual([0, 0, 0]);
  const status = await client.status();
  expect(status).toMatchObject({ volumeCount: 0, degraded: [], warnings: [] });
  expect(status.revision).toBeGreaterThan(revision);
  expect((await client.listNodes()).nodes.map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  expect(logged.join('')).toContain('volume ready');
  expect(logged.join('')).not.toContain(attached.token);
});

function fail(): never {
  throw new Error('there are three nodes');
}

describe('a bad request is refused in one sentence, and makes nothing:', () => {
  afterAll(async () => {
    expect((await cluster.client.listVolumes()).volumes).toEqual([]);
  });

  const name = 'x';
  test.each<[what: string, body: unknown, said: string]>([
    ['no name', {}, 'name'],
    ['a name with a slash', { name: 'a/b' }, 'a volume name starts with'],
    ['a name of dots', { name: '..' }, 'a volume name starts with'],
    ['a long name', { name: 'x'.repeat(300) }, 'at most 128'],
    ['a name in unicode', { name: 'größe' }, 'a volume name starts with'],
    ['an emoji', { name: '💾' }, 'a volume name starts with'],
    ['a name with a NUL', { name: 'a\0b' }, 'a volume name starts with'],
    ['an empty name', { name: '' }, 'a volume name starts with'],
    ['size 0', { name, sizeBytes: 0 }, 'at least 64M'],
    ['size -1', { name, sizeBytes: -1 }, 'at least 64M'],
    ['size 1e30', { name, sizeBytes: 1e30 }, 'at most 64T'],
    ['half a byte', { name, sizeBytes: 1e9 + 0.5 }, 'sizeBytes'],
    ['an odd size', { name, sizeBytes: 1e9 + 1 }, 'sizeBytes'],
    ['a size in words', { name, sizeBytes: '1G' }, 'sizeBytes'],
    ['no replicas', { name, replicas: 0 }, 'replicas'],
    ['8 replicas', { name, replicas: 8 }, 'replicas'],
    ['1.5 replicas', { name, replicas: 1.5 }, 'replicas'],
    ['a file system', { name, fileSystem: 'btrfs' }, 'fileSystem'],
    ['an unknown option', { name, colour: 'red' }, 'colour'],
    ['a prototype', JSON.parse('{"name":"x","__proto__":{"replicas":1}}'), '__proto__'],
    ['a list', [], 'body'],
    ['a list of volumes', [{ name }], 'body'],
  ])('%s', async (_what, body, said) => {
    const problem = problemIn(await post('/v1/volumes', body));
    expect(problem).toMatchObject({ status: 400, code: 'badRequest' });
    expect(problem.detail).toContain(said);
  });

  test.each<[what: string, body: string | undefined, type: string, said: string]>([
    ['cut JSON', '{"name": "x"', 'application/json', 'cannot be read'],
    ['no JSON', 'name=x', 'application/json', 'cannot be read'],
    ['a number', '5', 'application/json', 'cannot be read'],
    ['bytes', '\xff\xfe\x00', 'application/json', 'cannot be read'],
    ['a form', 'name=x', 'application/x-www-form-urlencoded', 'must be JSON'],
    ['plain text', '{"name":"x"}', 'text/plain', 'must be JSON'],
    ['an unknown charset', '{"name":"x"}', 'application/json; charset=x', 'cannot be read'],
    ['nothing', undefined, '', 'must be JSON'],
  ])('%s', async (_what, body, type, said) => {
    const sent = body === undefined ? {} : { body: Buffer.from(body, 'latin1'), type };
    const problem = problemIn(await cluster.raw('POST', '/v1/volumes', sent));
    expect(problem).toMatchObject({ status: 400, code: 'badRequest' });
    expect(problem.detail).toContain(said);
  });

  test('a body above the limit', async () => {
    const body = JSON.stringify({ name, fileSystemOptions: 'x'.repeat(MiB) });
    const problem = problemIn(await cluster.raw('POST', '/v1/volumes', { body }));
    expect(problem).toMatchObject({ status: 400, code: 'badRequest' });
    const heartbeat = JSON.stringify({ name: 'a', version: 'x'.repeat(5 * MiB) });
    const large = await cluster.raw('PUT', '/v1/nodes/a/heartbeat', { body: heartbeat });
    expect(problemIn(large)).toMatchObject({ code: 'badRequest' });
  });

  test('a body nested a hundred thousand deep', async () => {
    const body = '['.repeat(100_000) + ']'.repeat(100_000);
    problemIn(await cluster.raw('POST', '/v1/volumes', { body }));
  });

  test('a body that ends early, a request that is none, a header without end', async () => {
    const head = 'POST /v1/volumes HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n';
    const cut = `${head}content-length: 100\r\n\r\n{"name":"x"`;
    const cutAnswer = await cluster.bytes(cut, { halfClose: true });
    if (cutAnswer !== '') expect(cutAnswer).toMatch(/^HTTP\/1.1 400 /);
    expect(await cluster.bytes('\x16\x03\x01 this is no HTTP\r\n\r\n')).toMatch(/ 400 Bad Request/);
    const long = `GET / HTTP/1.1\r\nx: ${'y'.repeat(100_000)}\r\n\r\n`;
    expect(await cluster.bytes(long)).toMatch(/^HTTP\/1.1 4\d\d /);
    const double = `${head}content-length: 5\r\ncontent-length: 6\r\n\r\n{}`;
    expect(await cluster.bytes(double)).toMatch(/ 400 Bad Request/);
  });
});

describe('paths', () => {
  test.each([
    ['GET', '/v1/volumes/..'],
    ['GET', '/v1/volumes/%2e%2e%2f%2e%2e%2fetc'],
    ['GET', '/v1/volumes/a%00b'],
    ['GET', `/v1/volumes/${'x'.repeat(128)}`],
    ['GET', '/v1/volumes/none/record'],
    ['GET', '/v1/volume'],
    ['GET', '/V1/volumes'],
    ['GET', '/'],
    ['PATCH', '/v1/volumes'],
    ['DELETE', '/v1/volumes'],
    ['PUT', '/v1/volumes/none'],
  ])('%s %s leads nowhere', async (method, path) => {
    const problem = problemIn(await cluster.raw(method, path));
    expect(problem).toMatchObject({ status: 404, code: 'notFound' });
  });

  test.each(['/v1/volumes/%', '/v1/volumes/%zz', `/v1/volumes/${'x'.repeat(300)}`])(
    '%s is a bad request',
    async (path) => {
      expect(problemIn(await cluster.raw('GET', path))).toMatchObject({ status: 400 });
    },
  );
});

describe('a heartbeat is refused', () => {
  const send = (path: string, change: Record<string, unknown>) =>
    cluster.raw('PUT', path, {
      body: JSON.stringify({ ...cluster.nodes[0]?.heartbeat(), ...change }),
    });

  test.each([
    ['of another node than the path', '/v1/nodes/b/heartbeat', {}],
    ['with a bad name', '/v1/nodes/A/heartbeat', { name: 'A' }],
    ['with an agent elsewhere', '/v1/nodes/a/heartbeat', { agentAddress: 'http://10.0.0.1:80' }],
    ['with a relative socket', '/v1/nodes/a/heartbeat', { agentAddress: 'unix:agent.sock' }],
    ['with another protocol', '/v1/nodes/a/heartbeat', { agentAddress: 'file:///etc/passwd' }],
    ['without pools', '/v1/nodes/a/heartbeat', { pools: undefined }],
  ])('%s', async (_what, path, change) => {
    expect(problemIn(await send(path, change))).toMatchObject({ status: 400 });
  });
});

test('any JSON at any path gets an answer, and the apiserver goes on', async () => {
  const paths = [
    '/v1/volumes',
    '/v1/volumes/x/attach',
    '/v1/volumes/x/detach',
    '/v1/nodes/a/heartbeat',
    '/v1/volumes/x/record',
  ];
  const field = fc.constantFrom(
    'name',
    'sizeBytes',
    'replicas',
    'node',
    'initiatorNames',
    'version',
    'record',
    'actor',
    'pools',
    '__proto__',
    'constructor',
  );
  const body = fc.oneof(fc.jsonValue(), fc.dictionary(field, fc.jsonValue()));
  const before = await cluster.client.listNodes();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...paths), body, async (path, value) => {
      const method = /heartbeat|record/.test(path) ? 'PUT' : 'POST';
      const answer = await cluster.raw(method, path, { body: JSON.stringify(value) });
      expect(problemIn(answer).code).not.toBe('internal');
    }),
    { numRuns: 150 },
  );
  expect((await cluster.client.listNodes()).nodes.length).toBe(before.nodes.length);
});

test('a caller that leaves while it waits is forgotten', async () => {
  const [first] = cluster.nodes;
  if (first !== undefined) first.refuse = () => new Error('away');
  const left = new AbortController();
  const creating = cluster.client.createVolume(
    { name: 'slow', replicas: 3 },
    { signal: left.signal },
  );
  const asked = async () => (await cluster.client.listVolumes()).volumes.length === 1;
  while (!(await asked()));
  left.abort();
  await expect(creating).rejects.toMatchObject({ data: { code: 'unavailable' } });
  if (first !== undefined) first.refuse = () => null;
  await cluster.client.deleteVolume('slow');
  expect((await cluster.client.listVolumes()).volumes).toEqual([]);
});
