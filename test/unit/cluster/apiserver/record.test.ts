import { expect, test } from '@jest/globals';
import { attachVolume } from '../../../../cluster/apiserver/attachment.ts';
import { createVolume } from '../../../../cluster/apiserver/create-volume.ts';
import { getRecord, putRecord } from '../../../../cluster/apiserver/record.ts';
import { apiError } from '../../../../core/api/index.ts';
import type { VolumeRecord } from '../../../../core/volume/record.ts';
import type { SwapActor } from '../../../../core/volume/swap.ts';
import { refusal } from '../../../fixtures/cluster/problem.ts';
import { SimulatedCluster } from '../../../fixtures/cluster/simulated-cluster.ts';

const INITIATORS = ['iqn.2001-04.com.example:x'];
const TARGET: SwapActor = { kind: 'target', instance: 'one' };

async function attached(): Promise<SimulatedCluster> {
  const cluster = await SimulatedCluster.started();
  await cluster.ask((context, signal) => createVolume(context, { name: 'data' }, { signal }));
  await cluster.ask((context, signal) =>
    attachVolume(context, 'data', { node: 'a', initiatorNames: INITIATORS, signal }),
  );
  return cluster;
}

const read = (cluster: SimulatedCluster) => cluster.ask((context) => getRecord(context, 'data'));
const swap = (
  cluster: SimulatedCluster,
  version: number,
  record: unknown,
  actor: SwapActor = TARGET,
) => cluster.ask((context) => putRecord(context, 'data', { version, record, actor }));

function started(record: VolumeRecord, instance: string): VolumeRecord {
  const { epoch, generation } = record;
  return { ...record, epoch: epoch + 1, generation: generation + 1, targetInstance: instance };
}

test('R1, R2: a target starts by a swap on the version that it has read', async () => {
  const cluster = await attached();
  const { version, record, addresses, revision } = await read(cluster);
  expect(Object.keys(addresses).toSorted()).toEqual(record.replicas.map(({ id }) => id).toSorted());
  expect(Object.values(addresses).every((address) => address.endsWith('.sock'))).toBe(true);
  expect(revision).toBeGreaterThanOrEqual(version);
  const next = started(record, 'one');
  const swapped = await swap(cluster, version, next);
  expect(swapped).toBeGreaterThan(version);
  expect(await read(cluster)).toMatchObject({ version: swapped, record: next });
});

test('R2: of two targets that start at once one gets the record, the other sees who', async () => {
  const cluster = await attached();
  const { version, record } = await read(cluster);
  const outcomes = await Promise.allSettled([
    swap(cluster, version, started(record, 'one')),
    swap(cluster, version, started(record, 'two'), { kind: 'target', instance: 'two' }),
  ]);
  expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  const now = await read(cluster);
  expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
    reason: {
      data: { code: 'conflict', current: { version: now.version, record: now.record } },
    },
  });
});

test('R1: a swap on an old version changes nothing, even sent again', async () => {
  const cluster = await attached();
  const first = await read(cluster);
  await swap(cluster, first.version, started(first.record, 'one'));
  const problem = await refusal(swap(cluster, first.version, started(first.record, 'one')));
  const now = await read(cluster);
  expect(problem).toMatchObject({
    code: 'conflict',
    volume: 'data',
    current: { version: now.version, record: { targetInstance: 'one' } },
  });
});

test.each<[string, (record: VolumeRecord) => unknown, SwapActor, string]>([
  ['another instance', (r) => started(r, 'two'), TARGET, 'own instance id'],
  ['a target that attaches', (r) => ({ ...started(r, 'one'), attachment: null }), TARGET, 'attach'],
  [
    'an emptied inSync',
    (r) => ({
      ...started(r, 'one'),
      replicas: r.replicas.map((member) => ({ ...member, state: 'stale' })),
    }),
    TARGET,
    'never emptied',
  ],
  [
    'an agent that starts a target',
    (r) => started(r, 'one'),
    { kind: 'agent' },
    'not its to change',
  ],
  ['a skipped generation', (r) => ({ ...started(r, 'one'), generation: 9 }), TARGET, 'by one'],
])('%s is forbidden', async (_who, change, actor, said) => {
  const cluster = await attached();
  const { version, record } = await read(cluster);
  const problem = await refusal(swap(cluster, version, change(record), actor));
  expect(problem).toMatchObject({ code: 'forbidden', detail: expect.stringContaining(said) });
  expect((await read(cluster)).record).toEqual(record);
});

test.each<[string, unknown]>([
  ['no record', undefined],
  ['a list', []],
  ['a newer format', { formatVersion: 2 }],
  ['a text', 'record'],
])('%s is a bad request', async (_what, record) => {
  const cluster = await attached();
  const { version } = await read(cluster);
  const problem = await refusal(swap(cluster, version, record));
  expect(problem).toMatchObject({ code: 'badRequest', detail: expect.stringContaining('data') });
});

test('the agent commits the file system before and after it is made', async () => {
  const cluster = await attached();
  const { version, record } = await read(cluster);
  const formatting = {
    ...record,
    generation: record.generation + 1,
    fileSystem: { ...record.fileSystem, state: 'formatting' },
  };
  await swap(cluster, version, formatting, { kind: 'agent' });
  expect((await read(cluster)).record.fileSystem.state).toBe('formatting');
});

test('there is no record before the volume is ready', async () => {
  const cluster = await SimulatedCluster.started();
  cluster.node('b').refuse = () => apiError('unavailable', 'busy');
  const creating = cluster.ask((context, signal) =>
    createVolume(context, { name: 'data' }, { signal }),
  );
  await cluster.simulation.runFor(1_000);
  expect(await refusal(read(cluster))).toMatchObject({ code: 'unavailable' });
  cluster.node('b').refuse = () => null;
  await creating;
  expect((await read(cluster)).record.generation).toBe(1);
});

test('addresses are known before the first heartbeat, also after a restart', async () => {
  const cluster = await SimulatedCluster.started();
  await cluster.ask((context, signal) => createVolume(context, { name: 'data' }, { signal }));
  expect(Object.keys((await read(cluster)).addresses)).toHaveLength(3);
  await cluster.simulation.runFor(3_000);
  for (const node of cluster.nodes) node.isUp = false;
  cluster.kill();
  await cluster.start();
  expect(Object.keys((await read(cluster)).addresses)).toHaveLength(3);
});
