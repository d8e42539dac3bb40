import { expect, test } from '@jest/globals';
import { attachVolume, detachVolume } from '../../../../cluster/apiserver/attachment.ts';
import { createVolume } from '../../../../cluster/apiserver/create-volume.ts';
import { deleteVolume } from '../../../../cluster/apiserver/delete-volume.ts';
import { listVolumes, statusOf } from '../../../../cluster/apiserver/status.ts';
import { apiError } from '../../../../core/api/index.ts';
import { refusal } from '../../../fixtures/cluster/problem.ts';
import { SimulatedCluster } from '../../../fixtures/cluster/simulated-cluster.ts';

const create = (cluster: SimulatedCluster, name = 'data') =>
  cluster.ask((context, signal) => createVolume(context, { name }, { signal }));
const remove = (cluster: SimulatedCluster, reference = 'data') =>
  cluster.ask((context, signal) => deleteVolume(context, reference, { signal }));
const attach = (cluster: SimulatedCluster, node = 'a') =>
  cluster.ask((context, signal) =>
    attachVolume(context, 'data', { node, initiatorNames: ['iqn.2001-04.com.example:x'], signal }),
  );

test('a deleted volume leaves no folder, frees its name, and may be deleted again', async () => {
  const cluster = await SimulatedCluster.started();
  const { id } = await create(cluster);
  expect(await remove(cluster)).toBeNull();
  expect(cluster.folders()).toEqual([]);
  expect(await cluster.volumes()).toEqual([]);
  expect(await remove(cluster)).toBeNull();
  expect(await remove(cluster, id)).toBeNull();
  expect(await create(cluster)).toMatchObject({ phase: 'ready' });
});

test('by its id only that volume is deleted, whatever has its name now', async () => {
  const cluster = await SimulatedCluster.started();
  const old = await create(cluster);
  await remove(cluster, old.id);
  const now = await create(cluster);
  expect(await remove(cluster, old.id)).toBeNull();
  expect(cluster.folders()).toEqual(now.members.map(({ id }) => id).toSorted());
});

test('an attached volume is not deleted, and its holder is named', async () => {
  const cluster = await SimulatedCluster.started();
  const { id } = await create(cluster);
  await attach(cluster, 'b');
  expect(await refusal(remove(cluster))).toEqual({
    code: 'inUse',
    detail:
      'volume "data" cannot be deleted: it is in use by mayactl on node b; detach it there first',
    volume: 'data',
    holder: 'mayactl on node b',
  });
  cluster.node('b').consumers = [
    {
      volumeId: id,
      holders: [
        { door: 'docker', id: 'container 4f2a', label: '', paths: [] },
        { door: 'docker', id: 'mayactl', label: '', paths: [] },
      ],
    },
  ];
  await cluster.simulation.runFor(2_000);
  expect(await refusal(remove(cluster))).toMatchObject({
    holder: 'docker (container 4f2a), docker (mayactl) on node b',
  });
  expect(cluster.folders()).toHaveLength(3);
  await cluster.ask((context, signal) => detachVolume(context, 'data', { node: 'b', signal }));
  expect(await remove(cluster)).toBeNull();
  expect(cluster.folders()).toEqual([]);
});

test('with a node away the deletion is promised, and done when it is back', async () => {
  const cluster = await SimulatedCluster.started();
  const { id } = await create(cluster);
  const c = cluster.node('c');
  c.isUp = false;
  await cluster.simulation.runFor(15_000);
  const startedMs = cluster.simulation.nowMs;
  const left = await remove(cluster);
  expect(cluster.simulation.nowMs - startedMs).toBeLessThan(1_000);
  expect(left).toMatchObject({
    id,
    phase: 'deleting',
    condition: 'unknown',
    message: expect.stringMatching(/^is being deleted, waits for node c \(silent for \d+ s\)$/),
  });
  expect(cluster.folders()).toHaveLength(1);
  expect(await remove(cluster)).toMatchObject({ phase: 'deleting' });
  const status = await cluster.ask((context) => statusOf(context));
  expect(status.warnings).toContainEqual(expect.stringContaining('volume data is being deleted'));

  // Not even a restart of the apiserver forgets it.
  cluster.kill();
  await cluster.start();
  expect(await cluster.ask((context) => listVolumes(context))).toHaveLength(1);
  c.isUp = true;
  await cluster.simulation.runFor(5_000);
  expect(cluster.folders()).toEqual([]);
  expect(await cluster.volumes()).toEqual([]);
});

test('a node that is there but cannot delete holds it up no longer than the wait', async () => {
  const cluster = await SimulatedCluster.started();
  await create(cluster);
  cluster.node('b').refuse = () => apiError('unavailable', 'EBUSY');
  const startedMs = cluster.simulation.nowMs;
  const left = await remove(cluster);
  expect(left?.message).toBe('is being deleted, waits for node b (EBUSY)');
  expect(cluster.simulation.nowMs - startedMs).toBeLessThan(101_000);
  cluster.node('b').refuse = () => null;
  await cluster.simulation.runFor(31_000);
  expect(await cluster.volumes()).toEqual([]);
});

test('a target that still runs is stopped before the files go', async () => {
  const cluster = await SimulatedCluster.started();
  const { id } = await create(cluster);
  const a = cluster.node('a');
  a.targets.set(id, { token: 'left over', process: 'running' });
  await cluster.simulation.runFor(1_500);
  a.targets.set(id, { token: 'left over', process: 'running' });
  a.requests.length = 0;
  await remove(cluster);
  await cluster.simulation.runFor(5_000);
  expect(a.targets.size).toBe(0);
  expect(cluster.folders()).toEqual([]);
});

test('deletes at once are one deletion', async () => {
  const cluster = await SimulatedCluster.started();
  await create(cluster);
  const outcomes = await Promise.all(Array.from({ length: 10 }, () => remove(cluster)));
  expect(outcomes.every((left) => left === null)).toBe(true);
  for (const node of cluster.nodes) {
    expect(node.requests.filter((request) => request.startsWith('DELETE'))).toHaveLength(1);
  }
});

test('R7: what shows up of a deleted volume is removed; strangers are left alone', async () => {
  const cluster = await SimulatedCluster.started();
  const { id } = await create(cluster);
  await remove(cluster);
  const a = cluster.node('a');
  const folder = { poolId: a.poolId, sizeBytes: 1, process: 'stopped' as const };
  a.folders.set('restored from a backup', { ...folder, volumeId: id });
  const stranger = '123e4567-e89b-42d3-a456-426614174000';
  a.folders.set('of another cluster', { ...folder, volumeId: stranger });
  await cluster.simulation.runFor(5_000);
  expect(cluster.folders()).toEqual(['of another cluster']);
  const { warnings } = await cluster.ask((context) => statusOf(context));
  expect(warnings).toEqual([
    `nodes have files of volume ${stranger}, which this store does not know: left alone`,
  ]);
});

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'creates and deletes that race leave no half volume (seed %d)',
  async (seed) => {
    const cluster = await SimulatedCluster.started({ seed });
    const work: Promise<unknown>[] = [];
    for (let round = 0; round < 12; round += 1) {
      const isCreate = cluster.simulation.random.below(2) === 0;
      work.push((isCreate ? create(cluster) : remove(cluster)).catch((error: unknown) => error));
      await cluster.simulation.runFor(cluster.simulation.random.below(40));
    }
    await cluster.simulation.finish(Promise.all(work));
    await cluster.simulation.runFor(5_000);
    const [view, ...more] = await cluster.ask((context) => listVolumes(context));
    expect(more).toEqual([]);
    if (view !== undefined) expect(view.phase).toBe('ready');
    const wanted = (view?.members ?? []).map(({ id }) => id).toSorted();
    expect(cluster.folders()).toEqual(wanted);
  },
);
