import { expect, test } from '@jest/globals';
import { chooseMethod } from '../../../../agent/attach/choose.ts';
import { nodeInitiatorName } from '../../../../agent/attach/initiator-name.ts';
import { FakeMachine, ok } from '../../../fixtures/agent/fake-machine.ts';

function machine(programs: readonly string[]): FakeMachine {
  const fake = new FakeMachine();
  fake.override = ([program]) => (programs.includes(program) ? ok() : null);
  fake.texts.set('/dev/fuse', '');
  fake.texts.set('/dev/loop-control', '');
  return fake;
}

const USERSPACE = ['qemu-storage-daemon', 'nbdfuse', 'losetup'];

function choose(fake: FakeMachine, asked: 'auto' | 'kernel' | 'userspace' = 'auto', isRoot = true) {
  return chooseMethod(asked, { commands: fake, system: fake, isRoot });
}

test('the kernel’s initiator comes first, where there is one', async () => {
  const fake = machine(['iscsiadm', ...USERSPACE]);
  fake.texts.set('/sys/class/iscsi_transport/tcp/handle', '1');
  expect(await choose(fake)).toMatchObject({ method: 'kernel' });
  expect(await choose(fake, 'userspace')).toMatchObject({ method: 'userspace' });
});

test('the module is loaded if it can be', async () => {
  const fake = machine(['iscsiadm']);
  fake.override = ([program]) => {
    if (program === 'modprobe') fake.texts.set('/sys/class/iscsi_transport/tcp/handle', '1');
    return ok();
  };
  expect(await choose(fake)).toMatchObject({ method: 'kernel' });
});

test('without it user space does, and the reason is told', async () => {
  expect(await choose(machine(['iscsiadm', ...USERSPACE]))).toEqual({
    method: 'userspace',
    reason: "the kernel's initiator cannot be used: the kernel has no iscsi_tcp",
  });
});

test('a node with neither says what is missing for each', async () => {
  expect(await choose(machine(['qemu-storage-daemon']))).toEqual({
    method: 'none',
    reason: 'kernel initiator: iscsiadm is not installed; user space: nbdfuse is not installed',
  });
  const fake = machine(USERSPACE);
  fake.texts.delete('/dev/fuse');
  expect((await choose(fake)).reason).toMatch(/there is no \/dev\/fuse/);
  expect(await choose(machine(USERSPACE), 'kernel')).toMatchObject({ method: 'none' });
});

test('without root nothing is attached, and nothing is tried', async () => {
  const fake = machine(USERSPACE);
  expect(await choose(fake, 'auto', false)).toMatchObject({ method: 'none' });
  expect(fake.ran).toEqual([]);
});

test('a node’s initiator name is its own and never longer than iSCSI allows', () => {
  expect(nodeInitiatorName('node-1')).toBe('iqn.2016-09.com.openebs:node-node-1');
  const long = 'n'.repeat(253);
  expect(nodeInitiatorName(long).length).toBeLessThanOrEqual(223);
  expect(nodeInitiatorName(long)).not.toBe(nodeInitiatorName(`${long.slice(1)}m`));
});
