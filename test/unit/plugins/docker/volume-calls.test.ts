import { expect, test } from '@jest/globals';
import { apiError } from '../../../../core/api/index.ts';
import { engineWithPlugin } from './engine.ts';

const ok = (body: unknown = {}) => ({ status: 200, body });

test('the engine learns that this is a driver of volumes that any node may use', async () => {
  await using engine = await engineWithPlugin();
  expect(await engine.call('Plugin.Activate')).toEqual(ok({ Implements: ['VolumeDriver'] }));
  expect(await engine.call('VolumeDriver.Capabilities', {})).toEqual(
    ok({ Capabilities: { Scope: 'global' } }),
  );
});

test('a volume is created with the options of docker volume create, and found', async () => {
  await using engine = await engineWithPlugin();
  const Opts = { size: '1G', replicas: '2', fs: 'xfs' };
  expect(await engine.call('VolumeDriver.Create', { Name: 'data', Opts })).toEqual(ok());
  expect(engine.agent.requests[0]?.body).toEqual({
    name: 'data',
    sizeBytes: 2 ** 30,
    replicas: 2,
    fileSystem: 'xfs',
  });
  const Volume = {
    Name: 'data',
    Mountpoint: '',
    CreatedAt: '2025-01-02T03:04:05.678Z',
    Status: {
      id: '00000000-0000-4000-8000-000000000000',
      size: '1 GiB',
      replicas: 2,
      fs: 'xfs',
      condition: 'healthy',
      consumers: [],
    },
  };
  expect(await engine.call('VolumeDriver.Get', { Name: 'data' })).toEqual(ok({ Volume }));
  expect(await engine.call('VolumeDriver.List', {})).toEqual(ok({ Volumes: [Volume] }));
});

test('a repeated create is fine with equal options and refused with others', async () => {
  await using engine = await engineWithPlugin();
  const create = (size: string) =>
    engine.call('VolumeDriver.Create', { Name: 'data', Opts: { size } });
  expect(await create('1G')).toEqual(ok());
  expect(await create('1G')).toEqual(ok());
  expect(await create('2G')).toEqual({
    status: 409,
    body: { Err: 'volume "data" exists with size 1073741824' },
  });
});

test('options may be null, as Go writes an empty map', async () => {
  await using engine = await engineWithPlugin();
  expect(await engine.call('VolumeDriver.Create', { Name: 'data', Opts: null })).toEqual(ok());
  expect(engine.agent.requests[0]?.body).toEqual({ name: 'data' });
});

test.each([
  [{ Name: 'data', Opts: { siez: '1G' } }, 'valid options: size, replicas, fs, fsOptions, pool'],
  [{ Name: 'data', Opts: { size: '0' } }, 'too small'],
  [{ Name: 'data', Opts: { size: '-1' } }, 'is not a size'],
  [{ Name: 'data', Opts: { size: '1X' } }, 'is not a size'],
  [{ Name: 'data', Opts: { size: '1e30' } }, 'is not a size'],
  [{ Name: 'data', Opts: { size: 7 } }, 'option "size" must be a string'],
  [{ Name: 'data', Opts: ['size'] }, 'Opts must be an object'],
  [{ Name: 'data', Opts: { replicas: '0' } }, 'replicas="0"'],
  [{ Name: 'data', Opts: { fs: 'none', fsOptions: '-m 0' } }, 'contradict'],
  [{ Name: '../etc' }, 'a volume name starts with a letter or digit'],
  [{ Name: 'a/b' }, 'a volume name starts with a letter or digit'],
  [{ Name: 'n'.repeat(300) }, 'at most 128 characters'],
  [{ Name: 'größe' }, 'a volume name'],
  [{ Name: '' }, 'names no volume'],
  [{ Name: 7 }, 'names no volume'],
  [{}, 'names no volume'],
])('create refuses %j and never asks the agent', async (body, sentence) => {
  await using engine = await engineWithPlugin();
  const answer = await engine.call('VolumeDriver.Create', body);
  expect(answer).toEqual({ status: 400, body: { Err: expect.stringContaining(sentence) } });
  expect(engine.agent.requests).toEqual([]);
});

test('only a volume that the agent does not know is not found', async () => {
  await using engine = await engineWithPlugin();
  const get = (Name: string) => engine.call('VolumeDriver.Get', { Name });
  const notFound = (name: string) => ({
    status: 404,
    body: { Err: `volume "${name}" does not exist` },
  });
  expect(await get('data')).toEqual(notFound('data'));
  expect(await get('../data')).toEqual(notFound('../data'));

  engine.agent.addVolume('data');
  engine.agent.before = () => {
    throw apiError('unavailable', 'the store is away: try again');
  };
  expect(await get('data')).toEqual({
    status: 503,
    body: { Err: 'the store is away: try again' },
  });
});

test('a volume asked for by its id is not found, so that no volume has two names', async () => {
  await using engine = await engineWithPlugin();
  const { id } = engine.agent.addVolume('data');
  expect((await engine.call('VolumeDriver.Get', { Name: id })).status).toBe(404);
});

test('a creation time that is none is left out: dockerd would drop the whole list', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data', { createdAt: 'unknown' });
  const { body } = await engine.call('VolumeDriver.List', {});
  expect(body).toEqual({ Volumes: [expect.not.objectContaining({ CreatedAt: 'unknown' })] });
});

test('a volume in use is not removed, one that is gone is', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data', { consumers: ['docker:a'] });
  const remove = () => engine.call('VolumeDriver.Remove', { Name: 'data' });
  expect(await remove()).toEqual({
    status: 409,
    body: { Err: 'volume "data" is in use by docker:a' },
  });
  engine.agent.volumes.clear();
  expect(await remove()).toEqual(ok());
  engine.agent.before = () => {
    throw apiError('notFound', 'volume "data" does not exist');
  };
  expect(await remove()).toEqual(ok());
});

test('each call ends before the engine stops to wait for it', async () => {
  await using engine = await engineWithPlugin();
  for (const call of ['Create', 'Get', 'Path', 'List', 'Mount', 'Unmount', 'Remove']) {
    await engine.call(`VolumeDriver.${call}`, { Name: 'data', ID: '1' });
  }
  const limits = engine.agent.requests.map(({ method, path, timeoutMs }) => {
    // What a Mount has left when it has looked who holds the volume.
    const rounded = path.endsWith('/attach') ? Math.ceil(timeoutMs / 10_000) * 10_000 : timeoutMs;
    return `${method} ${path} ${rounded}`;
  });
  expect(limits).toEqual([
    'POST /v1/volumes 110000',
    'GET /v1/volumes/data 50000',
    'GET /v1/volumes/data 50000',
    'GET /v1/volumes 50000',
    'GET /v1/volumes/data 5000',
    'POST /v1/volumes/data/attach 110000',
    'POST /v1/volumes/data/detach 50000',
    'DELETE /v1/volumes/data 50000',
  ]);
});
