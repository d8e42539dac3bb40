import { expect, test } from '@jest/globals';
import { attachVolume, detachVolume } from '../../../../cluster/apiserver/attachment.ts';
import { claimVolume, unclaimVolume } from '../../../../cluster/apiserver/claims.ts';
import { createVolume } from '../../../../cluster/apiserver/create-volume.ts';
import { deleteVolume } from '../../../../cluster/apiserver/delete-volume.ts';
import { capacityBytes } from '../../../../cluster/apiserver/placement.ts';
import type { Door } from '../../../../core/api/index.ts';
import { GiB, MiB } from '../../../../core/units.ts';
import { refusal } from '../../../fixtures/cluster/problem.ts';
import { SimulatedCluster } from '../../../fixtures/cluster/simulated-cluster.ts';

async function withVolume() {
  const cluster = await SimulatedCluster.started();
  const request = { name: 'data', sizeBytes: 64 * MiB, replicas: 2 };
  await cluster.ask((context, signal) => createVolume(context, request, { signal }));
  return cluster;
}

const claim = (
  cluster: SimulatedCluster,
  node: string,
  door: Door = 'kubernetes',
  readOnly = false,
) => cluster.ask((context) => claimVolume(context, 'data', { node, door, readOnly }));
const unclaim = (cluster: SimulatedCluster, node?: string) =>
  cluster.ask((context) => unclaimVolume(context, 'data', node === undefined ? {} : { node }));
const attach = (cluster: SimulatedCluster, node: string, door: Door) =>
  cluster.ask((context, signal) =>
    attachVolume(context, 'data', { node, door, initiatorNames: ['any'], signal }),
  );
const detach = (cluster: SimulatedCluster, node: string) =>
  cluster.ask((context, signal) => detachVolume(context, 'data', { node, signal }));

test('a claim keeps the volume for one node and one front door', async () => {
  const cluster = await withVolume();
  expect((await claim(cluster, 'a')).claim).toEqual({
    node: 'a',
    door: 'kubernetes',
    readOnly: false,
  });
  await claim(cluster, 'a');
  expect(await refusal(claim(cluster, 'b'))).toMatchObject({
    code: 'inUse',
    holder: 'kubernetes on node a',
  });
  expect(await refusal(claim(cluster, 'a', 'nomad'))).toMatchObject({ code: 'inUse' });
  expect(await refusal(claim(cluster, 'a', 'kubernetes', true))).toMatchObject({ code: 'exists' });
  expect(await refusal(attach(cluster, 'b', 'kubernetes'))).toMatchObject({ code: 'inUse' });
  expect(await refusal(attach(cluster, 'a', 'docker'))).toMatchObject({ code: 'inUse' });
  await attach(cluster, 'a', 'kubernetes');
  await unclaim(cluster, 'b');
  expect(await refusal(attach(cluster, 'a', 'docker'))).toMatchObject({ code: 'inUse' });
});

test('a claim given up leaves an attachment as it is, and frees the volume after it', async () => {
  const cluster = await withVolume();
  await claim(cluster, 'a');
  await attach(cluster, 'a', 'kubernetes');
  await unclaim(cluster, 'a');
  await unclaim(cluster);
  expect(await refusal(claim(cluster, 'b'))).toMatchObject({ code: 'inUse' });
  expect(await refusal(attach(cluster, 'a', 'mesos'))).toMatchObject({
    code: 'inUse',
    detail: expect.stringContaining('used through mesos on node a: it is in use by kubernetes'),
  });
  await detach(cluster, 'a');
  expect((await attach(cluster, 'b', 'mesos')).volume.door).toBe('mesos');
});

test('what is claimed is not deleted, and a claim of what is gone is given up', async () => {
  const cluster = await withVolume();
  await claim(cluster, 'a');
  const remove = () => cluster.ask((context, signal) => deleteVolume(context, 'data', { signal }));
  expect(await refusal(remove())).toMatchObject({ code: 'inUse' });
  await unclaim(cluster);
  expect(await remove()).toBeNull();
  await unclaim(cluster);
  expect(await refusal(claim(cluster, 'a'))).toMatchObject({ code: 'notFound' });
});

test('a node that was never heard claims nothing', async () => {
  const cluster = await withVolume();
  expect(await refusal(claim(cluster, 'nowhere'))).toMatchObject({
    code: 'notFound',
    detail: expect.stringContaining('node nowhere is not known'),
  });
});

test('the capacity told is the largest volume that can be made', async () => {
  const cluster = await withVolume();
  const capacity = (replicas: number) =>
    cluster.ask((context) => capacityBytes(context, { replicas }));
  const sizeBytes = await capacity(2);
  expect(sizeBytes).toBeGreaterThan(GiB);
  const create = (name: string, bytes: number) =>
    cluster.ask((context, signal) =>
      createVolume(context, { name, sizeBytes: bytes, replicas: 2 }, { signal }),
    );
  expect(await refusal(create('more', sizeBytes + 4096))).toMatchObject({ code: 'noSpace' });
  await create('all', sizeBytes);
  expect(await capacity(7)).toBe(0);
  const nowhere = await cluster.ask((context) => capacityBytes(context, { nodes: ['nowhere'] }));
  expect(nowhere).toBe(0);
});

test('replicas lie only where they are asked for, and where they are wished for first', async () => {
  const cluster = await SimulatedCluster.started();
  cluster.node('b').zone = 'east';
  await cluster.simulation.runFor(2_000);
  const create = (name: string, more: object) =>
    cluster.ask((context, signal) =>
      createVolume(context, { name, sizeBytes: 64 * MiB, ...more }, { signal }),
    );
  const nodesOf = ({ members }: { members: { node: string }[] }) => members.map(({ node }) => node);
  expect(nodesOf(await create('east', { zones: ['east'] }))).toEqual(['b']);
  expect(nodesOf(await create('two', { nodes: ['c', 'a'] })).toSorted()).toEqual(['a', 'c']);
  const wished = await create('wished', { replicas: 1, preferredNodes: ['c', 'b'] });
  expect(nodesOf(wished)).toEqual(['c']);
  expect(await refusal(create('east', { zones: ['west'] }))).toMatchObject({ code: 'exists' });
  expect(await refusal(create('west', { zones: ['west'] }))).toMatchObject({
    code: 'unplaceable',
    detail: expect.stringContaining('not among the nodes and zones asked for'),
  });
});
