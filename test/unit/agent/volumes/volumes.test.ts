import { expect, test } from '@jest/globals';
import { StoreGuard } from '../../../../agent/node/store-guard.ts';
import { KnownVolumes } from '../../../../agent/volumes/known-volumes.ts';
import { Volumes } from '../../../../agent/volumes/volumes.ts';
import { ApiserverClient, apiError } from '../../../../core/api/index.ts';
import { silentLogger } from '../../../../core/platform/logger.ts';
import { MemoryFiles } from '../../../fixtures/agent/memory-files.ts';
import { FakeApiserver } from '../../../fixtures/fake-apiserver.ts';

async function rig(files = new MemoryFiles()) {
  const server = new FakeApiserver();
  const state = { isAway: false };
  const transport = {
    request: async (request: Parameters<FakeApiserver['request']>[0]) => {
      if (state.isAway) throw new Error('connection refused');
      return server.request(request);
    },
  };
  const guard = await StoreGuard.open({ path: '/r.json', files, log: silentLogger });
  const known = await KnownVolumes.open(files, '/volumes.json');
  const volumes = new Volumes({
    apiserver: new ApiserverClient(transport),
    guard,
    known,
    node: 'node-1',
    local: () => ({
      mountpoint: '/mnt/here',
      holders: [{ node: 'node-1', door: 'docker', id: 'a', label: '', paths: [] }],
      message: '',
    }),
  });
  return { server, state, guard, known, volumes, files };
}

test('with the apiserver away volumes are told from the agent’s own record, also a new agent’s', async () => {
  const { server, volumes, files } = await rig();
  server.addVolume('one');
  server.addVolume('two');
  expect((await volumes.list()).cached).toBe(false);
  const next = await rig(files);
  next.state.isAway = true;
  const { volumes: listed, cached } = await next.volumes.list();
  expect(cached).toBe(true);
  expect(listed.map(({ name }) => name)).toEqual(['one', 'two']);
  expect(await next.volumes.get('one')).toMatchObject({
    name: 'one',
    condition: 'unknown',
    message: 'the apiserver cannot be reached',
    mountpoint: '/mnt/here',
    consumers: ['a'],
  });
});

test('what is not known while the apiserver is away is unavailable, never not found', async () => {
  const { state, volumes } = await rig();
  state.isAway = true;
  await expect(volumes.get('new')).rejects.toMatchObject({ code: 'unavailable' });
  state.isAway = false;
  await expect(volumes.get('new')).rejects.toMatchObject({ code: 'notFound' });
});

test('an apiserver that answers with a fault of its own is not papered over', async () => {
  const { server, volumes } = await rig();
  server.addVolume('one');
  await volumes.list();
  server.before = () => {
    throw apiError('internal', 'the store is broken');
  };
  await expect(volumes.get('one')).rejects.toMatchObject({ code: 'internal' });
  await expect(volumes.list()).rejects.toMatchObject({ code: 'internal' });
});

test('a volume that is gone is forgotten', async () => {
  const { server, state, volumes } = await rig();
  server.addVolume('one');
  await volumes.get('one');
  server.volumes.delete('one');
  await expect(volumes.get('one')).rejects.toMatchObject({ code: 'notFound' });
  state.isAway = true;
  await expect(volumes.get('one')).rejects.toMatchObject({ code: 'unavailable' });
  expect((await volumes.list()).volumes).toEqual([]);
});

test('a store that was rolled back is not believed about volumes', async () => {
  const { server, guard, volumes } = await rig();
  server.addVolume('one');
  await volumes.list();
  server.volumes.clear();
  await guard.note(3, 9);
  expect((await volumes.list()).volumes.map(({ name }) => name)).toEqual(['one']);
  await expect(volumes.remove('one')).rejects.toThrow(/rolled back/);
  await expect(volumes.create({ name: 'new' })).rejects.toThrow(/rolled back/);
});

test('options of mkfs are refused when the volume is made, not when it is first mounted', async () => {
  const { server, volumes } = await rig();
  const bad = volumes.create({ name: 'a', fileSystemOptions: '-F' });
  await expect(bad).rejects.toMatchObject({ code: 'badRequest' });
  const raw = volumes.create({ name: 'a', fileSystem: 'none', fileSystemOptions: '-m 1' });
  await expect(raw).rejects.toThrow(/contradict/);
  expect(server.requests).toEqual([]);
  const volume = await volumes.create({ name: 'a', fileSystemOptions: '-m 1' });
  expect(volume).toMatchObject({ name: 'a', fileSystem: 'ext4' });
});

test('of the state of a file system is kept what was seen last', async () => {
  const { server, volumes, known, files } = await rig();
  const { id } = server.addVolume('one');
  await volumes.get('one');
  const state = { kind: 'ext4', uuid: 'u', state: 'formatted' } as const;
  await known.rememberState(id, state);
  await volumes.list();
  expect((await KnownVolumes.open(files, '/volumes.json')).find('one')?.state).toEqual(state);
});

test('a damaged list of volumes does not keep a node from starting; a newer one does', async () => {
  const files = new MemoryFiles();
  files.write('/volumes.json', '{"formatVersion":1,"volumes":[{"id":');
  expect((await KnownVolumes.open(files, '/volumes.json')).all()).toEqual([]);
  files.write('/volumes.json', '{"formatVersion":2,"volumes":[]}');
  await expect(KnownVolumes.open(files, '/volumes.json')).rejects.toMatchObject({
    code: 'stateNewer',
  });
});
