import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { NodeHttpTransport, nodePlatform } from '../../core/platform/node/index.ts';
import { KiB, MiB } from '../../core/units.ts';
import { Op, Status } from '../../core/wire/frame.ts';
import { expectSame, patterned } from '../contract/block-device-checks.ts';
import { RunningProcess, run } from '../fixtures/processes.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { waitFor } from '../fixtures/wait-for.ts';
import { jsonOf, WireClient } from '../fixtures/wire-client.ts';

const MAYA = fileURLToPath(new URL('../../bin/maya', import.meta.url));
const TOKEN = 'a token of sixteen letters at least';
const IDS = { replicaId: 'r1', volumeId: 'v1', incarnation: 'i1' };

async function prepared() {
  const folder = await temporaryFolder('replica');
  const poolPath = join(folder.path, 'pool');
  await mkdir(poolPath);
  await writeFile(join(poolPath, 'pool.json'), '{"poolId":"p1","node":"n1"}');
  const socket = join(folder.path, 'r.sock');
  const adminSocket = join(folder.path, 'a.sock');
  const config = join(folder.path, 'config.json');
  const content = {
    ...IDS,
    poolId: 'p1',
    poolPath,
    sizeBytes: 64 * MiB,
    blockSizeBytes: 512,
    addresses: [`unix:${socket}`],
    adminSocket,
    token: TOKEN,
  };
  await writeFile(config, JSON.stringify(content), { mode: 0o600 });
  return { folder, poolPath, config, address: `unix:${socket}`, adminSocket };
}

/** The last event on stderr. */
function lastEvent(stderr: string): Record<string, unknown> {
  return JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as Record<string, unknown>;
}

async function served(config: string): Promise<RunningProcess> {
  const replica = new RunningProcess(MAYA, ['replica', 'serve', '--config', config]);
  await waitFor('the replica serves', () => replica.stderr.includes('"event":"serving"'), 20_000);
  return replica;
}

async function attached(address: string, epoch: number) {
  const { network } = nodePlatform();
  const hello = { protocol: 1, ...IDS, token: TOKEN, rebuildId: null } as const;
  const control = await WireClient.connect(network, address);
  await control.hello({ ...hello, role: 'control', epoch: 0, instance: '' });
  const promise = await control.askJson(Op.promise, { epoch, instance: `t${epoch}` });
  expect(promise?.status).toBe(Status.ok);
  const data = await WireClient.connect(network, address);
  const answer = await data.hello({ ...hello, role: 'data', epoch, instance: `t${epoch}` });
  expect(answer?.status).toBe(Status.ok);
  return { control, data };
}

test('a replica is made, serves, ends at SIGTERM and survives SIGKILL', async () => {
  const { folder, config, address, adminSocket, poolPath } = await prepared();
  await using _ = folder;
  const created = await run(MAYA, ['replica', 'create', '--spec', config]);
  expect(lastEvent(created.stderr)).toMatchObject({ event: 'created', replica: 'r1' });
  expect(created.status).toBe(0);

  await using first = await served(config);
  const bytes = patterned(256 * KiB, 1);
  {
    const { data } = await attached(address, 1);
    expect((await data.write(MiB, bytes))?.status).toBe(Status.ok);
    const status = await new NodeHttpTransport({ address: `unix:${adminSocket}` }).request({
      method: 'GET',
      path: '/status',
      timeoutMs: 5_000,
    });
    expect(status).toMatchObject({
      status: 200,
      body: { state: 'serving', pid: first.pid, promise: { epoch: 1 }, dataSession: { epoch: 1 } },
    });
    expect(JSON.stringify(status.body)).not.toContain(TOKEN);
    expect((await stat(adminSocket)).mode & 0o777).toBe(0o600);
    const second = await run(MAYA, ['replica', 'serve', '--config', config]);
    expect(second.status).toBe(1);
    expect(lastEvent(second.stderr)).toMatchObject({ event: 'fatal', code: 'locked' });
    first.signal('SIGKILL');
    await first.ended;
  }
  await using next = await served(config);
  const { data } = await attached(address, 2);
  expectSame(await data.read(MiB, bytes.length), bytes);
  expect(await next.end('SIGTERM')).toEqual({ status: 0, signal: null });
  expect(lastEvent(next.stderr)).toMatchObject({ event: 'stopped' });
  for (const process of [first, next]) expect(process.stderr).not.toContain(TOKEN);
  const [image = ''] = await readdir(join(poolPath, 'replicas', 'r1', 'layers-1'));
  expect(image).toBe('chain.json');
}, 30_000);

test('wrong usage and configuration end with one sentence and status 2', async () => {
  const { folder, config } = await prepared();
  await using _ = folder;
  await chmod(config, 0o640);
  const open = await run(MAYA, ['replica', 'serve', '--config', config]);
  expect(open.status).toBe(2);
  expect(open.stderr.trim().split('\n')).toHaveLength(1);
  expect(lastEvent(open.stderr)['detail']).toMatch(/its mode is 0640.*chmod 0600/);

  const missing = await run(MAYA, ['replica', 'create', '--spec', join(folder.path, 'none')]);
  expect(missing.status).toBe(2);
  expect(lastEvent(missing.stderr)['detail']).toMatch(/none: it cannot be read/);

  const usage = await run(MAYA, ['replica', 'create', '--config', config]);
  expect(usage.status).toBe(2);
  expect(usage.stderr).toMatch(/^Usage: maya replica create/);
}, 30_000);

test('nothing is made in a folder that is no pool', async () => {
  const { folder, config, poolPath } = await prepared();
  await using _ = folder;
  await writeFile(join(poolPath, 'pool.json'), '{"poolId":"other"}');
  const answer = await run(MAYA, ['replica', 'create', '--spec', config]);
  expect(answer.status).toBe(1);
  expect(lastEvent(answer.stderr)).toMatchObject({
    event: 'fatal',
    code: 'wrongPool',
    detail: expect.stringMatching(/pool.json has pool id other, not p1/),
  });
  expect(await readdir(poolPath)).toEqual(['pool.json']);
}, 30_000);

test('what is wrong with a folder is told over the wire by a process that stays', async () => {
  const { folder, config, address, poolPath } = await prepared();
  await using _ = folder;
  await run(MAYA, ['replica', 'create', '--spec', config]);
  await writeFile(join(poolPath, 'replicas', 'r1', 'promise'), 'short');
  await using replica = await served(config);
  const client = await WireClient.connect(nodePlatform().network, address);
  const hello = { protocol: 1, ...IDS, token: TOKEN, rebuildId: null } as const;
  const answer = await client.hello({ ...hello, role: 'control', epoch: 0, instance: '' });
  expect(jsonOf(answer)['code']).toBe('lostIdentity');
  expect(await replica.end('SIGTERM')).toEqual({ status: 0, signal: null });
}, 30_000);
