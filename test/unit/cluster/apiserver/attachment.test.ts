import { describe, expect, test } from '@jest/globals';
import { attachVolume, detachVolume } from '../../../../cluster/apiserver/attachment.ts';
import { createVolume } from '../../../../cluster/apiserver/create-volume.ts';
import { getRecord } from '../../../../cluster/apiserver/record.ts';
import { listVolumes } from '../../../../cluster/apiserver/status.ts';
import { apiError } from '../../../../core/api/index.ts';
import { refusal } from '../../../fixtures/cluster/problem.ts';
import { SimulatedCluster } from '../../../fixtures/cluster/simulated-cluster.ts';

const NAME = 'iqn.1993-08.org.debian:01:a1b2';
const OTHER = 'iqn.2008-11.org.linux-kvm:guest';

async function withVolume(): Promise<SimulatedCluster> {
  const cluster = await SimulatedCluster.started();
  await cluster.ask((context, signal) => createVolume(context, { name: 'data' }, { signal }));
  return cluster;
}

const attach = (cluster: SimulatedCluster, node = 'a', initiatorNames: string[] = [NAME]) =>
  cluster.ask((context, signal) => attachVolume(context, 'data', { node, initiatorNames, signal }));
const detach = (cluster: SimulatedCluster, node = 'a', reference = 'data') =>
  cluster.ask((context, signal) => detachVolume(context, reference, { node, signal }));
const recordOf = (cluster: SimulatedCluster) =>
  cluster.ask((context) => getRecord(context, 'data'));

test('R4: attach writes the attachment, and its target is started on that node', async () => {
  const cluster = await withVolume();
  const { volume, token, portal, iqn } = await attach(cluster);
  expect(iqn).toBe(`iqn.2016-09.com.openebs:${volume.id}`);
  expect(portal).toMatch(/^127\.0\.0\.1:5\d\d\d$/);
  expect(volume.attachment).toEqual({ node: 'a', initiatorNames: [NAME] });
  expect(volume.target).toMatchObject({ node: 'a', state: 'starting', portal, iqn });
  const { record } = await recordOf(cluster);
  expect(record).toMatchObject({
    generation: 2,
    epoch: 0,
    attachment: { token, node: 'a', initiatorNames: [NAME], chapSecret: null },
  });
  await cluster.simulation.runFor(3_000);
  expect(cluster.node('a').targets.get(volume.id)).toEqual({ token, process: 'running' });
  expect(cluster.node('b').targets.size + cluster.node('c').targets.size).toBe(0);
  const [view] = await cluster.ask((context) => listVolumes(context));
  expect(view?.target).toMatchObject({ state: 'serving', reason: '' });
});

test('the same node and names get the same token, and nothing is started twice', async () => {
  const cluster = await withVolume();
  const first = await attach(cluster);
  await cluster.simulation.runFor(5_000);
  expect((await attach(cluster)).token).toBe(first.token);
  await cluster.simulation.runFor(5_000);
  const starts = cluster.node('a').requests.filter((request) => request.startsWith('PUT /v1/targ'));
  expect(starts).toHaveLength(1);
  expect((await recordOf(cluster)).record.generation).toBe(2);
});

test('attaches of one node at once are one attachment', async () => {
  const cluster = await withVolume();
  const answers = await Promise.all(Array.from({ length: 10 }, () => attach(cluster)));
  expect(new Set(answers.map(({ token }) => token)).size).toBe(1);
});

test('of attaches of two nodes at once one gets it', async () => {
  const cluster = await withVolume();
  const outcomes = await Promise.allSettled([attach(cluster, 'a'), attach(cluster, 'b')]);
  expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
});

test('more names on the same node make a new attachment that shuts nobody out', async () => {
  const cluster = await withVolume();
  const first = await attach(cluster, 'a', [NAME]);
  await cluster.simulation.runFor(3_000);
  const second = await attach(cluster, 'a', [OTHER]);
  expect(second.token).not.toBe(first.token);
  expect(second.volume.attachment?.initiatorNames).toEqual([NAME, OTHER]);
  await cluster.simulation.runFor(5_000);
  expect(cluster.node('a').targets.get(first.volume.id)?.token).toBe(second.token);
  expect((await attach(cluster, 'a', [NAME])).token).toBe(second.token);
  const any = await attach(cluster, 'a', ['any']);
  expect(any.volume.attachment?.initiatorNames).toEqual(['*']);
  expect((await attach(cluster, 'a', [OTHER])).token).toBe(any.token);
});

describe('another node', () => {
  test('is told who uses the volume', async () => {
    const cluster = await withVolume();
    const { volume } = await attach(cluster, 'a');
    cluster.node('a').consumers = [
      {
        volumeId: volume.id,
        holders: [{ door: 'docker', id: 'container 4f2a', label: '', paths: [] }],
      },
    ];
    await cluster.simulation.runFor(2_000);
    const problem = await refusal(attach(cluster, 'b'));
    expect(problem.code).toBe('inUse');
    expect(problem.holder).toBe('docker (container 4f2a) on node a');
    expect(problem.detail).toBe(
      'volume "data" cannot be attached to node b: it is in use by docker (container 4f2a) on node a; ' +
        'detach it there first',
    );
    expect(await refusal(detach(cluster, 'b'))).toMatchObject({ code: 'inUse' });
  });

  test('takes over from no lost one, and is told for how long that is silent', async () => {
    const cluster = await withVolume();
    await attach(cluster, 'a');
    cluster.node('a').isUp = false;
    await cluster.simulation.runFor(42_000);
    const problem = await refusal(attach(cluster, 'b'));
    expect(problem.code).toBe('inUse');
    expect(problem.detail).toMatch(
      /in use on node a, which has been silent for 4\d s; .*start its/,
    );
  });

  test('gets it once it was detached', async () => {
    const cluster = await withVolume();
    const first = await attach(cluster, 'a');
    await detach(cluster, 'a');
    const second = await attach(cluster, 'b');
    expect(second.token).not.toBe(first.token);
    expect([second.portal, second.iqn]).toEqual([first.portal, first.iqn]);
    await cluster.simulation.runFor(3_000);
    expect(cluster.node('a').targets.size).toBe(0);
    expect(cluster.node('b').targets.size).toBe(1);
  });
});

describe('detach', () => {
  test('releases the target first, and clears the attachment when that is done', async () => {
    const cluster = await withVolume();
    await attach(cluster);
    await cluster.simulation.runFor(3_000);
    const order: string[] = [];
    cluster.node('a').refuse = ({ method, path }) => {
      if (method === 'DELETE' && path.includes('targets')) order.push('released');
      return null;
    };
    cluster.crashAt = ({ what, when }) => {
      if (what === 'swap volume' && when === 'after') order.push('swapped');
      return false;
    };
    await detach(cluster);
    expect(order).toEqual(['swapped', 'released', 'swapped']);
    const { record } = await recordOf(cluster);
    expect(record).toMatchObject({ generation: 3, attachment: null });
    await cluster.simulation.runFor(5_000);
    expect(cluster.node('a').targets.size).toBe(0);
  });

  test('is idempotent, also for volumes that are gone', async () => {
    const cluster = await withVolume();
    await detach(cluster);
    await attach(cluster);
    await Promise.all([detach(cluster), detach(cluster)]);
    await detach(cluster);
    await detach(cluster, 'a', 'no such volume');
    expect((await recordOf(cluster)).record.generation).toBe(3);
  });

  test('and attach right after it never meets the old target', async () => {
    const cluster = await withVolume();
    for (let round = 0; round < 5; round += 1) {
      const { volume, token } = await attach(cluster);
      await cluster.simulation.runFor(cluster.simulation.random.below(3_000));
      const target = cluster.node('a').targets.get(volume.id);
      if (target !== undefined) expect(target.token).toBe(token);
      await detach(cluster);
      expect(cluster.node('a').targets.size).toBe(0);
    }
    // Late heartbeats that still show an old target stop no new one.
    await attach(cluster);
    const a = cluster.node('a');
    a.requests.length = 0;
    await cluster.simulation.runFor(10_000);
    expect(a.requests.filter((request) => request.startsWith('DELETE'))).toEqual([]);
    expect(a.targets.size).toBe(1);
  });

  test('waits for a target that cannot be released, and goes on when asked again', async () => {
    const cluster = await withVolume();
    await attach(cluster);
    const a = cluster.node('a');
    a.refuse = ({ method }) => (method === 'DELETE' ? apiError('timeout', 'flush') : null);
    const problem = await refusal(detach(cluster));
    expect(problem).toMatchObject({
      code: 'unavailable',
      detail:
        'volume "data" is not detached yet: its target has to be released by node a (flush); ' +
        'detach it again to go on waiting',
    });
    const busy = await refusal(attach(cluster));
    expect(busy).toMatchObject({
      code: 'unavailable',
      detail: expect.stringContaining('detached'),
    });
    a.refuse = () => null;
    await detach(cluster);
    expect((await recordOf(cluster)).record.attachment).toBeNull();
  });

  test('from a lost node is not pretended', async () => {
    const cluster = await withVolume();
    await attach(cluster);
    cluster.node('a').isUp = false;
    await cluster.simulation.runFor(15_000);
    const problem = await refusal(detach(cluster));
    expect(problem).toMatchObject({
      code: 'unavailable',
      detail: expect.stringMatching(
        /node a \(silent for 1\d s\); it goes on when the node is back/,
      ),
    });
    cluster.node('a').isUp = true;
    await cluster.simulation.runFor(5_000);
    expect((await recordOf(cluster)).record.attachment).toBeNull();
  });
});

test.each([
  ['zzz', [NAME], 'notFound', 'node zzz is not known'],
  ['a', ['any', NAME], 'badRequest', 'stands alone'],
  ['a', ['no name'], 'badRequest', 'no iSCSI name'],
  ['a', ['iqn.x\n'], 'badRequest', 'no iSCSI name'],
] as const)('attach to %s for %j is refused', async (node, names, code, said) => {
  const cluster = await withVolume();
  const problem = await refusal(attach(cluster, node, [...names]));
  expect(problem).toMatchObject({ code, detail: expect.stringContaining(said) });
  expect((await recordOf(cluster)).record.attachment).toBeNull();
});

test('a volume that is not ready is not attached', async () => {
  const cluster = await SimulatedCluster.started();
  cluster.node('b').refuse = () => apiError('unavailable', 'busy');
  const creating = cluster.ask((context, signal) =>
    createVolume(context, { name: 'data' }, { signal }),
  );
  await cluster.simulation.runFor(1_000);
  expect(await refusal(attach(cluster))).toMatchObject({
    code: 'unavailable',
    detail: expect.stringContaining('still being made: it waits for node b'),
  });
  cluster.node('b').refuse = () => null;
  await creating;
  expect(
    await refusal(
      cluster.ask((context, signal) =>
        attachVolume(context, 'other', { node: 'a', initiatorNames: [NAME], signal }),
      ),
    ),
  ).toMatchObject({ code: 'notFound' });
});

test('a target that is gone starts again, one of an old attachment is stopped', async () => {
  const cluster = await withVolume();
  const { volume, token } = await attach(cluster);
  await cluster.simulation.runFor(5_000);
  const a = cluster.node('a');
  a.targets.delete(volume.id);
  await cluster.simulation.runFor(5_000);
  expect(a.targets.get(volume.id)?.token).toBe(token);
  a.targets.set(volume.id, { token: 'old', process: 'running' });
  cluster.node('b').targets.set(volume.id, { token, process: 'running' });
  await cluster.simulation.runFor(8_000);
  expect(a.targets.get(volume.id)?.token).toBe(token);
  expect(cluster.node('b').targets.size).toBe(0);
});

test('what an agent has given up is left to it', async () => {
  const cluster = await withVolume();
  const { volume, token } = await attach(cluster);
  await cluster.simulation.runFor(5_000);
  const a = cluster.node('a');
  a.targets.set(volume.id, { token, process: 'failed' });
  for (const folder of a.folders.values()) folder.process = 'failed';
  a.requests.length = 0;
  await cluster.simulation.runFor(60_000);
  expect(a.requests).toEqual([]);
});
