import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { type PutReplica, Replicas } from '../../../../agent/instances/replicas.ts';
import { Pools } from '../../../../agent/pools/pools.ts';
import { JsonFolder } from '../../../../agent/state/json-folder.ts';
import { replicaSpecSchema } from '../../../../agent/state/schemas.ts';
import { GiB, MiB } from '../../../../core/units.ts';
import { failed, ok } from '../../../fixtures/agent/fake-machine.ts';
import { eventually, instanceRig } from '../../../fixtures/agent/instance-rig.ts';
import { settle } from '../../../fixtures/manual-clock.ts';

const REPLICA = '00000000-0000-4000-8000-00000000000a';
const VOLUME = '00000000-0000-4000-8000-000000000001';
const OTHER = '00000000-0000-4000-8000-000000000002';

async function rig() {
  const base = instanceRig();
  const { paths, files, dependencies, machine, admin } = base;
  const poolPath = '/pool';
  const state: { known: { path: string; poolId: string }[] } = { known: [] };
  const pools = new Pools(
    { node: 'node-1', pools: [{ path: poolPath, name: 'default' }], keepBytes: 0, bootId: 'b' },
    {
      files,
      random: dependencies.random,
      system: machine,
      known: () => state.known,
      saveKnown: async (known) => {
        state.known = known;
      },
    },
  );
  await pools.open();
  const replicaFolder = join(poolPath, 'replicas', REPLICA);
  // The part of the replica program that the agent relies on: a folder with an identity.
  machine.override = (line) => {
    if (line[2] !== 'create') return null;
    creations.push(line[4] ?? '');
    return ok();
  };
  const creations: string[] = [];
  const makeFolder = (volumeId = VOLUME) => {
    files.write(join(replicaFolder, 'identity.json'), JSON.stringify({ volumeId }));
    files.write(join(replicaFolder, 'data'), 'x'.repeat(8192));
  };
  const realRun = machine.run.bind(machine);
  machine.run = async (line) => {
    const result = await realRun(line);
    if (line[2] === 'create' && result.exitCode === 0) makeFolder();
    return result;
  };
  admin.peer(`unix:${paths.replicaAdminSocket(REPLICA)}`, () => ({
    status: 200,
    body: { state: 'serving' },
  }));
  const open = async () => {
    const options = { folder: paths.instances, prefix: 'replica-', schema: replicaSpecSchema };
    const specs = await JsonFolder.open(files, options);
    return { specs, replicas: new Replicas({ ...dependencies, specs, pools }) };
  };
  const order: PutReplica = {
    volumeId: VOLUME,
    incarnation: OTHER,
    sizeBytes: 64 * MiB,
    blockSizeBytes: 512,
    poolId: state.known[0]?.poolId ?? '',
    token: 'a secret of 16 and more',
    mint: true,
    record: { epoch: 0 },
  };
  return { ...base, pools, poolPath, replicaFolder, makeFolder, creations, open, order };
}

test('a new replica is minted once and run; asking again changes nothing', async () => {
  const { open, order, creations, processes, paths, files } = await rig();
  const { replicas } = await open();
  const address = `unix:${paths.replicaSocket(REPLICA)}`;
  expect(await replicas.put(REPLICA, order)).toEqual({ address });
  expect(await replicas.put(REPLICA, { ...order, mint: false })).toEqual({ address });
  expect(creations.length).toBe(1);
  expect(processes.all.map(({ argv }) => argv)).toEqual([
    ['maya', 'replica', 'serve', '--config', paths.config('replica', REPLICA)],
  ]);
  const config = files.json(paths.config('replica', REPLICA));
  expect(config).toMatchObject({ replicaId: REPLICA, addresses: [address], token: order.token });
  expect(await replicas.report()).toMatchObject([{ process: 'running', reason: '', address }]);
});

test('a replica that should be there and is not is never made again', async () => {
  const { open, order, creations, files, replicaFolder, processes } = await rig();
  const { replicas } = await open();
  const missing = replicas.put(REPLICA, { ...order, mint: false });
  await expect(missing).rejects.toMatchObject({ code: 'dataLoss' });
  expect(creations).toEqual([]);
  expect(await replicas.report()).toEqual([]);
  await replicas.put(REPLICA, order);
  await replicas.stopAll();
  await files.remove(replicaFolder);
  const again = await open();
  await expect(again.replicas.put(REPLICA, order)).rejects.toThrow(/its folder is not in the pool/);
  expect(creations.length).toBe(1);
  expect(processes.living).toEqual([]);
  await again.replicas.abandon();
});

test('a folder that is there is taken up by an agent that lost its own state', async () => {
  const { open, order, creations, makeFolder, processes } = await rig();
  makeFolder();
  const { replicas } = await open();
  await replicas.put(REPLICA, { ...order, mint: false });
  expect(creations).toEqual([]);
  expect(processes.living.length).toBe(1);
});

test('the folder of another volume is neither used nor removed', async () => {
  const { open, order, makeFolder, replicaFolder, files } = await rig();
  makeFolder(OTHER);
  const { replicas } = await open();
  await expect(replicas.put(REPLICA, order)).rejects.toMatchObject({ code: 'conflict' });
  await expect(replicas.remove(REPLICA, VOLUME)).rejects.toMatchObject({ code: 'conflict' });
  expect(await files.list(replicaFolder)).toContain('data');
});

test('a folder without a valid identity is nobody: it is neither used nor removed', async () => {
  const { open, order, makeFolder, replicaFolder, files } = await rig();
  makeFolder();
  files.write(join(replicaFolder, 'identity.json'), '{"volu');
  const { replicas } = await open();
  await expect(replicas.put(REPLICA, order)).rejects.toMatchObject({ code: 'dataLoss' });
  await expect(replicas.remove(REPLICA, VOLUME)).rejects.toMatchObject({ code: 'dataLoss' });
  expect(await files.list(replicaFolder)).toContain('data');
});

test('a creation that fails leaves no promise of room and no process', async () => {
  const { open, order, machine, processes } = await rig();
  machine.override = (line) =>
    line[2] === 'create' ? failed(1, '{"event":"fatal","detail":"read-only file system"}') : null;
  const { replicas } = await open();
  await expect(replicas.put(REPLICA, order)).rejects.toThrow(/was not made: read-only file system/);
  expect(await replicas.reservations()).toEqual([]);
  expect(processes.all).toEqual([]);
});

test('a folder half made in a crash goes, and the replica is made anew', async () => {
  const { open, order, replicaFolder, creations, files } = await rig();
  const { specs, replicas } = await open();
  const { mint: _mint, record: _record, ...identity } = order;
  await specs.put(REPLICA, { replicaId: REPLICA, ...identity, isMade: false, process: null });
  files.write(join(replicaFolder, 'half'), '');
  await replicas.put(REPLICA, order);
  expect(creations.length).toBe(1);
  expect(await files.list(replicaFolder)).not.toContain('half');
});

test('more than the pool can promise is refused before anything is made', async () => {
  const { open, order, creations } = await rig();
  const { replicas } = await open();
  const huge = replicas.put(REPLICA, { ...order, sizeBytes: 2 ** 50 });
  await expect(huge).rejects.toMatchObject({ code: 'noSpace' });
  expect(creations).toEqual([]);
});

test('other facts for the same replica are a conflict, a new token a restart', async () => {
  const { open, order, processes } = await rig();
  const { replicas } = await open();
  await replicas.put(REPLICA, order);
  for (const change of [{ volumeId: OTHER }, { incarnation: VOLUME }, { sizeBytes: GiB }]) {
    const other = replicas.put(REPLICA, { ...order, ...change });
    await expect(other).rejects.toMatchObject({ code: 'conflict' });
  }
  expect(processes.all.length).toBe(1);
  await replicas.put(REPLICA, { ...order, token: 'another secret of 16' });
  expect(processes.all.length).toBe(2);
  expect(processes.living.length).toBe(1);
});

test('a removal stops the process first, takes every file, and may be repeated', async () => {
  const { open, order, processes, poolPath, paths, files } = await rig();
  const { replicas } = await open();
  await replicas.put(REPLICA, order);
  await replicas.remove(REPLICA, VOLUME);
  await replicas.remove(REPLICA, VOLUME);
  expect(processes.living).toEqual([]);
  expect(await files.list(join(poolPath, 'replicas'))).toEqual([]);
  expect(await files.list(paths.instances)).toEqual([]);
  expect(await replicas.report()).toEqual([]);
});

test('a removal cut short by a crash is finished by the next', async () => {
  const { open, order, poolPath, replicaFolder, files } = await rig();
  const { replicas } = await open();
  await replicas.put(REPLICA, order);
  const doomed = join(dirname(replicaFolder), `.deleting-${REPLICA}`);
  await files.rename(replicaFolder, doomed);
  await replicas.remove(REPLICA, VOLUME);
  expect(await files.list(join(poolPath, 'replicas'))).toEqual([]);
});

test('nothing is removed from a pool that cannot be looked at', async () => {
  const { open, order, poolPath, replicaFolder, files, processes } = await rig();
  const { replicas } = await open();
  await replicas.put(REPLICA, order);
  await files.rename(join(poolPath, 'pool.json'), '/pool.json');
  await expect(replicas.remove(REPLICA, VOLUME)).rejects.toMatchObject({ code: 'unavailable' });
  expect(await files.list(replicaFolder)).toContain('data');
  expect(processes.living.length).toBe(1);
});

test('a restarted agent takes running replicas over and starts the others', async () => {
  const { open, order, processes } = await rig();
  const first = await open();
  await first.replicas.put(REPLICA, order);
  await first.replicas.abandon();
  const second = await open();
  await second.replicas.recover();
  expect(await second.replicas.put(REPLICA, order)).toBeDefined();
  expect(processes.all.length).toBe(1);
  await second.replicas.abandon();
  processes.living[0]?.end();
  const third = await open();
  await third.replicas.recover();
  await third.replicas.put(REPLICA, order);
  expect(processes.living.length).toBe(1);
  expect(processes.all.length).toBe(2);
});

test('a replica that is being made while all are stopped is stopped as well', async () => {
  const { open, order, processes, creations, machine } = await rig();
  const { replicas } = await open();
  const goOn = Promise.withResolvers<void>();
  const run = machine.run.bind(machine);
  machine.run = async (line) => {
    const result = await run(line);
    await goOn.promise;
    return result;
  };
  const making = replicas.put(REPLICA, order);
  await eventually(() => creations.length === 1);
  const stopped = replicas.stopAll();
  await settle();
  goOn.resolve();
  await Promise.all([making, stopped]);
  await settle();
  expect(processes.all.length).toBe(1);
  expect(processes.living).toEqual([]);
});

test('a shutdown that is called off starts the replicas again', async () => {
  const { open, order, processes } = await rig();
  const { replicas } = await open();
  await replicas.put(REPLICA, order);
  await replicas.stopAll();
  expect(processes.living).toEqual([]);
  await expect(replicas.put(REPLICA, order)).rejects.toThrow(/shutting down/);
  await replicas.resume();
  await eventually(() => processes.living.length === 1);
  await replicas.put(REPLICA, order);
  expect(processes.all.length).toBe(2);
  await replicas.stopAll();
});

test('what a replica takes of the disk is told, and why it is of no use', async () => {
  const { open, order, admin, paths } = await rig();
  const { replicas } = await open();
  admin.peer(`unix:${paths.replicaAdminSocket(REPLICA)}`, () => ({
    status: 200,
    body: { state: 'lost', detail: 'its promise is older than its membership' },
  }));
  await replicas.put(REPLICA, order);
  const [report] = await replicas.report();
  expect(report?.reason).toBe('its promise is older than its membership');
  expect(report?.allocatedBytes).toBeGreaterThanOrEqual(8192);
});
