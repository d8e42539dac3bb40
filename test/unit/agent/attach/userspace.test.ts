import { expect, test } from '@jest/globals';
import { UserspaceAttacher } from '../../../../agent/attach/userspace.ts';
import { ok } from '../../../fixtures/agent/fake-machine.ts';
import type { FakeProcess } from '../../../fixtures/agent/fake-processes.ts';
import { instanceRig } from '../../../fixtures/agent/instance-rig.ts';

const REQUEST = {
  volumeId: '0123456789ab-4cde-8000-000000000000',
  iqn: 'iqn.2016-09.com.openebs:volume',
  portal: '127.0.0.1:3260',
  initiatorName: 'iqn.2016-09.com.openebs:node-node-1',
};
const FOLDER = '/state/run/a-0123456789ab';
const FILE = `${FOLDER}/fuse/volume`;

/** The programs as they behave: pid files when ready, a FUSE mount, a loop device. */
function rig() {
  const base = instanceRig();
  const { files, machine, processes } = base;
  const said: string[] = [];
  processes.onSpawn = (process: FakeProcess) => {
    said.push(`start ${process.argv[0]}`);
    const option = process.argv[0] === 'nbdfuse' ? '-P' : '--pidfile';
    files.write(process.argv[process.argv.indexOf(option) + 1] ?? '', 'pid');
    if (process.argv[0] === 'nbdfuse') {
      machine.mounts.push({ source: '/dev/fuse', point: `${FOLDER}/fuse`, options: 'rw' });
    }
  };
  const kill = processes.signal.bind(processes);
  processes.signal = (identity, name) => {
    if (processes.isAlive(identity)) said.push(`${name} ${identity.pid}`);
    kill(identity, name);
  };
  machine.override = (line) => {
    said.push(line.join(' '));
    if (line[0] !== 'losetup') return null;
    if (line[1] === '--detach') machine.texts.delete('/sys/block/loop4/loop/backing_file');
    else machine.texts.set('/sys/block/loop4/loop/backing_file', `${FILE}\n`);
    return ok('/dev/loop4\n');
  };
  const attacher = new UserspaceAttacher({ ...base.dependencies, system: machine });
  return { ...base, attacher, said };
}

test('the daemons are started from the target up, and ended from the device down', async () => {
  const { attacher, said, processes, files } = rig();
  const attached = await attacher.attach(REQUEST);
  expect(attached).toEqual({
    device: '/dev/loop4',
    processes: processes.all.map(({ identity }) => identity),
  });
  expect(said).toEqual([
    'start qemu-storage-daemon',
    'start nbdfuse',
    `losetup --direct-io=on --find --show ${FILE}`,
  ]);
  expect(await attacher.damage(REQUEST, attached)).toBeNull();
  said.length = 0;
  await attacher.detach(REQUEST);
  expect(said).toEqual([
    'losetup --detach /dev/loop4',
    `umount ${FOLDER}/fuse`,
    'SIGTERM 100',
    'SIGTERM 101',
  ]);
  expect([...files.contents.keys()]).toEqual([]);
});

test('the daemon is told portal, names and nothing secret; commas are doubled', async () => {
  const { attacher, processes } = rig();
  await attacher.attach({ ...REQUEST, iqn: 'iqn.2016-09.com.openebs:a,b' });
  const line = processes.all[0]?.argv.join(' ') ?? '';
  expect(line).toContain('target=iqn.2016-09.com.openebs:a,,b,');
  expect(line).toContain('portal=127.0.0.1:3260,');
  expect(line).toContain(`initiator-name=${REQUEST.initiatorName},`);
  expect(line).toContain('cache.direct=on,discard=unmap');
});

test('a daemon that ends at once is told with its last words, and nothing is left', async () => {
  const { attacher, processes, machine, dependencies, files } = rig();
  processes.onSpawn = (process) => process.end({ exitCode: 1 });
  const tail = async () => 'qemu-storage-daemon: iSCSI: Failed to connect to LUN\n';
  const logFiles = { ...dependencies.logFiles, tail };
  const failing = new UserspaceAttacher({ ...dependencies, logFiles, system: machine });
  await expect(failing.attach(REQUEST)).rejects.toThrow(
    'qemu-storage-daemon ended at once: qemu-storage-daemon: iSCSI: Failed to connect to LUN',
  );
  expect(processes.living).toEqual([]);
  expect(await files.exists(`${FOLDER}/nbd.sock`)).toBe(false);
  expect(await attacher.attach(REQUEST).catch(() => null)).toBeNull();
});

test('one that hangs is given up, and killed if it does not obey', async () => {
  const { attacher, processes, said } = rig();
  processes.onSpawn = () => undefined;
  processes.obeys = (name) => name === 'SIGKILL';
  await expect(attacher.attach(REQUEST)).rejects.toThrow(/was not ready in time/);
  expect(processes.living).toEqual([]);
  expect(said).toContain('SIGKILL 100');
});

test('what an earlier attempt left is removed before the next one', async () => {
  const { attacher, processes, machine } = rig();
  const first = await attacher.attach(REQUEST);
  await attacher.attach(REQUEST);
  expect(processes.living.length).toBe(2);
  expect(processes.living.map(({ identity }) => identity)).not.toContainEqual(first.processes[0]);
  expect(machine.mounts.length).toBe(1);
});

test('a device that is still open is not taken from under its user', async () => {
  const { attacher, processes, machine } = rig();
  await attacher.attach(REQUEST);
  const usual = machine.override;
  machine.override = (line) => (line[1] === '--detach' ? ok() : usual(line));
  await expect(attacher.detach(REQUEST)).rejects.toThrow('/dev/loop4 is still in use');
  expect(processes.living.length).toBe(2);
  expect(machine.mounts.length).toBe(1);
});

test('what is broken is told: a daemon, the device, the mount', async () => {
  const { attacher, processes, machine } = rig();
  const attached = await attacher.attach(REQUEST);
  machine.mounts = [];
  expect(await attacher.damage(REQUEST, attached)).toBe('its FUSE mount is gone');
  machine.texts.clear();
  expect(await attacher.damage(REQUEST, attached)).toBe('its device /dev/loop4 is gone');
  processes.all[0]?.end();
  expect(await attacher.damage(REQUEST, attached)).toMatch(/qemu-storage-daemon.* has died/);
});

test('by force the daemons are killed, whoever uses the device', async () => {
  const { attacher, processes, machine, said } = rig();
  await attacher.attach(REQUEST);
  await attacher.destroy(REQUEST);
  expect(processes.living).toEqual([]);
  expect(machine.mounts).toEqual([]);
  expect(said.slice(-4)).toEqual([
    'losetup --detach /dev/loop4',
    'SIGKILL 100',
    'SIGKILL 101',
    `umount --lazy ${FOLDER}/fuse`,
  ]);
});
