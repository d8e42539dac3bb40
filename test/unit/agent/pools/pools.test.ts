import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { parsePoolOption } from '../../../../agent/pools/pool-option.ts';
import { Pools } from '../../../../agent/pools/pools.ts';
import { nodePlatform } from '../../../../core/platform/node/index.ts';
import { GiB } from '../../../../core/units.ts';
import { FakeMachine } from '../../../fixtures/agent/fake-machine.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const { files, random } = nodePlatform();

type Known = { path: string; poolId: string }[];

function poolsOf(paths: readonly string[], known: Known = [], node = 'node-1') {
  const state = { known };
  const pools = new Pools(
    {
      node,
      pools: paths.map((path) => ({ path, name: 'default' })),
      keepBytes: 0,
      bootId: 'boot-1',
    },
    {
      files: { ...wrapped(), space: async () => ({ totalBytes: 20 * GiB, freeBytes: 10 * GiB }) },
      random,
      system: new FakeMachine(),
      known: () => state.known,
      saveKnown: async (next) => {
        state.known = next;
      },
    },
  );
  return { pools, state };
}

/** The real files, with methods that can be spread. */
function wrapped() {
  return {
    open: files.open.bind(files),
    readWhole: files.readWhole.bind(files),
    replaceWhole: files.replaceWhole.bind(files),
    makeFolder: files.makeFolder.bind(files),
    list: files.list.bind(files),
    rename: files.rename.bind(files),
    remove: files.remove.bind(files),
    exists: files.exists.bind(files),
    syncFolder: files.syncFolder.bind(files),
    allocatedBytes: files.allocatedBytes.bind(files),
    lock: files.lock.bind(files),
    mountId: files.mountId.bind(files),
    syncFileSystem: files.syncFileSystem.bind(files),
  };
}

test('an empty folder becomes a pool, and is known again', async () => {
  await using parent = await temporaryFolder('pool');
  const path = join(parent.path, 'pool');
  const { pools, state } = poolsOf([path]);
  await pools.open();
  const [report] = await pools.report([]);
  expect(report).toMatchObject({ state: 'online', reason: '', path, name: 'default' });
  const again = poolsOf([path], state.known);
  await again.pools.open();
  expect((await again.pools.report([]))[0]?.id).toBe(report?.id);
});

test('a pool whose disk is not mounted any more is failed, and nothing is made in it', async () => {
  await using parent = await temporaryFolder('pool');
  const path = join(parent.path, 'pool');
  const { pools, state } = poolsOf([path]);
  await pools.open();
  const poolId = state.known[0]?.poolId ?? '';
  await rename(path, `${path}-unmounted`);
  await mkdir(path);
  expect((await pools.report([]))[0]).toMatchObject({ state: 'failed', availableBytes: 0 });
  await expect(pools.folder(poolId)).rejects.toThrow(/is its disk mounted/);
  const restarted = poolsOf([path], state.known);
  await restarted.pools.open();
  expect((await restarted.pools.report([]))[0]?.state).toBe('failed');
  expect(await files.list(path)).toEqual([]);
  await rm(path, { recursive: true });
  await rename(`${path}-unmounted`, path);
  expect(await restarted.pools.folder(poolId)).toBe(path);
});

test('another pool on the same mount point is not taken for the known one', async () => {
  await using parent = await temporaryFolder('pool');
  const first = join(parent.path, 'a');
  const second = join(parent.path, 'b');
  const { pools, state } = poolsOf([first, second]);
  await pools.open();
  await rename(join(second, 'pool.json'), join(first, 'pool.json'));
  const [report] = await pools.report([]);
  expect(report?.state).toBe('failed');
  expect(report?.reason).toMatch(/is the right disk mounted there/);
  await expect(pools.folder(state.known[0]?.poolId ?? '')).rejects.toThrow(/right disk/);
});

test.each([
  [
    'a folder with files in it',
    async (path: string) => writeFile(join(path, 'a'), ''),
    /not empty/,
  ],
  [
    'a pool of another node',
    async (path: string) => poolsOf([path], [], 'node-2').pools.open(),
    /is a pool of the node node-2/,
  ],
  [
    'a folder with half a pool.json',
    async (path: string) => writeFile(join(path, 'pool.json'), '{"poo'),
    /damaged/,
  ],
])('%s does not become a pool', async (_what, prepare, sentence) => {
  await using parent = await temporaryFolder('pool');
  await prepare(parent.path);
  const { pools, state } = poolsOf([parent.path]);
  await pools.open();
  const [report] = await pools.report([]);
  expect(report?.state).toBe('failed');
  expect(report?.reason).toMatch(sentence);
  expect(state.known).toEqual([]);
});

test('two pools on one file system share what it can promise', async () => {
  await using parent = await temporaryFolder('pool');
  const paths = [join(parent.path, 'a'), join(parent.path, 'b')];
  const { pools, state } = poolsOf(paths);
  await pools.open();
  const poolId = state.known[0]?.poolId ?? '';
  const reservation = { poolId, sizeBytes: 4 * GiB, allocatedBytes: 0 };
  const [first, second] = await pools.report([reservation]);
  expect(first?.fileSystemId).toBe(second?.fileSystemId);
  expect(first?.reservedBytes).toBe(4 * GiB);
  expect(second?.reservedBytes).toBe(0);
  expect(first?.availableBytes).toBe(second?.availableBytes);
  expect(first?.availableBytes).toBeLessThan(6 * GiB);
  expect(first?.availableBytes).toBeGreaterThan(5.9 * GiB);
});

test('more than can be promised is refused, with both numbers', async () => {
  await using parent = await temporaryFolder('pool');
  const { pools, state } = poolsOf([join(parent.path, 'a')]);
  await pools.open();
  const poolId = state.known[0]?.poolId ?? '';
  await pools.requireRoom(poolId, 9 * GiB, []);
  const tooMuch = pools.requireRoom(poolId, 11 * GiB, []);
  await expect(tooMuch).rejects.toMatchObject({ code: 'noSpace' });
  await expect(tooMuch).rejects.toThrow(/can promise .* GiB more, 11 GiB are asked for/);
});

test('what follows the last colon of an option is the name of the pool', () => {
  expect(parsePoolOption('/data/pool')).toEqual({ path: '/data/pool', name: 'default' });
  expect(parsePoolOption('/data/pool:fast')).toEqual({ path: '/data/pool', name: 'fast' });
  expect(parsePoolOption('/data/a:b/c')).toEqual({ path: '/data/a:b/c', name: 'default' });
  expect(() => parsePoolOption('/data/pool:')).toThrow(/is no name/);
  expect(() => parsePoolOption('/data/pool:a b')).toThrow(/is no name/);
  expect(() => parsePoolOption(':fast')).toThrow(/folder is missing/);
});
