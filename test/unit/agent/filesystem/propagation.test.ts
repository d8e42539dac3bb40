import { expect, test } from '@jest/globals';
import { shareMounts, unshareMounts } from '../../../../agent/filesystem/propagation.ts';
import { FakeMachine, ok } from '../../../fixtures/agent/fake-machine.ts';

const FOLDER = '/state/mnt';

test('on a private mount the folder is mounted on itself and shared', async () => {
  const machine = new FakeMachine();
  machine.override = () => ok();
  await shareMounts(FOLDER, { commands: machine, system: machine });
  expect(machine.ran).toEqual([
    `mount --bind ${FOLDER} ${FOLDER}`,
    `mount --make-rshared ${FOLDER}`,
  ]);
});

test('on a shared mount nothing is to be done', async () => {
  const machine = new FakeMachine();
  machine.mountLines = ['1 0 8:0 / / rw shared:1 - ext4 /dev/sda rw'];
  await shareMounts(FOLDER, { commands: machine, system: machine });
  expect(machine.ran).toEqual([]);
});

test('the folder stays shared while something is mounted below it', async () => {
  const machine = new FakeMachine();
  machine.mountLines.push(`2 1 8:0 /state/mnt ${FOLDER} rw shared:5 - ext4 /dev/sda rw`);
  machine.mounts.push({ source: '/dev/loop0', point: `${FOLDER}/volume`, options: 'rw' });
  await unshareMounts(FOLDER, { commands: machine, system: machine });
  expect(machine.ran).toEqual([]);
  machine.mounts = [];
  machine.override = () => ok();
  await unshareMounts(FOLDER, { commands: machine, system: machine });
  expect(machine.ran).toEqual([`umount ${FOLDER}`]);
});
