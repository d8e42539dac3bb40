import { expect, test } from '@jest/globals';
import type { AgentAttach } from '../../../../core/api/index.ts';
import { FakeNode, idsHere, NODE_INITIATOR } from '../../../fixtures/agent/attach-rig.ts';
import { failed } from '../../../fixtures/agent/fake-machine.ts';

const mount = (consumer?: string) =>
  ({ as: 'mount', ...(consumer === undefined ? {} : { consumer }) }) as const;

test('a volume is attached in the record, formatted once and mounted', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  const answer = await attachments.attach('data', mount('a'));
  expect(answer).toEqual({
    volumeId: node.cluster.volumeId,
    mountpoint: node.mountpoint,
    device: '/dev/fake0',
    portal: '127.0.0.1:3260',
    iqn: `iqn.2016-09.com.openebs:${node.cluster.volumeId}`,
    url: `iscsi://127.0.0.1:3260/iqn.2016-09.com.openebs:${node.cluster.volumeId}/0`,
    holders: [{ node: 'node-1', door: 'mayactl', id: 'a', label: '', paths: [] }],
  });
  expect(node.machine.mounts.map(({ point }) => point)).toEqual([node.mountpoint]);
  expect(node.cluster.records.record.attachment).toMatchObject({
    node: 'node-1',
    initiatorNames: [NODE_INITIATOR],
  });
  await attachments.detach('data', { consumer: 'a' });
  await attachments.attach('data', mount('b'));
  const formats = node.machine.programs().filter((program) => program === 'mkfs.ext4');
  expect(formats.length).toBe(1);
});

test('consumers are counted by id, and the last one takes everything with it', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', mount('a'));
  await attachments.attach(node.cluster.volumeId, mount('b'));
  await attachments.attach('data', mount('a'));
  expect(idsHere(attachments, node).toSorted()).toEqual(['a', 'b']);
  await attachments.detach('data', { consumer: 'a' });
  await attachments.detach('data', { consumer: 'a' });
  expect(node.machine.mounts.length).toBe(1);
  await attachments.detach('data', { consumer: 'b' });
  expect(node.leftovers()).toEqual([]);
  await attachments.detach('data', { consumer: 'b' });
});

test('attaches without an id are one reference, however many there were', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  for (let count = 0; count < 3; count += 1) await attachments.attach('data', mount());
  await attachments.attach('data', mount('a'));
  await attachments.detach('data', {});
  expect(idsHere(attachments, node)).toEqual(['a']);
  await attachments.detach('data', { consumer: 'a' });
  expect(node.leftovers()).toEqual([]);
});

test('the reference without an id is not dropped through another front door', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', { ...mount(), door: 'docker' });
  await attachments.detach('data', { door: 'mesos' });
  expect(node.machine.mounts.length).toBe(1);
  await attachments.detach('data', { door: 'docker' });
  expect(node.leftovers()).toEqual([]);
  await attachments.attach('data', { ...mount('a'), door: 'docker' });
  await attachments.detach('data', { door: 'mesos', all: true });
  expect(node.leftovers()).toEqual([]);
});

test('attaches and detaches at the same time end in what the last one wants', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  const ids = ['a', 'b', 'c', 'd'];
  await Promise.all(ids.map((id) => attachments.attach('data', mount(id))));
  expect(node.attacher.requests.length).toBe(1);
  await Promise.all([
    ...ids.map((consumer) => attachments.detach('data', { consumer })),
    attachments.attach('data', mount('e')),
  ]);
  expect(idsHere(attachments, node)).toEqual(['e']);
  expect(node.machine.mounts.length).toBe(1);
  await attachments.detach('data', { all: true });
  expect(node.leftovers()).toEqual([]);
});

test.each([
  ['the target does not serve', (node: FakeNode) => void (node.targetServes = false)],
  ['the device cannot be made', (node: FakeNode) => void (node.attacher.failure = new Error('x'))],
  [
    'mkfs fails',
    ({ machine }: FakeNode) => {
      machine.override = ([program]) => (program === 'mkfs.ext4' ? failed(1, 'broken') : null);
    },
  ],
  [
    'the mount fails',
    ({ machine }: FakeNode) => {
      machine.override = ([program]) => (program === 'mount' ? failed(32, 'broken') : null);
    },
  ],
  [
    'the file system is another one than the record says',
    ({ cluster }: FakeNode) => {
      const state = { kind: 'ext4', uuid: 'lost', state: 'formatted' } as const;
      cluster.records.change({ fileSystem: state });
    },
  ],
])('a failed attach leaves nothing: %s', async (_what, breakIt) => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  breakIt(node);
  await expect(attachments.attach('data', mount('a'))).rejects.toThrow();
  expect(node.leftovers()).toEqual([]);
  expect(attachments.consumers()).toEqual([]);
});

test('a volume in use on another node is told so, and theirs is not touched', async () => {
  const node = new FakeNode();
  node.cluster.otherNode = 'node-2';
  const { attachments } = await node.agent();
  await expect(attachments.attach('data', mount('a'))).rejects.toMatchObject({ code: 'inUse' });
  expect(node.leftovers()).toEqual([]);
});

test('a mount that is busy names who uses it and goes as soon as they stop', async () => {
  const node = new FakeNode();
  const { attachments, store } = await node.agent();
  await attachments.attach('data', mount('a'));
  node.machine.busy.add(node.mountpoint);
  node.machine.links.set('/proc/self/ns/mnt', 'mnt:[1]');
  node.machine.links.set('/proc/77/ns/mnt', 'mnt:[1]');
  node.machine.links.set('/proc/77/exe', '/bin/bash');
  node.machine.links.set('/proc/77/cwd', node.mountpoint);
  await expect(attachments.detach('data', { consumer: 'a' })).rejects.toMatchObject({
    code: 'inUse',
    message: 'volume "data" is in use by pid 77 (bash): stop that first',
  });
  // Nobody counts any more; those who keep it from going are told instead, also to a Ctrl-C.
  const { volumeId } = node.cluster;
  expect(store.get(volumeId)?.consumers).toEqual([]);
  const staying = { node: 'node-1', door: 'mayactl', id: 'pid 77 (bash)', label: '', paths: [] };
  expect(attachments.consumers()).toEqual([{ volumeId, holders: [staying] }]);
  expect(attachments.local(volumeId)).toMatchObject({
    mountpoint: node.mountpoint,
    holders: [staying],
  });
  expect(await attachments.inUse()).toEqual([
    { volume: 'data', mountpoint: node.mountpoint, consumers: [], holders: ['pid 77 (bash)'] },
  ]);
  await attachments.retryPending();
  expect(node.machine.mounts.length).toBe(1);
  expect(attachments.local(node.cluster.volumeId).message).toMatch(
    /^detached as soon as possible: in use by pid 77 \(bash\)$/,
  );
  node.machine.busy.clear();
  node.machine.links.delete('/proc/77/cwd');
  expect(await attachments.inUse()).toEqual([]);
  await attachments.retryPending();
  expect(node.leftovers()).toEqual([]);
  expect(attachments.consumers()).toEqual([]);
});

test('a deletion finishes a detach that was busy, or says who uses the volume', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.finishDetach('data');
  await attachments.attach('data', mount('a'));
  await attachments.finishDetach('data');
  expect(node.machine.mounts.length).toBe(1);
  node.machine.busy.add(node.mountpoint);
  await expect(attachments.detach('data', { consumer: 'a' })).rejects.toThrow(/in use/);
  await expect(attachments.finishDetach('data')).rejects.toMatchObject({ code: 'inUse' });
  node.machine.busy.clear();
  await attachments.finishDetach('data');
  expect(node.leftovers()).toEqual([]);
});

test('a mount on its way out that is busy is taken up again by the next attach', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', mount('a'));
  node.machine.busy.add(node.mountpoint);
  await expect(attachments.detach('data', { consumer: 'a' })).rejects.toThrow(/in use/);
  const answer = await attachments.attach('data', mount('b'));
  expect(answer.mountpoint).toBe(node.mountpoint);
  expect(node.attacher.requests.length).toBe(1);
  node.machine.busy.clear();
  await attachments.retryPending();
  expect(node.machine.mounts.length).toBe(1);
});

test('a late detach of who never had it succeeds, also while those who have let go keep it', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', mount('a'));
  node.machine.busy.add(node.mountpoint);
  const left = { code: 'inUse' };
  await expect(attachments.detach('data', { consumer: 'a' })).rejects.toMatchObject(left);
  await attachments.detach('data', {});
  await attachments.detach('data', { consumer: 'b' });
  await expect(attachments.detach('data', { consumer: 'a' })).rejects.toMatchObject(left);
  await expect(attachments.detach('data', { all: true })).rejects.toMatchObject(left);
  expect(node.machine.mounts.length).toBe(1);
  // A restarted agent does not know whose it was: then nobody is told that it is done too early.
  const again = (await node.agent()).attachments;
  await again.recover();
  await expect(again.detach('data', { consumer: 'b' })).rejects.toMatchObject(left);
  node.machine.busy.clear();
  await again.detach('data', { consumer: 'a' });
  expect(node.leftovers()).toEqual([]);
});

test('a container with a mount of its own is in use, although an unmount would succeed', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', mount('a'));
  const { links, texts } = node.machine;
  links.set('/proc/self/ns/mnt', 'mnt:[1]');
  links.set('/proc/88/ns/mnt', 'mnt:[2]');
  texts.set('/proc/88/cgroup', `0::/docker/${'ab'.repeat(32)}`);
  texts.set('/proc/88/mountinfo', '5 1 7:0 / /data rw - ext4 /dev/fake0 rw\n');
  await expect(attachments.detach('data', { consumer: 'a' })).rejects.toThrow(
    /in use by container abababababab/,
  );
  expect(node.machine.mounts.length).toBe(1);
  // docker cp unmounts while its container runs: nobody waits long for that.
  const before = node.clock.nowMs();
  await expect(attachments.detach('data', { consumer: 'a' })).rejects.toThrow(
    /in use by container/,
  );
  expect(node.clock.nowMs() - before).toBeLessThan(1_000);
});

test('mounted, as a device and open to initiators exclude each other', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  const portal: AgentAttach = { as: 'portal', initiatorNames: ['any'], consumer: 'c' };
  await attachments.attach('data', mount('a'));
  const device: AgentAttach = { as: 'device', consumer: 'b' };
  for (const other of [device, portal]) {
    await expect(attachments.attach('data', other)).rejects.toMatchObject({
      code: 'inUse',
      message: 'volume "data" is mounted on this node for a: detach it there first',
    });
  }
  await attachments.detach('data', { all: true });
  expect(await attachments.attach('data', portal)).toMatchObject({ device: null });
  expect(node.cluster.records.record.attachment?.initiatorNames).toEqual(['*']);
  expect(node.attacher.requests.length).toBe(1);
  await expect(attachments.attach('data', mount('a'))).rejects.toThrow(/open to initiators/);
});

test('a raw volume is attached as a device, and a mount of it is refused', async () => {
  const node = new FakeNode();
  node.cluster.fileSystem = 'none';
  const { attachments } = await node.agent();
  await expect(attachments.attach('data', mount('a'))).rejects.toMatchObject({
    code: 'badRequest',
    message: 'volume "data" has no file system (fs=none): attach it as a device',
  });
  expect(node.leftovers()).toEqual([]);
  const answer = await attachments.attach('data', { as: 'device', consumer: 'a' });
  expect(answer).toMatchObject({ device: '/dev/fake0', mountpoint: null });
  expect(node.machine.mounts).toEqual([]);
});

test.each<[AgentAttach, RegExp]>([
  [{ as: 'portal' }, /name the initiators/],
  [{ as: 'portal', initiatorNames: ['any', 'iqn.2000-01.a:b'] }, /any stands alone/],
  [{ as: 'mount', initiatorNames: ['iqn.2000-01.a:b'] }, /as=portal only/],
])('%j is refused', async (request, sentence) => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await expect(attachments.attach('data', request)).rejects.toThrow(sentence);
  expect(node.leftovers()).toEqual([]);
});

test('one that only reads is mounted read-only until somebody writes', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', { ...mount('a'), readOnly: true });
  expect(node.machine.mounts[0]?.options).toMatch(/^ro,/);
  await attachments.attach('data', { ...mount('b'), readOnly: true });
  expect(node.machine.mounts[0]?.options).toMatch(/^ro,/);
  await attachments.attach('data', mount('c'));
  expect(node.machine.mounts[0]?.options).toBe('remount,rw');
});

test('a node that cannot attach says why, and has not touched the record', async () => {
  const node = new FakeNode();
  node.canAttach = false;
  const { attachments } = await node.agent();
  await expect(attachments.attach('data', mount('a'))).rejects.toThrow(
    'node node-1 cannot attach volumes: not root',
  );
  expect(node.leftovers()).toEqual([]);
});

test('a device that has died is renewed by the next attach, when nobody uses it', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', mount('a'));
  node.attacher.damages.set(node.cluster.volumeId, 'qemu-storage-daemon has died');
  await attachments.inspect();
  expect(attachments.problems()).toEqual([
    'volume "data": qemu-storage-daemon has died: stop what uses it, it is attached anew then',
  ]);
  node.machine.busy.add(node.mountpoint);
  await expect(attachments.attach('data', mount('b'))).rejects.toThrow(/in use/);
  node.machine.busy.clear();
  const answer = await attachments.attach('data', mount('b'));
  expect(answer.device).toBe('/dev/fake1');
  expect(idsHere(attachments, node).toSorted()).toEqual(['a', 'b']);
  expect(attachments.problems()).toEqual([]);
});

test('with the apiserver away the target that still runs is used again', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', mount('a'));
  node.cluster.isAway = true;
  await attachments.detach('data', { consumer: 'a' });
  expect(node.machine.mounts).toEqual([]);
  expect(attachments.usesTarget(node.cluster.volumeId, 'token-1')).toBe(false);
  const answer = await attachments.attach('data', mount('b'));
  expect(answer.mountpoint).toBe(node.mountpoint);
  await attachments.detach('data', { consumer: 'b' });
  node.targetServes = false;
  await expect(attachments.attach('data', mount('c'))).rejects.toMatchObject({
    code: 'unavailable',
  });
  node.cluster.isAway = false;
  await attachments.retryPending();
  expect(node.leftovers()).toEqual([]);
});

test('with the apiserver away a volume is never formatted', async () => {
  const node = new FakeNode();
  const { attachments, volumes } = await node.agent();
  await volumes.get('data');
  await attachments.attach('data', { as: 'device', consumer: 'a' });
  node.cluster.isAway = true;
  await attachments.detach('data', { consumer: 'a' });
  await expect(attachments.attach('data', mount('b'))).rejects.toMatchObject({
    code: 'unavailable',
  });
  expect(node.machine.programs()).not.toContain('mkfs.ext4');
});

test('while its device hangs on a target, that target is not to be taken away', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  const id = node.cluster.volumeId;
  await attachments.attach('data', mount('a'));
  expect(attachments.usesTarget(id, 'token-1')).toBe(true);
  expect(attachments.usesTarget(id, 'an older token')).toBe(false);
  await attachments.detach('data', { consumer: 'a' });
  expect(attachments.usesTarget(id, 'token-1')).toBe(false);
});

test('in use means: named with its consumers and processes, and synced', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  expect(await attachments.inUse()).toEqual([]);
  await attachments.attach('data', mount('a'));
  expect(await attachments.inUse()).toEqual([
    { volume: 'data', mountpoint: node.mountpoint, consumers: ['mayactl (a)'], holders: [] },
  ]);
  expect(node.machine.ran).toContain(`sync --file-system ${node.mountpoint}`);
});

test('a shutdown detaches everything; what is busy only by force', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', mount('a'));
  node.machine.busy.add(node.mountpoint);
  await expect(attachments.detachAll(false)).rejects.toMatchObject({ code: 'inUse' });
  await expect(attachments.attach('data', mount('b'))).rejects.toThrow(/shutting down/);
  attachments.reopen();
  await attachments.attach('data', mount('b'));
  await attachments.detachAll(true);
  expect(node.leftovers()).toEqual([]);
  expect(node.machine.ran).toContain(`umount --lazy ${node.mountpoint}`);
});

test('an attach that could neither be finished nor undone on a full disk is undone later', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  let writeCount = 0;
  node.files.beforeChange = (path) => {
    if (!path.startsWith(node.paths.attachments)) return;
    writeCount += 1;
    if (writeCount > 2) throw Object.assign(new Error('ENOSPC: disk full'), { code: 'ENOSPC' });
  };
  await expect(attachments.attach('data', mount('a'))).rejects.toThrow('ENOSPC');
  node.files.beforeChange = () => undefined;
  await attachments.retryPending();
  expect(node.leftovers()).toEqual([]);
});

test('a writer that cannot have a read-only mount made writable holds nothing', async () => {
  const node = new FakeNode();
  const { attachments } = await node.agent();
  await attachments.attach('data', { ...mount('reader'), readOnly: true });
  const { machine } = node;
  machine.override = (line) => (line.includes('remount,rw') ? failed(32, 'read-only') : null);
  for (let count = 0; count < 2; count += 1) {
    await expect(attachments.attach('data', mount('writer'))).rejects.toThrow('read-only');
  }
  expect(idsHere(attachments, node)).toEqual(['reader']);
});
