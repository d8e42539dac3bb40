import { expect, test } from '@jest/globals';
import { FakeNode, idsHere } from '../../../fixtures/agent/attach-rig.ts';
import { Life } from '../../../fixtures/agent/mortal.ts';

const mount = (consumer: string) => ({ as: 'mount', consumer }) as const;

/** Everything or nothing: half an attachment is what a crash must never leave. */
function expectWholeOrNothing(node: FakeNode, consumers: readonly string[]): void {
  if (consumers.length === 0) {
    expect(node.leftovers()).toEqual([]);
    return;
  }
  expect(node.machine.mounts.map(({ point }) => point)).toEqual([node.mountpoint]);
  expect([...node.attacher.attached.values()]).toEqual([node.machine.mounts[0]?.source]);
  expect(node.cluster.token).not.toBeNull();
}

async function expectUsable(node: FakeNode): Promise<void> {
  const { attachments } = await node.restarted();
  await attachments.attach('data', mount('later'));
  expectWholeOrNothing(node, ['later']);
  await attachments.detach('data', { all: true });
  expect(node.leftovers()).toEqual([]);
}

test('an agent killed at any step of an attach leaves all of it or nothing', async () => {
  let stepCount = 0;
  for (; ; stepCount += 1) {
    const node = new FakeNode();
    const life = new Life(stepCount);
    const started = node.agent(life).then(async ({ attachments }) => {
      await attachments.attach('data', mount('a'));
      return 'attached' as const;
    });
    const end = await Promise.race([started, life.died]);
    const { attachments } = await node.restarted();
    const consumers = idsHere(attachments, node);
    expectWholeOrNothing(node, consumers);
    await expectUsable(node);
    expect(node.cluster.records.record.fileSystem.state).toBe('formatted');
    if (end === 'attached') break;
  }
  expect(stepCount).toBeGreaterThan(25);
});

test('an agent killed at any step of a detach leaves all of it or nothing', async () => {
  let stepCount = 0;
  for (; ; stepCount += 1) {
    const node = new FakeNode();
    await (await node.agent()).attachments.attach('data', mount('a'));
    const life = new Life(stepCount);
    const started = node.agent(life).then(async ({ attachments }) => {
      await attachments.recover();
      await attachments.detach('data', { consumer: 'a' });
      return 'detached' as const;
    });
    const end = await Promise.race([started, life.died]);
    const { attachments } = await node.restarted();
    const consumers = idsHere(attachments, node);
    expectWholeOrNothing(node, consumers);
    if (end === 'detached') expect(consumers).toEqual([]);
    await expectUsable(node);
    if (end === 'detached') break;
  }
  expect(stepCount).toBeGreaterThan(15);
});

test('an agent killed while it puts things in order is no worse than one killed before', async () => {
  for (let stepCount = 0; stepCount < 60; stepCount += 4) {
    const node = new FakeNode();
    const first = new Life(30);
    const attaching = node
      .agent(first)
      .then(({ attachments }) => attachments.attach('data', mount('a')));
    await Promise.race([attaching, first.died]);
    const second = new Life(stepCount);
    const recovering = node.agent(second).then(({ attachments }) => attachments.recover());
    await Promise.race([recovering, second.died]);
    const { attachments } = await node.restarted();
    expectWholeOrNothing(node, idsHere(attachments, node));
    await expectUsable(node);
  }
});

test('what is in order is taken over without touching it', async () => {
  const node = new FakeNode();
  await (await node.agent()).attachments.attach('data', mount('a'));
  node.machine.ran.length = 0;
  const { attachments } = await node.restarted();
  expect(attachments.local(node.cluster.volumeId)).toEqual({
    mountpoint: node.mountpoint,
    holders: [{ node: 'node-1', door: 'mayactl', id: 'a', label: '', paths: [] }],
    message: '',
  });
  expect(node.machine.ran).toEqual([]);
});

test('a mount that somebody took away behind the agent comes back', async () => {
  const node = new FakeNode();
  await (await node.agent()).attachments.attach('data', mount('a'));
  node.machine.mounts = [];
  await node.restarted();
  expect(node.machine.mounts.map(({ point }) => point)).toEqual([node.mountpoint]);
  const formats = node.machine.programs().filter((program) => program === 'mkfs.ext4');
  expect(formats.length).toBe(1);
});

test('after a reboot nobody holds anything, and the record is told', async () => {
  const node = new FakeNode();
  await (await node.agent()).attachments.attach('data', mount('a'));
  node.bootId = 'boot-2';
  node.machine.mounts = [];
  await node.attacher.destroy({ volumeId: node.cluster.volumeId });
  const { attachments } = await node.restarted();
  expect(attachments.consumers()).toEqual([]);
  expect(node.leftovers()).toEqual([]);
});

test('with the apiserver away the record is told later', async () => {
  const node = new FakeNode();
  await (await node.agent()).attachments.attach('data', mount('a'));
  node.bootId = 'boot-2';
  node.machine.mounts = [];
  node.cluster.isAway = true;
  const { attachments } = await node.restarted();
  expect(node.cluster.token).toBe('token-1');
  node.cluster.isAway = false;
  await attachments.retryPending();
  expect(node.leftovers()).toEqual([]);
});

test('a mount of ours that no file knows goes; one of others stays', async () => {
  const node = new FakeNode();
  const stale = node.paths.mountpoint('00000000-0000-4000-8000-00000000dead');
  node.machine.mounts.push(
    { source: '/dev/fake9', point: stale, options: 'rw' },
    { source: '/dev/sdb', point: '/home', options: 'rw' },
  );
  await node.restarted();
  expect(node.machine.mounts.map(({ point }) => point)).toEqual(['/home']);
});

test('a damaged attachment file stops that volume only, and says which file', async () => {
  const node = new FakeNode();
  const path = `${node.paths.attachments}/${node.cluster.volumeId}.json`;
  node.files.write(path, '{"formatVersion": 1, "vol');
  const { attachments } = await node.restarted();
  await expect(attachments.attach('data', mount('a'))).rejects.toThrow(path);
  await expect(attachments.detach('data', { all: true })).rejects.toThrow(path);
  expect(attachments.problems()).toHaveLength(1);
});

test('the device of a damaged attachment file is not taken for a stale one', async () => {
  const node = new FakeNode();
  await (await node.agent()).attachments.attach('data', { as: 'device', consumer: 'a' });
  const { volumeId } = node.cluster;
  node.files.write(`${node.paths.attachments}/${volumeId}.json`, '{');
  node.machine.texts.set(`${node.paths.attachFolder(volumeId)}/nbd.sock`, '');
  await node.restarted();
  expect([...node.attacher.attached.keys()]).toEqual([volumeId]);
});

test('an attach that comes during the recovery waits for it', async () => {
  const node = new FakeNode();
  const life = new Life(40);
  const first = node.agent(life).then(({ attachments }) => attachments.attach('data', mount('a')));
  await Promise.race([first, life.died]);
  const { attachments } = await node.agent();
  const [, answer] = await Promise.all([
    attachments.recover(),
    attachments.attach('data', mount('b')),
  ]);
  expect(answer.mountpoint).toBe(node.mountpoint);
  expectWholeOrNothing(node, ['b']);
  expect(idsHere(attachments, node)).toContain('b');
});
