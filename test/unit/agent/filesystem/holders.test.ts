import { expect, test } from '@jest/globals';
import { findHolders } from '../../../../agent/filesystem/holders.ts';
import { FakeMachine } from '../../../fixtures/agent/fake-machine.ts';

const POINT = '/state/mnt/volume';
const CONTAINER = '4f2a81b0c3d5'.padEnd(64, 'a');

/** The volume is mounted at POINT as device 7:0, below a mount that is in peer group 9. */
function machine(): FakeMachine {
  const fake = new FakeMachine();
  fake.mountLines = ['1 0 8:0 / / rw shared:9 - ext4 /dev/sda rw'];
  fake.mounts.push({ source: '/dev/loop0', point: POINT, options: 'rw' });
  fake.links.set('/proc/self/ns/mnt', 'mnt:[1]');
  return fake;
}

function addProcess(fake: FakeMachine, pid: number, namespace = 'mnt:[1]'): void {
  fake.links.set(`/proc/${pid}/ns/mnt`, namespace);
  fake.links.set(`/proc/${pid}/exe`, '/usr/bin/postgres');
}

test('a process is named that has a file, its working folder or a mapping in the volume', async () => {
  const fake = machine();
  addProcess(fake, 10);
  fake.links.set('/proc/10/fd/7', `${POINT}/base/1`);
  addProcess(fake, 11);
  fake.links.set('/proc/11/cwd', POINT);
  addProcess(fake, 12);
  fake.texts.set('/proc/12/maps', `7f00-7f01 r--p 0 07:00 5 ${POINT}/lib.so\n`);
  addProcess(fake, 13);
  fake.links.set('/proc/13/cwd', `${POINT}-other`);
  const names = (await findHolders(fake, POINT, 'all')).map(({ name }) => name).toSorted();
  expect(names).toEqual(['pid 10 (postgres)', 'pid 11 (postgres)', 'pid 12 (postgres)']);
});

test('a container is named once, by its id, and known to have a mount of its own', async () => {
  const fake = machine();
  for (const pid of [20, 21]) {
    addProcess(fake, pid, 'mnt:[2]');
    fake.texts.set(`/proc/${pid}/cgroup`, `0::/docker/${CONTAINER}\n`);
    fake.texts.set(`/proc/${pid}/mountinfo`, '5 1 7:0 / /data rw - ext4 /dev/loop0 rw\n');
  }
  expect(await findHolders(fake, POINT, 'mounts')).toEqual([
    { name: 'container 4f2a81b0c3d5', hasOwnMount: true },
  ]);
});

test('a namespace whose copy of the mount goes along with ours holds nothing', async () => {
  const fake = machine();
  addProcess(fake, 30, 'mnt:[3]');
  const lines = [
    '40 0 8:0 / / rw master:9 - ext4 /dev/sda rw',
    `41 40 7:0 / ${POINT} rw master:12 - ext4 /dev/loop0 rw`,
  ];
  fake.texts.set('/proc/30/mountinfo', `${lines.join('\n')}\n`);
  expect(await findHolders(fake, POINT, 'all')).toEqual([]);
});

test('a private copy of the mount at the same place does not go along', async () => {
  const fake = machine();
  addProcess(fake, 30, 'mnt:[3]');
  const lines = [
    '40 0 8:0 / / rw - ext4 /dev/sda rw',
    `41 40 7:0 / ${POINT} rw - ext4 /dev/loop0 rw`,
  ];
  fake.texts.set('/proc/30/mountinfo', `${lines.join('\n')}\n`);
  expect(await findHolders(fake, POINT, 'mounts')).toEqual([
    { name: 'pid 30 (postgres)', hasOwnMount: true },
  ]);
});

test('where nothing is mounted nobody holds anything', async () => {
  const fake = machine();
  fake.mounts = [];
  addProcess(fake, 11);
  fake.links.set('/proc/11/cwd', POINT);
  expect(await findHolders(fake, POINT, 'all')).toEqual([]);
});
