/** The apiserver is killed before and after every change of the store and call of an agent. */
import { describe, expect, test } from '@jest/globals';
import { attachVolume, detachVolume } from '../../../../cluster/apiserver/attachment.ts';
import { createVolume } from '../../../../cluster/apiserver/create-volume.ts';
import { deleteVolume } from '../../../../cluster/apiserver/delete-volume.ts';
import { getRecord } from '../../../../cluster/apiserver/record.ts';
import { listVolumes } from '../../../../cluster/apiserver/status.ts';
import { StoreError } from '../../../../cluster/store/store.ts';
import { apiError } from '../../../../core/api/index.ts';
import { refusal } from '../../../fixtures/cluster/problem.ts';
import { SimulatedCluster } from '../../../fixtures/cluster/simulated-cluster.ts';

const create = (cluster: SimulatedCluster) =>
  cluster.call((context, signal) => createVolume(context, { name: 'data' }, { signal }));
const remove = (cluster: SimulatedCluster) =>
  cluster.call((context, signal) => deleteVolume(context, 'data', { signal }));
const attach = (cluster: SimulatedCluster) =>
  cluster.call((context, signal) =>
    attachVolume(context, 'data', { node: 'a', initiatorNames: ['iqn.2001-04.com.x:y'], signal }),
  );
const detach = (cluster: SimulatedCluster) =>
  cluster.call((context, signal) => detachVolume(context, 'data', { node: 'a', signal }));

type Story = {
  /** What is there before. */
  readonly given: (cluster: SimulatedCluster) => Promise<unknown>;
  /** What the crash interrupts. */
  readonly interrupted: (cluster: SimulatedCluster) => Promise<unknown>;
  /** After the restart, and after the caller asked for the same again. */
  readonly after: (cluster: SimulatedCluster) => Promise<void>;
  /** How many steps there are at least, so that the test cannot pass by doing nothing. */
  readonly stepCountMin: number;
};

async function isWhole(cluster: SimulatedCluster): Promise<void> {
  const views = await cluster.ask((context) => listVolumes(context));
  expect(views.map(({ phase, condition }) => [phase, condition])).toEqual([['ready', 'healthy']]);
  expect(cluster.folders()).toEqual(views[0]?.members.map(({ id }) => id).toSorted());
  expect(cluster.nodes.map((node) => node.folders.size)).toEqual([1, 1, 1]);
}

async function isGone(cluster: SimulatedCluster): Promise<void> {
  expect(cluster.folders()).toEqual([]);
  expect(await cluster.volumes()).toEqual([]);
  expect(cluster.nodes.map((node) => node.targets.size)).toEqual([0, 0, 0]);
}

const full = { refuse: () => apiError('noSpace', 'full') };

const STORIES: Readonly<Record<string, Story>> = {
  create: {
    given: async () => undefined,
    interrupted: create,
    after: async (cluster) => {
      await create(cluster);
      await isWhole(cluster);
    },
    stepCountMin: 16,
  },
  'a create that is undone': {
    given: async (cluster) => {
      cluster.node('b').refuse = ({ method }) => (method === 'PUT' ? full.refuse() : null);
    },
    interrupted: (cluster) => create(cluster).catch(() => 'refused'),
    after: async (cluster) => {
      await cluster.simulation.runFor(5_000);
      await isGone(cluster);
      cluster.node('b').refuse = () => null;
      await create(cluster);
      await isWhole(cluster);
    },
    stepCountMin: 14,
  },
  delete: {
    given: create,
    interrupted: remove,
    after: async (cluster) => {
      expect(await remove(cluster)).toBeNull();
      await isGone(cluster);
    },
    stepCountMin: 14,
  },
  attach: {
    given: create,
    interrupted: async (cluster) => {
      await attach(cluster);
      await cluster.simulation.runFor(3_000);
    },
    after: async (cluster) => {
      const answer = await attach(cluster);
      await cluster.simulation.runFor(5_000);
      const { record } = await cluster.ask((context) => getRecord(context, 'data'));
      expect(record.attachment).toMatchObject({
        node: 'a',
        token: (answer as { token: string }).token,
      });
      expect(record.generation).toBe(2);
      const targets = [...cluster.node('a').targets.values()];
      expect(targets).toEqual([{ token: record.attachment?.token, process: 'running' }]);
    },
    stepCountMin: 4,
  },
  detach: {
    given: async (cluster) => {
      await create(cluster);
      await attach(cluster);
      await cluster.simulation.runFor(3_000);
    },
    interrupted: detach,
    after: async (cluster) => {
      await detach(cluster);
      const { record } = await cluster.ask((context) => getRecord(context, 'data'));
      expect([record.attachment, record.generation]).toEqual([null, 3]);
      await cluster.simulation.runFor(5_000);
      expect(cluster.node('a').targets.size).toBe(0);
      expect(await remove(cluster)).toBeNull();
      await isGone(cluster);
    },
    stepCountMin: 6,
  },
};

/** @returns false when there is no step of that number. */
async function crashedAt(story: Story, stepIndex: number): Promise<boolean> {
  const cluster = await SimulatedCluster.started({ seed: stepIndex });
  await story.given(cluster);
  let seen = 0;
  let hasCrashed = false;
  cluster.crashAt = ({ what }) => {
    if (what.endsWith('node')) return false;
    hasCrashed ||= seen === stepIndex;
    seen += 1;
    return hasCrashed;
  };
  await story.interrupted(cluster);
  if (!hasCrashed) return false;
  cluster.crashAt = () => false;
  await cluster.start();
  await cluster.simulation.runFor(3_000);
  await story.after(cluster);
  return true;
}

describe('a crash at any step is finished or undone after the restart:', () => {
  test.each(Object.entries(STORIES))('%s', async (_name, story) => {
    let stepCount = 0;
    while (await crashedAt(story, stepCount)) stepCount += 1;
    expect(stepCount).toBeGreaterThanOrEqual(story.stepCountMin);
  });
});

test('with the store full changes are refused; with room it goes on', async () => {
  const cluster = await SimulatedCluster.started();
  await create(cluster);
  cluster.storeError = new StoreError({ code: 'full' }, 'the store is full');
  expect(await refusal(attach(cluster))).toMatchObject({
    code: 'unavailable',
    detail: 'the store is full',
  });
  await cluster.simulation.runFor(10_000);
  expect(cluster.lostFor).toBeNull();
  cluster.storeError = null;
  await attach(cluster);
  await cluster.simulation.runFor(5_000);
  expect(cluster.node('a').targets.size).toBe(1);
});

test('with the store lost nothing is ordered, and whoever runs the apiserver is told', async () => {
  const cluster = await SimulatedCluster.started();
  await create(cluster);
  cluster.storeError = new StoreError({ code: 'unavailable' }, 'EIO');
  for (const node of cluster.nodes) node.reboot();
  for (const node of cluster.nodes) node.requests.length = 0;
  await cluster.simulation.runFor(5_000);
  expect(cluster.lostFor).toBe(cluster.storeError);
  expect(cluster.nodes.flatMap((node) => node.requests)).toEqual([]);
});

test('an interrupted create is finished even if nobody asks again', async () => {
  const cluster = await SimulatedCluster.started();
  cluster.crashAt = ({ what, when }) => what === 'PUT replicas' && when === 'after';
  expect(await create(cluster)).toBe('crashed');
  cluster.crashAt = () => false;
  await cluster.start();
  await cluster.simulation.runFor(5_000);
  await isWhole(cluster);
});

test.each([1, 2, 3, 4, 5])(
  'crashes again and again end with everything in its place (seed %d)',
  async (seed) => {
    const cluster = await SimulatedCluster.started({ seed });
    const chance = cluster.simulation.fork('crashes');
    const acts = [create, remove, attach, detach];
    cluster.crashAt = () => chance.below(15) === 0;
    for (let round = 0; round < 25; round += 1) {
      const act = acts[chance.below(acts.length)];
      const outcome = await act?.(cluster).catch((error: unknown) => error);
      if (outcome !== 'crashed') continue;
      cluster.crashAt = () => false;
      await cluster.start();
      await cluster.simulation.runFor(chance.below(2_500));
      cluster.crashAt = () => chance.below(15) === 0;
    }
    cluster.crashAt = () => false;
    await cluster.simulation.runFor(10_000);
    await create(cluster);
    await isWhole(cluster);
    await detach(cluster);
    expect(await remove(cluster)).toBeNull();
    await cluster.simulation.runFor(5_000);
    await isGone(cluster);
  },
);
