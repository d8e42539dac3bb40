/** Paths that a publish must not take, and an unpublish must leave as they are. */
import { describe, expect, test } from '@jest/globals';
import type { Publish } from '../../../../core/api/index.ts';
import { FakeNode } from '../../../fixtures/agent/attach-rig.ts';

const STAGING = '/kubelet/globalmount';
const TARGET = '/kubelet/pods/one/mount';
const OTHER_ID = '11111111-2222-4333-8444-555555555555';

const publish = (more: Partial<Publish> = {}): Publish => ({
  stagingPath: STAGING,
  targetPath: TARGET,
  as: 'mount',
  ...more,
});

async function staged({ readOnly = false } = {}) {
  const node = new FakeNode();
  const agent = await node.agent();
  const stage = { stagingPath: STAGING, door: 'kubernetes', as: 'mount', readOnly } as const;
  await agent.attachments.stage('data', stage);
  return { node, ...agent };
}

/** As `staged`, with a second volume `other` that is staged like the first. */
async function twoStaged() {
  const agent = await staged();
  const { node, store } = agent;
  const first = store.get(node.cluster.volumeId);
  if (first === null) throw new Error('the volume is not attached');
  const mountpoint = node.paths.mountpoint(OTHER_ID);
  const device = '/dev/other';
  node.attacher.attached.set(OTHER_ID, device);
  node.machine.mounts.push({ source: device, point: mountpoint, options: 'rw', number: '7:9' });
  const names = { volumeId: OTHER_ID, volumeName: 'other' };
  await store.put(OTHER_ID, { ...first, ...names, device, mountpoint });
  return agent;
}

const places = (node: FakeNode) => node.machine.mounts.map(({ point }) => point);

describe('the agent’s own folder', () => {
  test.each([
    ['its own mount point', (node: FakeNode) => node.mountpoint],
    ['that of another volume', (node: FakeNode) => node.paths.mountpoint(OTHER_ID)],
    ['the folder itself', (node: FakeNode) => node.paths.root],
  ])('is no place to publish on: %s', async (_what, pathOf) => {
    const { node, publications } = await staged();
    const onOwn = publications.publish('data', publish({ targetPath: pathOf(node) }));
    await expect(onOwn).rejects.toMatchObject({ code: 'badRequest' });
    expect(places(node)).toEqual([node.mountpoint]);
    expect([...node.places.kinds]).toEqual([]);
  });

  test('loses no mount to an unpublish', async () => {
    const { node, publications } = await staged();
    await publications.unpublish('data', { targetPath: node.mountpoint });
    expect(places(node)).toEqual([node.mountpoint]);
  });
});

describe('an unpublish of a path that nothing is known of', () => {
  test.each(['emptyFolder', 'emptyFile'] as const)('leaves an %s there', async (kind) => {
    const { node, publications } = await staged();
    node.places.kinds.set('/srv/empty', kind);
    for (const volume of ['data', 'no-such-volume']) {
      await publications.unpublish(volume, { targetPath: '/srv/empty' });
    }
    expect(node.places.kinds.get('/srv/empty')).toBe(kind);
  });

  test('leaves the mount of another volume there', async () => {
    const { node, publications } = await twoStaged();
    node.machine.mounts.push({ source: '/dev/other', point: TARGET, options: '', number: '7:9' });
    const foreign = publications.unpublish('data', { targetPath: TARGET });
    await expect(foreign).rejects.toMatchObject({ code: 'inUse' });
    expect(places(node)).toContain(TARGET);
    await publications.unpublish('other', { targetPath: TARGET });
    expect(places(node)).not.toContain(TARGET);
  });

  test('comes after a publish there that is still under way', async () => {
    const { node, publications } = await staged();
    await Promise.all([
      publications.publish('data', publish()),
      publications.unpublish('data', { targetPath: TARGET }),
    ]);
    expect(places(node)).toEqual([node.mountpoint]);
    expect(await node.agent().then(({ store }) => store.values()[0]?.published)).toEqual([]);
  });
});

test('of two volumes published on one place at a time one is there, and the other refused', async () => {
  const { node, publications } = await twoStaged();
  const before = places(node);
  const outcomes = await Promise.allSettled(
    ['data', 'other'].map((volume) => publications.publish(volume, publish())),
  );
  const refused = outcomes.filter(({ status }) => status === 'rejected');
  expect(refused).toEqual([
    { status: 'rejected', reason: expect.objectContaining({ code: 'inUse' }) },
  ]);
  expect(places(node)).toEqual([...before, TARGET]);
});

test('a link on the way that was changed does not make the agent forget what it mounted', async () => {
  const { node, publications } = await staged();
  let real = '/disks/one';
  node.machine.realPath = async (path) => (path === '/link' ? real : path);
  const throughLink = publish({ targetPath: '/link/data' });
  await publications.publish('data', throughLink);
  real = '/disks/two';
  await expect(publications.publish('data', throughLink)).rejects.toMatchObject({
    code: 'exists',
    message: expect.stringContaining('/disks/one/data'),
  });
  await publications.unpublish('data', { targetPath: '/link/data' });
  expect(places(node)).toEqual([node.mountpoint]);
});

test('what is staged read-only is not published as if it could be written', async () => {
  const { node, publications } = await staged({ readOnly: true });
  await expect(publications.publish('data', publish())).rejects.toMatchObject({
    code: 'badRequest',
    message: expect.stringContaining('staged read-only'),
  });
  await publications.publish('data', publish({ readOnly: true }));
  expect(places(node)).toEqual([node.mountpoint, TARGET]);
});

test.each(['ENOENT', 'ENAMETOOLONG'])(
  'a path on which nothing can be made (%s) is refused, and nothing stays of it',
  async (code) => {
    const { node, publications, store } = await staged();
    node.places.make = async () => {
      throw Object.assign(new Error(`${code}: mkdir`), { code });
    };
    const refused = publications.publish('data', publish());
    await expect(refused).rejects.toMatchObject({ code: 'badRequest' });
    expect(store.get(node.cluster.volumeId)?.published).toEqual([]);
  },
);

test('nothing is bound when the volume cannot be mounted again', async () => {
  const { node, publications, known } = await staged();
  await known.forget('data');
  node.machine.mounts = [];
  const unmounted = publications.publish('data', publish());
  await expect(unmounted).rejects.toMatchObject({ code: 'unavailable' });
  expect(places(node)).toEqual([]);
});
