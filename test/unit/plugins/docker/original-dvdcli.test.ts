import { expect, test } from '@jest/globals';
import { NAMELESS_CONSUMER } from '../../../../core/api/index.ts';
import { GiB } from '../../../../core/units.ts';
import { type DriverCall, originalDvdcli } from '../../../fixtures/original-dvdcli.ts';
import { engineWithPlugin } from './engine.ts';

type Engine = Awaited<ReturnType<typeof engineWithPlugin>>;

const dvdcli = ({ socketPath }: Engine, ...calls: readonly DriverCall[]) =>
  originalDvdcli(socketPath, ...calls);

const Name = 'data';
const mounted = [200, { Mountpoint: '/mnt/00000000-0000-4000-8000-000000000000' }];

test('the original dvdcli mounts: Get finds nothing, so Create, then Mount without an id', async () => {
  await using engine = await engineWithPlugin();
  expect(
    await dvdcli(
      engine,
      ['Get', { Name }],
      ['Create', { Name, Opts: { size: '1G' } }],
      ['Mount', { Name }],
    ),
  ).toEqual([[404, { Err: 'volume "data" does not exist' }], [200, {}], mounted]);
  expect(engine.agent.volumes.get('data')).toMatchObject({
    sizeBytes: GiB,
    consumers: [NAMELESS_CONSUMER],
  });
});

test('two more containers mount it, and one unmount lets go of it', async () => {
  await using engine = await engineWithPlugin();
  const volume = engine.agent.addVolume('data');
  for (let count = 0; count < 3; count += 1) {
    const [found, answer] = await dvdcli(engine, ['Get', { Name }], ['Mount', { Name }]);
    expect(found).toMatchObject([200, { Volume: { Name } }]);
    expect(answer).toEqual(mounted);
  }
  expect(await dvdcli(engine, ['Get', { Name }], ['Unmount', { Name }])).toMatchObject([
    [200, { Volume: { Name, Mountpoint: '/mnt/00000000-0000-4000-8000-000000000000' } }],
    [200, {}],
  ]);
  expect([volume.consumers, volume.mountpoint]).toEqual([[], '']);
});

test('the original dvdcli sends no options as null', async () => {
  await using engine = await engineWithPlugin();
  expect(await dvdcli(engine, ['Create', { Name, Opts: null }])).toEqual([[200, {}]]);
});

test('the original dvdcli asks for paths, lists and removes', async () => {
  await using engine = await engineWithPlugin();
  engine.agent.addVolume('data');
  expect(
    await dvdcli(
      engine,
      ['Get', { Name }],
      ['Path', { Name }],
      ['List', {}],
      ['Remove', { Name }],
      ['Get', { Name }],
    ),
  ).toMatchObject([
    [200, {}],
    [200, { Mountpoint: '' }],
    [200, { Volumes: [{ Name }] }],
    [200, {}],
    [404, {}],
  ]);
});
