import { expect, test } from '@jest/globals';
import { apiError } from '../../../../core/api/index.ts';
import { Turns } from '../../../../plugins/docker/turns.ts';
import { engineWithPlugin } from './engine.ts';

const mounted = { status: 200, body: { Mountpoint: '/mnt/00000000-0000-4000-8000-000000000000' } };
const done = { status: 200, body: {} };

test('mounts count by their id: the volume is free when the last one has gone', async () => {
  await using engine = await engineWithPlugin();
  const volume = engine.agent.addVolume('data');
  const call = (what: string, ID: string) =>
    engine.call(`VolumeDriver.${what}`, { Name: 'data', ID });
  expect(await call('Mount', 'a')).toEqual(mounted);
  expect(await call('Mount', 'b')).toEqual(mounted);
  expect(await call('Mount', 'a')).toEqual(mounted);
  expect(volume.consumers).toEqual(['docker:a', 'docker:b']);
  expect((await engine.call('VolumeDriver.Path', { Name: 'data' })).body).toEqual(mounted.body);
  expect(await call('Unmount', 'a')).toEqual(done);
  expect(await call('Unmount', 'a')).toEqual(done);
  expect(volume.consumers).toEqual(['docker:b']);
  expect(await call('Unmount', 'b')).toEqual(done);
  const path = await engine.call('VolumeDriver.Path', { Name: 'data' });
  expect(path).toEqual({ status: 200, body: { Mountpoint: '' } });
});

test('mounts without an id are one reference: many mounts, one unmount', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data');
  for (const body of [{ Name: 'data' }, { Name: 'data', ID: '' }, { Name: 'data', ID: null }]) {
    expect(await engine.call('VolumeDriver.Mount', body)).toEqual(mounted);
  }
  const asked = { door: 'docker', label: 'a mount without an id', as: 'mount' };
  expect(engine.agent.requests.map(({ body }) => body)).toEqual(Array(3).fill(asked));
  await engine.call('VolumeDriver.Unmount', { Name: 'data' });
  expect(engine.agent.volumes.get('data')?.mountpoint).toBe('');
});

test('who holds a volume can be told: the door, and as much of the id as Docker shows', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data');
  const ID = '4f2a8c1d9e0b'.padEnd(64, '7');
  await engine.call('VolumeDriver.Mount', { Name: 'data', ID });
  expect(engine.agent.calls('POST', '/v1/volumes/data/attach')[0]?.body).toEqual({
    consumer: `docker:${ID}`,
    door: 'docker',
    label: 'mount 4f2a8c1d9e0b',
    as: 'mount',
  });
});

test('an unmount of a volume that is gone is done', async () => {
  await using engine = await engineWithPlugin();
  expect(await engine.call('VolumeDriver.Unmount', { Name: 'data', ID: 'a' })).toEqual(done);
});

test('an unmount is done although somebody else keeps the volume mounted', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data');
  engine.agent.before = ({ path }) => {
    if (path.endsWith('/detach')) throw apiError('inUse', 'volume "data" is in use by container a');
  };
  expect(await engine.call('VolumeDriver.Unmount', { Name: 'data', ID: 'a' })).toEqual(done);
});

test('an id that no agent would take is refused', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data');
  for (const ID of ['x'.repeat(250), 7, {}]) {
    const answer = await engine.call('VolumeDriver.Mount', { Name: 'data', ID });
    expect(answer).toEqual({ status: 400, body: { Err: expect.stringContaining('ID') } });
  }
  expect(engine.agent.requests).toEqual([]);
});

test('a mount whose outcome is unknown is undone, for the engine will not unmount it', async () => {
  await using engine = await engineWithPlugin();
  const volume = engine.agent.addVolume('data');
  engine.agent.after = ({ path }) => {
    if (path.endsWith('/attach')) throw apiError('timeout', 'volume "data": too long');
  };
  expect(await engine.call('VolumeDriver.Mount', { Name: 'data', ID: 'a' })).toEqual({
    status: 504,
    body: { Err: 'volume "data": too long' },
  });
  expect(volume.consumers).toEqual([]);
});

test('a failed repetition of a mount does not take the mount away from its container', async () => {
  await using engine = await engineWithPlugin();
  const volume = engine.agent.addVolume('data');
  const mount = () => engine.call('VolumeDriver.Mount', { Name: 'data', ID: 'a' });
  expect(await mount()).toEqual(mounted);
  engine.agent.after = ({ path }) => {
    if (path.endsWith('/attach')) throw apiError('timeout', 'too long');
  };
  expect((await mount()).status).toBe(504);
  expect(volume.consumers).toEqual(['docker:a']);
});

test('a mount that nobody may undo for lack of knowledge is left alone', async () => {
  await using engine = await engineWithPlugin();
  const volume = engine.agent.addVolume('data');
  engine.agent.before = ({ method }) => {
    if (method === 'GET') throw apiError('unavailable', 'away');
  };
  engine.agent.after = () => {
    throw apiError('timeout', 'too long');
  };
  expect((await engine.call('VolumeDriver.Mount', { Name: 'data', ID: 'a' })).status).toBe(504);
  expect(volume.consumers).toEqual(['docker:a']);
});

test('a refused mount is not undone: another node uses the volume', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data');
  engine.agent.before = ({ path }) => {
    if (path.endsWith('/attach')) throw apiError('inUse', 'volume "data" is in use on node-2');
  };
  expect(await engine.call('VolumeDriver.Mount', { Name: 'data', ID: 'a' })).toEqual({
    status: 409,
    body: { Err: 'volume "data" is in use on node-2' },
  });
  expect(engine.agent.calls('POST', '/v1/volumes/data/detach')).toEqual([]);
});

test('a mount is undone when dockerd hangs up, before its repetition is answered', async () => {
  await using engine = await engineWithPlugin();
  const volume = engine.agent.addVolume('data');
  const attaching = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  engine.agent.before = async ({ path }) => {
    if (!path.endsWith('/attach')) return;
    attaching.resolve();
    await goOn.promise;
  };
  const hangUp = new AbortController();
  const text = JSON.stringify({ Name: 'data', ID: 'a' });
  const first = engine.send('VolumeDriver.Mount', text, { signal: hangUp.signal });
  await attaching.promise;
  hangUp.abort();
  await expect(first).rejects.toThrow('abort');
  const repetition = engine.call('VolumeDriver.Mount', { Name: 'data', ID: 'a' });
  // An answer to anything later shows that the plugin has seen the hang-up and the repetition.
  await engine.call('Plugin.Activate');
  await engine.call('Plugin.Activate');
  goOn.resolve();
  expect(await repetition).toEqual(mounted);
  expect(engine.agent.requests.map(({ path }) => path.split('/').at(-1))).toEqual([
    'data',
    'attach',
    'detach',
    'data',
    'attach',
  ]);
  expect(volume.consumers).toEqual(['docker:a']);
});

test('closing lets a mount under way have its answer', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data');
  const attaching = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  engine.agent.before = async ({ path }) => {
    if (!path.endsWith('/attach')) return;
    attaching.resolve();
    await goOn.promise;
  };
  const mount = engine.call('VolumeDriver.Mount', { Name: 'data', ID: 'a' });
  await attaching.promise;
  const closed = engine.plugin.close();
  goOn.resolve();
  expect(await mount).toEqual(mounted);
  await closed;
  await expect(engine.call('Plugin.Activate')).rejects.toMatchObject({ code: 'ENOENT' });
});

test('turns of one key follow each other, also a failed one; other keys do not wait', async () => {
  const turns = new Turns();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = turns.run('a', async () => {
    await gate.promise;
    order.push('a1');
    throw new Error('failed');
  });
  const second = turns.run('a', async () => void order.push('a2'));
  await turns.run('b', async () => void order.push('b1'));
  gate.resolve();
  await expect(first).rejects.toThrow('failed');
  await second;
  expect(order).toEqual(['b1', 'a1', 'a2']);
  expect(turns.busyKeyCount).toBe(0);
});
