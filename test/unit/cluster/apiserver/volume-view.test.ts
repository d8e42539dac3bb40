import { describe, expect, test } from '@jest/globals';
import { attachVolume } from '../../../../cluster/apiserver/attachment.ts';
import { createVolume } from '../../../../cluster/apiserver/create-volume.ts';
import { getRecord, putRecord } from '../../../../cluster/apiserver/record.ts';
import { listNodes, listVolumes, statusOf } from '../../../../cluster/apiserver/status.ts';
import {
  type Heartbeat,
  nodeListSchema,
  statusSchema,
  type VolumeView,
  volumeListSchema,
} from '../../../../core/api/index.ts';
import { SimulatedCluster } from '../../../fixtures/cluster/simulated-cluster.ts';

async function withVolume(): Promise<SimulatedCluster> {
  const cluster = await SimulatedCluster.started();
  await cluster.ask((context, signal) => createVolume(context, { name: 'data' }, { signal }));
  await cluster.simulation.runFor(3_000);
  return cluster;
}

async function view(cluster: SimulatedCluster): Promise<VolumeView> {
  const volumes = await cluster.ask((context) => listVolumes(context));
  const [first] = volumeListSchema.parse({ volumes }).volumes;
  if (first === undefined) throw new Error('there is no volume');
  return first;
}

/** The target's swaps: it starts, then says who is in sync. */
async function targetSays(cluster: SimulatedCluster, states: readonly string[]): Promise<void> {
  await cluster.ask((context, signal) =>
    attachVolume(context, 'data', { node: 'a', initiatorNames: ['any'], signal }),
  );
  const actor = { kind: 'target', instance: 'one' } as const;
  for (const step of ['start', 'members']) {
    const { version, record } = await cluster.ask((context) => getRecord(context, 'data'));
    const replicas = record.replicas.map((member, index) => ({ ...member, state: states[index] }));
    const next =
      step === 'start' ? { ...record, epoch: 1, targetInstance: 'one' } : { ...record, replicas };
    const changed = { ...next, generation: record.generation + 1 };
    await cluster.ask((context) => putRecord(context, 'data', { version, record: changed, actor }));
  }
}

function memberNodes(volume: VolumeView): readonly string[] {
  return volume.members.map(({ node }) => node);
}

describe('a volume is', () => {
  test('healthy when all members are in sync and run', async () => {
    const cluster = await withVolume();
    expect(await view(cluster)).toMatchObject({ condition: 'healthy', message: '' });
  });

  test('degraded when a member does not run, and says which and why', async () => {
    const cluster = await withVolume();
    for (const folder of cluster.node('b').folders.values()) folder.process = 'failed';
    await cluster.simulation.runFor(2_000);
    expect(await view(cluster)).toMatchObject({
      condition: 'degraded',
      message: '2 of 3 replicas in sync and running: node b in sync but failed (it crashed)',
    });
    const status = await cluster.ask((context) => statusOf(context));
    expect(statusSchema.parse(status)).toMatchObject({ degraded: ['data'], volumeCount: 1 });
    expect(status.warnings).toEqual([expect.stringContaining('volume data: 2 of 3')]);
  });

  test('degraded when a node is lost', async () => {
    const cluster = await withVolume();
    cluster.node('c').isUp = false;
    await cluster.simulation.runFor(13_000);
    const volume = await view(cluster);
    expect(volume.condition).toBe('degraded');
    expect(volume.message).toMatch(
      /node c in sync but unknown \(its node is lost \(silent for 1\d/,
    );
    expect(volume.members.find(({ node }) => node === 'c')?.process).toBe('unknown');
  });

  test('degraded when the record says so, with the rebuild as its target tells', async () => {
    const cluster = await withVolume();
    await targetSays(cluster, ['inSync', 'rebuilding', 'stale']);
    await cluster.simulation.runFor(3_000);
    const [, second, third] = memberNodes(await view(cluster));
    const [, rebuilding] = (await view(cluster)).members;
    const a = cluster.node('a');
    const heartbeat = a.heartbeat.bind(a);
    a.heartbeat = (): Heartbeat => {
      const plain = heartbeat();
      const members = [
        {
          replicaId: rebuilding?.id ?? '',
          state: 'rebuilding',
          rebuild: { copiedBytes: 40, totalBytes: 100 },
          reason: 'it was away',
        },
      ];
      return { ...plain, targets: plain.targets.map((target) => ({ ...target, members })) };
    };
    await cluster.simulation.runFor(2_000);
    const volume = await view(cluster);
    expect(volume.members[1]).toMatchObject({
      state: 'rebuilding',
      rebuild: { copiedBytes: 40, totalBytes: 100 },
      reason: 'it was away',
    });
    expect(volume.message).toBe(
      `1 of 3 replicas in sync and running: node ${second} rebuilding 40 % (it was away), ` +
        `node ${third} stale`,
    );
  });

  test('faulted when nobody in sync runs', async () => {
    const cluster = await withVolume();
    await targetSays(cluster, ['inSync', 'stale', 'stale']);
    await cluster.simulation.runFor(3_000);
    const [last] = memberNodes(await view(cluster));
    for (const folder of cluster.node(last ?? '').folders.values()) folder.process = 'failed';
    await cluster.simulation.runFor(2_000);
    const volume = await view(cluster);
    expect(volume.condition).toBe('faulted');
    expect(volume.message).toContain(`no replica in sync is running: node ${last} in sync but`);
  });

  test('unknown when no node is heard', async () => {
    const cluster = await withVolume();
    for (const node of cluster.nodes) node.isUp = false;
    await cluster.simulation.runFor(15_000);
    expect(await view(cluster)).toMatchObject({ condition: 'unknown' });
  });
});

test('the target is unknown when its node is lost', async () => {
  const cluster = await withVolume();
  await cluster.ask((context, signal) =>
    attachVolume(context, 'data', { node: 'a', initiatorNames: ['any'], signal }),
  );
  await cluster.simulation.runFor(3_000);
  expect((await view(cluster)).target).toMatchObject({ state: 'serving' });
  cluster.node('a').isUp = false;
  await cluster.simulation.runFor(12_000);
  expect((await view(cluster)).target).toMatchObject({
    state: 'unknown',
    reason: expect.stringContaining('its node is lost'),
  });
});

test('consumers come from the nodes that have them', async () => {
  const cluster = await withVolume();
  const { id } = await view(cluster);
  cluster.node('a').consumers = [
    {
      volumeId: id,
      holders: [
        { door: 'docker', id: 'x', label: '', paths: [] },
        { door: 'docker', id: 'y', label: '', paths: [] },
      ],
    },
  ];
  cluster.node('b').consumers = [
    { volumeId: 'another', holders: [{ door: 'docker', id: 'z', label: '', paths: [] }] },
  ];
  await cluster.simulation.runFor(2_000);
  expect((await view(cluster)).consumers).toEqual([
    { node: 'a', door: 'docker', id: 'x', label: '', paths: [] },
    { node: 'a', door: 'docker', id: 'y', label: '', paths: [] },
  ]);
});

test('no token and no secret is in any list, view or status', async () => {
  const cluster = await withVolume();
  const { token } = await cluster.ask((context, signal) =>
    attachVolume(context, 'data', { node: 'a', initiatorNames: ['any'], signal }),
  );
  await cluster.simulation.runFor(3_000);
  const [replicaToken = ''] = (await cluster.volumes()).map(
    ({ value }) => (value as { replicaToken: string }).replicaToken,
  );
  expect(replicaToken).toMatch(/^[0-9a-f]{64}$/);
  const said = JSON.stringify([
    await cluster.ask((context) => listVolumes(context)),
    await cluster.ask((context) => statusOf(context)),
    listNodes(cluster.context),
  ]);
  expect(said).toContain('"a"');
  expect(said).not.toContain(token);
  expect(said).not.toContain(replicaToken);
});

test('nodes are known after a restart, as lost until they are heard', async () => {
  const cluster = await withVolume();
  const before = nodeListSchema.parse({ nodes: listNodes(cluster.context) }).nodes;
  expect(before.map(({ name, state, replicaCount }) => [name, state, replicaCount])).toEqual([
    ['a', 'online', 1],
    ['b', 'online', 1],
    ['c', 'online', 1],
  ]);
  cluster.node('c').isUp = false;
  await cluster.simulation.runFor(30_000);
  cluster.kill();
  await cluster.start();
  const restarted = listNodes(cluster.context);
  expect(restarted.map(({ state }) => state)).toEqual(['lost', 'lost', 'lost']);
  await cluster.simulation.runFor(2_000);
  const after = listNodes(cluster.context);
  expect(after.map(({ state }) => state)).toEqual(['online', 'online', 'lost']);
  const lastSeen = new Date(after[2]?.lastSeenAt ?? '').getTime();
  expect(lastSeen).toBeLessThan(new Date(after[1]?.lastSeenAt ?? '').getTime() - 30_000);
});
