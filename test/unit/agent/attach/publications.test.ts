import { describe, expect, test } from '@jest/globals';
import type { Publish, Stage } from '../../../../core/api/index.ts';
import { FakeNode, idsHere } from '../../../fixtures/agent/attach-rig.ts';
import { failed } from '../../../fixtures/agent/fake-machine.ts';
import { Life } from '../../../fixtures/agent/mortal.ts';

const STAGING = '/kubelet/globalmount';
const TARGET = '/kubelet/pods/one/mount';

const stage = (more: Partial<Stage> = {}): Stage => ({
  stagingPath: STAGING,
  door: 'kubernetes',
  as: 'mount',
  ...more,
});
const publish = (more: Partial<Publish> = {}): Publish => ({
  stagingPath: STAGING,
  targetPath: TARGET,
  as: 'mount',
  ...more,
});

async function staged(node = new FakeNode(), more: Partial<Stage> = {}) {
  const agent = await node.agent();
  await agent.attachments.stage('data', stage(more));
  return { node, ...agent };
}

const lastBlockdev = (node: FakeNode) =>
  node.machine.ran.findLast((line) => line.startsWith('blockdev --set'));

const places = (node: FakeNode) => node.machine.mounts.map(({ point }) => point);

test('a volume is mounted once and shown wherever it is published', async () => {
  const { node, attachments, publications } = await staged();
  await publications.publish('data', publish({ label: 'pod default/web' }));
  await publications.publish('data', publish({ targetPath: '/kubelet/pods/two', readOnly: true }));
  expect(places(node)).toEqual([node.mountpoint, TARGET, '/kubelet/pods/two']);
  expect(node.machine.ran).toContain('mount -o remount,bind,ro /kubelet/pods/two');
  expect(attachments.local(node.cluster.volumeId).holders).toEqual([
    {
      node: 'node-1',
      door: 'kubernetes',
      id: STAGING,
      label: 'pod default/web',
      paths: [TARGET, '/kubelet/pods/two'],
    },
  ]);
  await publications.unpublish('data', { targetPath: TARGET });
  await publications.unpublish('data', { targetPath: '/kubelet/pods/two' });
  await attachments.detach('data', { consumer: STAGING });
  expect(node.leftovers()).toEqual([]);
});

test('every call may come twice, and unpublish and unstage also for what never was', async () => {
  const { node, attachments, publications } = await staged();
  await attachments.stage('data', stage());
  await publications.publish('data', publish());
  await publications.publish('data', publish());
  expect(places(node)).toEqual([node.mountpoint, TARGET]);
  for (let count = 0; count < 2; count += 1) {
    await publications.unpublish('data', { targetPath: TARGET });
    await publications.unpublish('data', { targetPath: '/never/seen' });
  }
  for (let count = 0; count < 2; count += 1) {
    await attachments.detach('data', { consumer: STAGING });
  }
  expect(node.leftovers()).toEqual([]);
});

describe('is refused', () => {
  test('a publish of what is not staged', async () => {
    const { publications } = await staged();
    const elsewhere = publish({ stagingPath: '/elsewhere' });
    await expect(publications.publish('data', elsewhere)).rejects.toMatchObject({
      code: 'notStaged',
    });
  });

  test('another publish on the same path, and nothing has changed', async () => {
    const { node, publications } = await staged();
    await publications.publish('data', publish());
    const other = publications.publish('data', publish({ readOnly: true }));
    await expect(other).rejects.toMatchObject({ code: 'exists' });
    expect(node.machine.ran.filter((line) => line.includes('remount,bind'))).toEqual([]);
  });

  test('a path with something on it or in it', async () => {
    const { node, publications } = await staged();
    node.places.kinds.set(TARGET, 'fullFolder');
    await expect(publications.publish('data', publish())).rejects.toMatchObject({
      code: 'badRequest',
      message: expect.stringContaining('would be hidden'),
    });
    node.places.kinds.set(TARGET, 'emptyFolder');
    node.machine.mounts.push({ source: '/dev/sda', point: TARGET, options: 'rw', number: '8:0' });
    await expect(publications.publish('data', publish())).rejects.toMatchObject({ code: 'inUse' });
    await expect(publications.unpublish('data', { targetPath: TARGET })).rejects.toMatchObject({
      code: 'inUse',
    });
    expect(places(node)).toEqual([node.mountpoint, TARGET]);
    expect(node.places.kinds.get(TARGET)).toBe('emptyFolder');
  });

  test('and leaves no reference behind, and everything that was the caller’s', async () => {
    const { node, attachments, publications } = await staged();
    node.machine.mounts.push({ source: '/dev/sda', point: TARGET, options: 'rw', number: '8:0' });
    await expect(publications.publish('data', publish())).rejects.toMatchObject({ code: 'inUse' });
    node.machine.mounts.pop();
    for (const kind of ['emptyFile', 'fullFolder'] as const) {
      node.places.kinds.set(TARGET, kind);
      const refused = publications.publish('data', publish());
      await expect(refused).rejects.toMatchObject({ code: 'badRequest' });
      expect(node.places.kinds.get(TARGET)).toBe(kind);
    }
    node.places.kinds.set(TARGET, 'emptyFolder');
    node.machine.override = ([program, word]) =>
      program === 'mount' && word === '--bind' ? failed(32, 'no') : null;
    const failing = publications.publish('data', publish());
    await expect(failing).rejects.toMatchObject({ code: 'internal' });
    expect(node.places.kinds.get(TARGET)).toBe('emptyFolder');
    await attachments.detach('data', { consumer: STAGING });
    expect(places(node)).toEqual([]);
  });

  test('an unstage of what is still published, with the paths', async () => {
    const { attachments, publications } = await staged();
    await publications.publish('data', publish());
    const leaving = attachments.detach('data', { consumer: STAGING });
    await expect(leaving).rejects.toMatchObject({ code: 'inUse', data: { holder: TARGET } });
  });

  test('an unpublish of what somebody uses, with the name of who that is', async () => {
    const { node, attachments, publications } = await staged();
    await publications.publish('data', publish());
    node.machine.busy.add(TARGET);
    node.machine.links.set('/proc/42/cwd', `${TARGET}/folder`);
    node.machine.links.set('/proc/42/exe', '/usr/bin/psql');
    node.machine.links.set('/proc/43/cwd', '/elsewhere');
    const refusal = {
      code: 'inUse',
      message: expect.stringContaining(`still in use on ${TARGET} by pid 42 (psql)`),
    };
    await expect(publications.unpublish('data', { targetPath: TARGET })).rejects.toMatchObject(
      refusal,
    );
    await expect(attachments.detach('data', { all: true })).rejects.toMatchObject(refusal);
    expect(places(node)).toEqual([node.mountpoint, TARGET]);
    node.machine.busy.clear();
    await attachments.detach('data', { all: true });
    expect(node.leftovers()).toEqual([]);
  });

  test('another front door on the same node, with the name of who has it', async () => {
    const { attachments, publications } = await staged();
    await publications.publish('data', publish({ label: 'pod default/web' }));
    const docker = { as: 'mount', consumer: 'c', door: 'docker' } as const;
    await expect(attachments.attach('data', docker)).rejects.toMatchObject({
      code: 'inUse',
      message: expect.stringContaining('in use by kubernetes (pod default/web) on node node-1'),
    });
  });

  test.each([
    ['as a device with a file system', { as: 'device' as const }, /stage it as a mount/],
    ['with another file system', { fileSystem: 'xfs' as const }, /has ext4, not xfs/],
    ['with an option of mount(8) that is not safe', { mountOptions: ['loop'] }, /"loop"/],
  ])('a stage %s', async (_what, more, sentence) => {
    const node = new FakeNode();
    const { attachments } = await node.agent();
    const staging = attachments.stage('data', stage(more));
    await expect(staging).rejects.toMatchObject({ code: 'badRequest' });
    await expect(staging).rejects.toThrow(sentence);
    expect(node.leftovers()).toEqual([]);
  });

  test('a stage on the same path with other words', async () => {
    const { attachments } = await staged();
    const again = attachments.stage('data', stage({ readOnly: true }));
    await expect(again).rejects.toMatchObject({ code: 'exists' });
  });
});

test('a raw device is shown as a file, with one mode for all who have it', async () => {
  const node = new FakeNode();
  node.cluster.fileSystem = 'none';
  const { publications, attachments } = await staged(node, { as: 'device' });
  const device = publish({ as: 'device', readOnly: true });
  await publications.publish('data', device);
  expect(node.places.kinds.get(TARGET)).toBe('emptyFile');
  expect(node.machine.ran).toContain('blockdev --setro /dev/fake0');
  const writer = publish({ as: 'device', targetPath: '/kubelet/two' });
  await expect(publications.publish('data', writer)).rejects.toMatchObject({ code: 'inUse' });
  await publications.unpublish('data', { targetPath: TARGET });
  await publications.publish('data', writer);
  expect(lastBlockdev(node)).toBe('blockdev --setrw /dev/fake0');
  await publications.unpublish('data', { targetPath: '/kubelet/two' });
  await publications.publish('data', device);
  expect(lastBlockdev(node)).toBe('blockdev --setro /dev/fake0');
  await publications.unpublish('data', { targetPath: TARGET });
  await attachments.detach('data', { consumer: STAGING });
  // The next who gets a loop device of that number can write to it.
  expect(lastBlockdev(node)).toBe('blockdev --setrw /dev/fake0');
  expect(node.leftovers()).toEqual([]);
});

test('a device that has died is not renewed under what still shows it', async () => {
  const { node, attachments, publications } = await staged();
  await publications.publish('data', publish());
  node.attacher.damages.set(node.cluster.volumeId, 'nbdfuse has died');
  for (const stagingPath of [STAGING, '/kubelet/other']) {
    await expect(attachments.stage('data', stage({ stagingPath }))).rejects.toThrow(
      `volume "data" has lost its device on this node, and ${TARGET} still shows it`,
    );
  }
  expect(places(node)).toEqual([node.mountpoint, TARGET]);
  await publications.unpublish('data', { targetPath: TARGET });
  await attachments.stage('data', stage());
  await publications.publish('data', publish());
  expect(places(node)).toEqual([node.mountpoint, TARGET]);
});

test('ro among the mount options is a read-only publish, and the same one as readOnly', async () => {
  const { node, publications } = await staged();
  await publications.publish('data', publish({ mountOptions: ['ro', 'noexec'] }));
  expect(node.machine.ran).toContain(`mount -o remount,bind,noexec,ro ${TARGET}`);
  await publications.publish('data', publish({ mountOptions: ['noexec'], readOnly: true }));
  const writable = publications.publish('data', publish({ mountOptions: ['noexec'] }));
  await expect(writable).rejects.toMatchObject({ code: 'exists' });
});

test('what was unmounted behind the agent’s back is shown again by the next publish', async () => {
  const { node, publications } = await staged();
  await publications.publish('data', publish());
  node.machine.mounts = [];
  await publications.publish('data', publish());
  expect(places(node)).toEqual([node.mountpoint, TARGET]);
});

test('stats are told for paths that are staged or published, and only for those', async () => {
  const { node, publications } = await staged();
  await publications.publish('data', publish());
  for (const path of [STAGING, TARGET]) {
    expect(await publications.stats('data', { path })).toMatchObject({
      bytes: { total: 1_000, used: 400, available: 600 },
      condition: 'healthy',
    });
  }
  await expect(publications.stats('data', { path: '/other' })).rejects.toMatchObject({
    code: 'notFound',
  });
  node.machine.mounts = node.machine.mounts.filter(({ point }) => point !== TARGET);
  expect(await publications.stats('data', { path: TARGET })).toMatchObject({
    condition: 'faulted',
    message: expect.stringContaining('not mounted'),
  });
});

/** A whole circle, up to the step at which its agent dies. */
async function circle(node: FakeNode, life: Life): Promise<void> {
  const { attachments, publications } = await node.agent(life);
  await attachments.stage('data', stage());
  await publications.publish('data', publish());
  await publications.unpublish('data', { targetPath: TARGET });
  await attachments.detach('data', { consumer: STAGING });
}

test('an agent killed anywhere in a circle leaves what the same calls put in order', async () => {
  const whole = new Life();
  await circle(new FakeNode(), whole);
  expect(whole.stepCount).toBeGreaterThan(40);
  for (let stepCount = 0; stepCount < whole.stepCount; stepCount += 1) {
    const node = new FakeNode();
    const life = new Life(stepCount);
    await Promise.race([circle(node, life), life.died]);
    const { attachments, publications } = await node.restarted();
    const counts = new Map<string, number>();
    for (const point of places(node)) counts.set(point, (counts.get(point) ?? 0) + 1);
    expect([...counts.values()].every((count) => count === 1)).toBe(true);
    await attachments.stage('data', stage());
    await publications.publish('data', publish());
    expect(places(node).toSorted()).toEqual([TARGET, node.mountpoint].toSorted());
    await publications.unpublish('data', { targetPath: TARGET });
    await attachments.detach('data', { consumer: STAGING });
    expect({ stepCount, left: node.leftovers() }).toEqual({ stepCount, left: [] });
    expect(idsHere(attachments, node)).toEqual([]);
  }
});

test('an agent killed anywhere leaves what unpublish and unstage alone take away', async () => {
  for (let stepCount = 0; stepCount < 60; stepCount += 1) {
    const node = new FakeNode();
    const life = new Life(stepCount);
    await Promise.race([circle(node, life), life.died]);
    const { attachments, publications } = await node.restarted();
    await publications.unpublish('data', { targetPath: TARGET });
    await attachments.detach('data', { consumer: STAGING });
    expect({ stepCount, left: node.leftovers() }).toEqual({ stepCount, left: [] });
  }
});

test('after a reboot nothing is published, and the same calls bring it back', async () => {
  const { node, publications } = await staged();
  await publications.publish('data', publish());
  node.bootId = 'boot-2';
  node.machine.mounts = [];
  node.machine.disks.clear();
  node.attacher.attached.clear();
  const next = await node.restarted();
  expect(idsHere(next.attachments, node)).toEqual([]);
  await next.attachments.stage('data', stage());
  await next.publications.publish('data', publish());
  expect(places(node)).toEqual([node.mountpoint, TARGET]);
});
