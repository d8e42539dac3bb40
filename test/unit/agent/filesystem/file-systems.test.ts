import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { FileSystems } from '../../../../agent/filesystem/file-systems.ts';
import { recordAccess } from '../../../../agent/filesystem/record-access.ts';
import { ApiserverClient } from '../../../../core/api/index.ts';
import { silentLogger } from '../../../../core/platform/logger.ts';
import { nodePlatform } from '../../../../core/platform/node/index.ts';
import { MiB } from '../../../../core/units.ts';
import type { FileSystemState } from '../../../../core/volume/record.ts';
import { FakeMachine, failed, ok } from '../../../fixtures/agent/fake-machine.ts';
import { RecordServer } from '../../../fixtures/agent/record-server.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const SIZE_BYTES = 64 * MiB;
const blank: FileSystemState = { kind: 'ext4', uuid: null, state: 'blank' };

/** A sparse file plays the device: what is read from it is real, what blkid says is not. */
async function rig(folder: string, state: FileSystemState = blank) {
  const device = join(folder, 'device');
  await writeFile(device, '');
  await truncate(device, SIZE_BYTES);
  const machine = new FakeMachine();
  machine.disks.set(device, { signature: null, sizeBytes: SIZE_BYTES });
  const { files, random } = nodePlatform();
  const fileSystems = new FileSystems({
    commands: machine,
    system: machine,
    files,
    random,
    log: silentLogger,
  });
  const server = new RecordServer(state);
  const record = recordAccess(server.volumeId, new ApiserverClient(server), () => undefined);
  const request = { volumeName: 'data', device, options: '', record };
  return { device, machine, fileSystems, server, request };
}

test('formatting is committed before mkfs, and formatted with the uuid after it', async () => {
  await using folder = await temporaryFolder('fs');
  const { machine, fileSystems, server, request } = await rig(folder.path);
  const states: string[] = [];
  machine.override = ([program]) => {
    if (program === 'mkfs.ext4') states.push(server.record.fileSystem.state);
    return null;
  };
  const state = await fileSystems.prepare(request);
  expect(states).toEqual(['formatting']);
  expect(state.state).toBe('formatted');
  expect(server.record.fileSystem).toEqual(state);
  expect(machine.disks.get(request.device)?.signature).toEqual({ type: 'ext4', uuid: state.uuid });
});

test('a volume that has its file system is only looked at', async () => {
  await using folder = await temporaryFolder('fs');
  const formatted: FileSystemState = { kind: 'ext4', uuid: 'own', state: 'formatted' };
  const { machine, fileSystems, server, request } = await rig(folder.path, formatted);
  machine.disks.set(request.device, {
    signature: { type: 'ext4', uuid: 'own' },
    sizeBytes: SIZE_BYTES,
  });
  expect(await fileSystems.prepare(request)).toEqual(formatted);
  expect(machine.programs()).toEqual(['blkid']);
  expect(server.version).toBe(1);
});

test.each([
  ['at the start', 0],
  ['in the fourth MiB', 4 * MiB - 1],
  ['at the end', SIZE_BYTES - 1],
  ['a MiB before the end', SIZE_BYTES - MiB],
])('one byte that is not zero %s and the device is not formatted', async (_where, offsetBytes) => {
  await using folder = await temporaryFolder('fs');
  const { machine, fileSystems, server, request } = await rig(folder.path);
  const { files } = nodePlatform();
  const file = await files.open(request.device, 'write');
  await new Promise<void>((resolve, reject) => {
    file.write(Buffer.from([1]), offsetBytes, (error) => (error ? reject(error) : resolve()));
  });
  await new Promise<void>((resolve) => {
    file.close(() => resolve());
  });
  await expect(fileSystems.prepare(request)).rejects.toMatchObject({
    code: 'dataLoss',
    message:
      'volume "data" is not mounted: it should be blank and holds data without a known ' +
      'signature. Nothing was changed on it',
  });
  expect(machine.programs()).not.toContain('mkfs.ext4');
  expect(server.record.fileSystem).toEqual(blank);
});

test('a device that should have a file system and is blank is evidence of loss', async () => {
  await using folder = await temporaryFolder('fs');
  const formatted: FileSystemState = { kind: 'ext4', uuid: 'own', state: 'formatted' };
  const { machine, fileSystems, request } = await rig(folder.path, formatted);
  await expect(fileSystems.prepare(request)).rejects.toMatchObject({ code: 'dataLoss' });
  expect(machine.programs()).not.toContain('mkfs.ext4');
});

test('a mkfs that fails leaves formatting in the record, and the next attempt succeeds', async () => {
  await using folder = await temporaryFolder('fs');
  const { machine, fileSystems, server, request } = await rig(folder.path);
  machine.override = ([program]) => (program === 'mkfs.ext4' ? failed(1, 'no space') : null);
  await expect(fileSystems.prepare(request)).rejects.toThrow(/cannot be formatted: .*no space/);
  const { uuid } = server.record.fileSystem;
  expect(server.record.fileSystem.state).toBe('formatting');
  machine.override = () => null;
  expect(await fileSystems.prepare(request)).toEqual({ kind: 'ext4', uuid, state: 'formatted' });
});

test('options of the user are checked before anything is committed', async () => {
  await using folder = await temporaryFolder('fs');
  const { fileSystems, server, request } = await rig(folder.path);
  const bad = fileSystems.prepare({ ...request, options: '-F' });
  await expect(bad).rejects.toMatchObject({ code: 'badRequest' });
  expect(server.record.fileSystem).toEqual(blank);
});

test('a raw volume is never formatted or mounted', async () => {
  await using folder = await temporaryFolder('fs');
  const raw: FileSystemState = { kind: 'none', uuid: null, state: 'blank' };
  const { machine, fileSystems, request } = await rig(folder.path, raw);
  await expect(fileSystems.prepare(request)).rejects.toMatchObject({ code: 'badRequest' });
  expect(machine.ran).toEqual([]);
});

test('errors that e2fsck does not repair by itself keep the volume unmounted', async () => {
  await using folder = await temporaryFolder('fs');
  const { machine, fileSystems, device } = await rig(folder.path);
  machine.override = ([program]) => (program === 'e2fsck' ? failed(4, 'UNEXPECTED') : null);
  const mounting = fileSystems.mount({
    volumeName: 'data',
    device,
    kind: 'ext4',
    mountpoint: join(folder.path, 'mnt'),
    readOnly: false,
  });
  await expect(mounting).rejects.toMatchObject({ code: 'dataLoss' });
  expect(machine.mounts).toEqual([]);
});

test('a file system smaller than its device is grown when it is mounted', async () => {
  await using folder = await temporaryFolder('fs');
  const { machine, fileSystems, device } = await rig(folder.path);
  const start = Buffer.alloc(2048);
  start.writeUInt16LE(0xef53, 1024 + 0x38);
  start.writeUInt32LE((32 * MiB) / 4096, 1024 + 0x4);
  start.writeUInt32LE(2, 1024 + 0x18);
  await writeFile(device, start);
  const mountpoint = join(folder.path, 'mnt');
  const request = { volumeName: 'data', device, kind: 'ext4', mountpoint } as const;
  await fileSystems.mount({ ...request, readOnly: false });
  expect(machine.ran.slice(-3)).toEqual([
    `mount -t ext4 -o rw,errors=remount-ro,nodiscard ${device} ${mountpoint}`,
    `blockdev --getsize64 ${device}`,
    `resize2fs ${device}`,
  ]);
});

test('a mount that could not be grown is undone', async () => {
  await using folder = await temporaryFolder('fs');
  const { machine, fileSystems, device } = await rig(folder.path);
  machine.override = ([program]) => (program === 'blockdev' ? failed(1, 'gone') : null);
  const mountpoint = join(folder.path, 'mnt');
  const request = { volumeName: 'data', device, kind: 'ext4', mountpoint } as const;
  await expect(fileSystems.mount({ ...request, readOnly: false })).rejects.toThrow(/gone/);
  expect(machine.mounts).toEqual([]);
});

test('a busy mount is told as busy and left as it is', async () => {
  await using folder = await temporaryFolder('fs');
  const { machine, fileSystems } = await rig(folder.path);
  machine.mounts.push({ source: '/dev/loop0', point: '/mnt/data', options: 'rw' });
  machine.busy.add('/mnt/data');
  expect(await fileSystems.unmount('/mnt/data')).toBe(false);
  machine.busy.clear();
  expect(await fileSystems.unmount('/mnt/data')).toBe(true);
  expect(await fileSystems.unmount('/mnt/data')).toBe(true);
});

test('blkid that sees contradicting signatures, or fails, never reads as blank', async () => {
  await using folder = await temporaryFolder('fs');
  const { machine, fileSystems, request } = await rig(folder.path);
  machine.override = ([program]) => (program === 'blkid' ? failed(8) : null);
  await expect(fileSystems.prepare(request)).rejects.toThrow(/several signatures/);
  machine.override = ([program]) => (program === 'blkid' ? failed(4, 'I/O error') : null);
  await expect(fileSystems.prepare(request)).rejects.toThrow(/I\/O error/);
  machine.override = ([program]) => (program === 'blkid' ? ok('PTTYPE=gpt\n') : null);
  await expect(fileSystems.prepare(request)).rejects.toThrow(/gpt table/);
});

test('a volume is not mounted over something else, which stays', async () => {
  await using folder = await temporaryFolder('fs');
  const { device, machine, fileSystems } = await rig(folder.path);
  const mountpoint = join(folder.path, 'mnt');
  machine.mounts.push({ source: '/dev/other', point: mountpoint, options: 'rw' });
  const request = {
    volumeName: 'data',
    device,
    kind: 'ext4',
    mountpoint,
    readOnly: false,
  } as const;
  await expect(fileSystems.mount(request)).rejects.toMatchObject({ code: 'inUse' });
  expect(machine.ran).toEqual([]);
  expect(machine.mounts.length).toBe(1);
});
