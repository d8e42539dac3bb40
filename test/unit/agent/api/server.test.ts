import { stat } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { AgentService } from '../../../../agent/api/routes.ts';
import { type ApiServer, serveApi } from '../../../../agent/api/server.ts';
import { AgentClient, apiError } from '../../../../core/api/index.ts';
import { silentLogger } from '../../../../core/platform/logger.ts';
import { NodeHttpTransport, nodePlatform } from '../../../../core/platform/node/index.ts';
import { type TemporaryFolder, temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const ID = '00000000-0000-4000-8000-000000000001';
const OTHER = '00000000-0000-4000-8000-000000000002';

const calls: unknown[][] = [];
const VOLUME = {
  id: ID,
  name: 'data',
  sizeBytes: 1,
  replicas: 1,
  fileSystem: 'ext4',
  createdAt: '',
  condition: 'healthy',
  message: '',
  mountpoint: '',
  claim: null,
  attachedTo: null,
  fileSystemOptions: '',
  placement: null,
} as const;

const volume = () => ({ ...VOLUME, consumers: [], holders: [] });

const ATTACHED = {
  volumeId: ID,
  mountpoint: '/mnt',
  device: '/dev/sdb',
  portal: '127.0.0.1:3260',
  iqn: 'iqn',
  url: 'iscsi://127.0.0.1:3260/iqn/0',
  holders: [],
};

function answering<Answer>(name: string, answer: Answer) {
  return async (...args: unknown[]) => {
    calls.push([name, ...args]);
    return answer;
  };
}

const agent: AgentService = {
  info: answering('info', {
    node: 'node-1',
    zone: null,
    version: '0.1.0',
    pid: 1,
    apiserver: 'unix:/a',
    apiserverReachable: true,
    attachMethod: 'none',
    attachMethodReason: '',
    warnings: [],
  }),
  putReplica: answering('putReplica', { address: 'unix:/r' }),
  deleteReplica: answering('deleteReplica', undefined),
  putTarget: answering('putTarget', undefined),
  deleteTarget: async () => {
    throw apiError('inUse', 'volume data is in use', { volume: 'data', holder: 'a' });
  },
  createVolume: answering('createVolume', volume()),
  listVolumes: answering('listVolumes', { volumes: [volume()], cached: true }),
  getVolume: async () => {
    throw new TypeError('a bug');
  },
  deleteVolume: answering('deleteVolume', undefined),
  attach: answering('attach', ATTACHED),

  detach: answering('detach', undefined),
  stage: answering('stage', ATTACHED),
  unstage: answering('unstage', undefined),
  publish: answering('publish', undefined),
  unpublish: answering('unpublish', undefined),
  stats: answering('stats', {
    bytes: { total: 10, used: 4, available: 6 },
    inodes: null,
    sizeBytes: 10,
    condition: 'healthy',
    message: '',
  }),
  claim: answering('claim', volume()),
  unclaim: answering('unclaim', undefined),
  capacity: answering('capacity', { maximumVolumeBytes: 4096 }),
  listNodes: answering('listNodes', { nodes: [] }),
  shutdown: answering('shutdown', { inUse: [] }),
};

let folder: TemporaryFolder;
let socketPath: string;
let server: ApiServer;
let client: AgentClient;

beforeAll(async () => {
  folder = await temporaryFolder('api');
  socketPath = join(folder.path, 'agent.sock');
  const { files } = nodePlatform();
  server = await serveApi(socketPath, { agent, files, log: silentLogger });
  client = new AgentClient(new NodeHttpTransport({ address: `unix:${socketPath}` }));
});

afterAll(async () => {
  await server.close();
  await folder[Symbol.asyncDispose]();
});

function raw(
  method: string,
  path: string,
  body?: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

test('the socket is its owner’s alone', async () => {
  expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
  expect(await raw('GET', '/healthz')).toEqual({ status: 200, text: '{"status":"ok"}' });
});

test('every call of the typed client arrives as what it is', async () => {
  calls.length = 0;
  const replica = {
    volumeId: ID,
    incarnation: OTHER,
    sizeBytes: 4096,
    blockSizeBytes: 512,
    poolId: OTHER,
    token: 'a secret of 16 and more',
    mint: true,
    record: { epoch: 0 },
  };
  const target = {
    attachmentToken: 't',
    iqn: 'iqn',
    portal: '127.0.0.1:3260',
    storeAddress: 'unix:/a',
    replicaToken: 'a secret of 16 and more',
  };
  expect((await client.info()).node).toBe('node-1');
  expect(await client.putReplica(ID, replica)).toEqual({ address: 'unix:/r' });
  await client.deleteReplica(ID, OTHER);
  await client.putTarget(ID, target);
  await client.createVolume({ name: 'data' });
  expect((await client.listVolumes()).cached).toBe(true);
  await client.deleteVolume('name[0]');
  expect((await client.attach('data', { as: 'mount', consumer: 'a' })).device).toBe('/dev/sdb');
  await client.detach('data', {});
  await client.shutdown({ stage: 'check' });
  expect(calls).toEqual([
    ['info'],
    ['putReplica', ID, replica],
    ['deleteReplica', ID, OTHER],
    ['putTarget', ID, target],
    ['createVolume', { name: 'data' }],
    ['listVolumes'],
    ['deleteVolume', 'name[0]'],
    ['attach', 'data', { as: 'mount', consumer: 'a' }],
    ['detach', 'data', {}],
    ['shutdown', { stage: 'check' }],
  ]);
});

test('an operating error keeps its code, status and facts', async () => {
  await expect(client.deleteTarget(ID)).rejects.toMatchObject({
    data: { code: 'inUse', detail: 'volume data is in use', volume: 'data', holder: 'a' },
  });
  expect((await raw('DELETE', `/v1/targets/${ID}`)).status).toBe(409);
});

test('a bug is answered as internal, without its stack', async () => {
  const answer = await raw('GET', '/v1/volumes/data');
  expect(answer).toEqual({ status: 500, text: '{"code":"internal","detail":"a bug"}' });
});

test.each([
  ['PUT', '/v1/replicas/..%2F..%2Fetc', '{}'],
  ['DELETE', `/v1/replicas/${ID}`, undefined],
  ['DELETE', `/v1/replicas/${ID}?volume=a`, undefined],
  ['DELETE', `/v1/replicas/${ID}?volume=${ID}&volume=${ID}`, undefined],
  ['DELETE', '/v1/targets/data', undefined],
  ['POST', '/v1/volumes', '{"name": "../a"}'],
  ['POST', '/v1/volumes', '{"name": "a", "unknown": 1}'],
  ['POST', '/v1/volumes', '{"name": "a", "sizeBytes": 1}'],
  ['POST', '/v1/volumes', '{"name"'],
  ['POST', '/v1/volumes', undefined],
  ['POST', '/v1/volumes', 'null'],
  ['POST', '/v1/volumes/data/attach', '{"as": "file"}'],
  ['POST', `/v1/volumes/${'a'.repeat(129)}/attach`, '{"as": "mount"}'],
  ['POST', '/v1/volumes/data/detach', '{"consumer": ""}'],
  ['POST', '/v1/shutdown', '{"stage": "now"}'],
  ['GET', '/v1/volumes/%ff', undefined],
])('%s %s with %s is a bad request, and reaches nobody', async (method, path, body) => {
  calls.length = 0;
  const answer = await raw(method, path, body);
  expect(answer.status).toBe(400);
  expect(JSON.parse(answer.text)).toMatchObject({ code: 'badRequest' });
  expect(calls).toEqual([]);
});

test('a body that is too large is refused', async () => {
  const name = 'a'.repeat(2 * 1024 * 1024);
  const answer = await raw('POST', '/v1/volumes', JSON.stringify({ name }));
  expect(JSON.parse(answer.text)).toEqual({ code: 'badRequest', detail: 'body: too large' });
});

test('what does not exist is not found', async () => {
  for (const [method, path] of [
    ['GET', '/v2/info'],
    ['POST', '/v1/info'],
    ['GET', '/'],
  ] as const) {
    const answer = await raw(method, path);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'notFound' });
  }
});

test('a stale socket is replaced, and a close removes ours', async () => {
  await using place = await temporaryFolder('api');
  const path = join(place.path, 'agent.sock');
  const { files } = nodePlatform();
  await files.replaceWhole(path, Buffer.from('stale'));
  const second = await serveApi(path, { agent, files, log: silentLogger });
  const transport = new NodeHttpTransport({ address: `unix:${path}` });
  expect((await new AgentClient(transport).info()).node).toBe('node-1');
  await second.close();
  expect(await files.exists(path)).toBe(false);
});
