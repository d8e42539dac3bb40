/** The user-space attach and the file system on it, real but for the target: a memory device. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { UserspaceAttacher } from '../../agent/attach/userspace.ts';
import { FileSystems } from '../../agent/filesystem/file-systems.ts';
import { findHolders } from '../../agent/filesystem/holders.ts';
import { recordAccess } from '../../agent/filesystem/record-access.ts';
import { NodeCommands } from '../../agent/host/commands.ts';
import { NodeProcesses } from '../../agent/host/processes.ts';
import { nodeSystemFiles } from '../../agent/host/system-files.ts';
import { nodeLogFiles } from '../../agent/instances/process/log-file.ts';
import { StatePaths } from '../../agent/state/state-folder.ts';
import { ApiserverClient } from '../../core/api/index.ts';
import { MemoryBlockDevice } from '../../core/block/memory-block-device.ts';
import { silentLogger } from '../../core/platform/logger.ts';
import { nodePlatform } from '../../core/platform/node/index.ts';
import { MiB } from '../../core/units.ts';
import { RecordServer } from '../fixtures/agent/record-server.ts';
import { MEMORY_TARGET_NAME, serveIscsi } from '../fixtures/iscsi-over-memory.ts';
import { needs } from '../fixtures/needs.ts';
import { freePort } from '../fixtures/ports.ts';
import { RunningProcess, runOk } from '../fixtures/processes.ts';
import { takeAwayByForce } from '../fixtures/rigs/force.ts';
import { lastingLeftovers } from '../fixtures/rigs/leftovers.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const real = needs({
  linux: true,
  root: true,
  command: ['qemu-storage-daemon', 'nbdfuse', 'losetup', 'mkfs.ext4', 'mkfs.xfs', 'blkid'],
});
const TIMEOUT_MS = 120_000;
const VOLUME_ID = '0123456789ab-4cde-8000-000000000000';
const INITIATOR = 'iqn.2016-09.com.openebs:node-test';
const GAP_MS = 4_000;

async function rig(root: string) {
  const paths = new StatePaths(root);
  for (const folder of [paths.run, paths.mounts, join(root, 'logs')]) await mkdir(folder);
  const { clock, files, random, host } = nodePlatform();
  const system = nodeSystemFiles;
  const commands = new NodeCommands();
  const processes = new NodeProcesses({ clock, host, system, ioFlusher: () => null });
  const attacher = new UserspaceAttacher({
    clock,
    files,
    commands,
    processes,
    system,
    paths,
    logFiles: nodeLogFiles,
  });
  const fileSystems = new FileSystems({ commands, files, system, random, log: silentLogger });
  const port = await freePort();
  const device = new MemoryBlockDevice({ sizeBytes: 320 * MiB });
  const admitted: string[] = [];
  const serve = async () => {
    const admits = (name: string) => {
      admitted.push(name);
      return true;
    };
    const { portal } = await serveIscsi({ device, port, admits });
    let closing: Promise<void> | null = null;
    const close = () => (closing ??= portal.close());
    return { close, [Symbol.asyncDispose]: close };
  };
  const request = {
    volumeId: VOLUME_ID,
    iqn: MEMORY_TARGET_NAME,
    portal: `127.0.0.1:${port}`,
    initiatorName: INITIATOR,
  };
  const mountpoint = paths.mountpoint(VOLUME_ID);
  return { attacher, fileSystems, serve, request, mountpoint, admitted, paths, system, processes };
}

function recordOf(kind: 'ext4' | 'xfs') {
  const server = new RecordServer({ kind, uuid: null, state: 'blank' });
  return recordAccess(server.volumeId, new ApiserverClient(server), () => undefined);
}

async function inFolder(body: (root: string) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder('attach');
  try {
    await body(folder.path);
    expect(await lastingLeftovers(folder.path)).toEqual([]);
  } finally {
    await takeAwayByForce(folder.path);
  }
}

for (const kind of ['ext4', 'xfs'] as const) {
  real.test(
    `a blank device gets ${kind} once, keeps its files, and detaching leaves nothing`,
    () =>
      inFolder(async (root) => {
        const { attacher, fileSystems, serve, request, mountpoint, admitted, paths } =
          await rig(root);
        await using target = await serve();
        const record = recordOf(kind);
        const options = kind === 'ext4' ? '-m 1 -O ^metadata_csum' : '-n size=8192';
        for (const round of ['first', 'second']) {
          const { device } = await attacher.attach(request);
          const prepare = { volumeName: 'data', device, options, record };
          const { uuid } = await fileSystems.prepare(prepare);
          expect(await runOk('blkid', ['-p', '-o', 'value', '-s', 'UUID', device])).toBe(
            `${uuid}\n`,
          );
          await fileSystems.mount({ ...prepare, kind, mountpoint, readOnly: false });
          await writeFile(join(mountpoint, round), round);
          await runOk('fstrim', [mountpoint]);
          expect(await fileSystems.unmount(mountpoint)).toBe(true);
          await attacher.detach(request);
        }
        const { device } = await attacher.attach(request);
        await fileSystems.mount({ volumeName: 'data', device, kind, mountpoint, readOnly: true });
        expect(await readFile(join(mountpoint, 'first'), 'utf8')).toBe('first');
        expect(await readFile(join(mountpoint, 'second'), 'utf8')).toBe('second');
        await expect(writeFile(join(mountpoint, 'third'), '')).rejects.toThrow(/EROFS/);
        expect(await fileSystems.unmount(mountpoint)).toBe(true);
        await attacher.detach(request);
        await target.close();
        expect(new Set(admitted)).toEqual(new Set([INITIATOR]));
        expect(await readdir(paths.run)).toEqual([]);
        expect(await readdir(paths.mounts)).toEqual([]);
      }),
    TIMEOUT_MS,
  );
}

real.test(
  'while the target is away I/O waits, and goes on without an error when it is back',
  () =>
    inFolder(async (root) => {
      const { attacher, fileSystems, serve, request, mountpoint } = await rig(root);
      await using first = await serve();
      const { device } = await attacher.attach(request);
      const prepare = { volumeName: 'data', device, options: '', record: recordOf('ext4') };
      await fileSystems.prepare(prepare);
      await fileSystems.mount({ ...prepare, kind: 'ext4', mountpoint, readOnly: false });
      await first.close();
      const file = join(mountpoint, 'written-in-the-gap');
      const write = `of=${file} if=/dev/zero bs=1M count=8 conv=fsync status=none`;
      await using dd = new RunningProcess('dd', write.split(' '));
      await delay(GAP_MS);
      expect(dd.isRunning).toBe(true);
      await using second = await serve();
      expect(await dd.ended).toEqual({ status: 0, signal: null });
      expect(await fileSystems.unmount(mountpoint)).toBe(true);
      await runOk('e2fsck', ['-fn', device]);
      await attacher.detach(request);
      await second.close();
    }),
  TIMEOUT_MS,
);

real.test(
  'who uses a mount is named, and it is not taken away from them',
  () =>
    inFolder(async (root) => {
      const { attacher, fileSystems, serve, request, mountpoint, system } = await rig(root);
      await using target = await serve();
      const { device } = await attacher.attach(request);
      const prepare = { volumeName: 'data', device, options: '', record: recordOf('ext4') };
      await fileSystems.prepare(prepare);
      await fileSystems.mount({ ...prepare, kind: 'ext4', mountpoint, readOnly: false });
      {
        await using user = new RunningProcess('sh', ['-c', `cd ${mountpoint} && exec sleep 60`]);
        await using other = new RunningProcess('unshare', ['-m', 'sleep', '60']);
        await expect(attacher.detach(request)).rejects.toThrow(/is still in use/);
        expect(await fileSystems.unmount(mountpoint)).toBe(false);
        const holders = await findHolders(system, mountpoint, 'all');
        const names = holders.map(({ name }) => name);
        expect(names).toContain(`pid ${user.pid} (sleep)`);
        // `unshare -m` makes its copy of the mount private: it does not go along with ours.
        expect(holders).toContainEqual({ name: `pid ${other.pid} (sleep)`, hasOwnMount: true });
      }
      expect(await fileSystems.unmount(mountpoint)).toBe(true);
      await attacher.detach(request);
      await target.close();
    }),
  TIMEOUT_MS,
);

real.test(
  'a target that refuses, or is not there, leaves nothing half made',
  () =>
    inFolder(async (root) => {
      const { attacher, request, paths } = await rig(root);
      const served = await serveIscsi({ admits: () => false });
      const refused = { ...request, portal: `127.0.0.1:${served.port}` };
      await expect(attacher.attach(refused)).rejects.toThrow(/qemu-storage-daemon ended at once/);
      await served.portal.close();
      await expect(attacher.attach(request)).rejects.toThrow(/ended at once/);
      expect(await readdir(paths.run)).toEqual([]);
    }),
  TIMEOUT_MS,
);

real.test(
  'a daemon that dies is noticed, and by force everything goes although it is in use',
  () =>
    inFolder(async (root) => {
      const { attacher, fileSystems, serve, request, mountpoint, processes } = await rig(root);
      await using target = await serve();
      const attached = await attacher.attach(request);
      const { device } = attached;
      const prepare = { volumeName: 'data', device, options: '', record: recordOf('ext4') };
      await fileSystems.prepare(prepare);
      await fileSystems.mount({ ...prepare, kind: 'ext4', mountpoint, readOnly: false });
      expect(await attacher.damage(request, attached)).toBeNull();
      await using user = new RunningProcess('sh', ['-c', `cd ${mountpoint} && exec sleep 60`]);
      const [daemon] = attached.processes;
      if (daemon === undefined) throw new Error('no daemon');
      await fileSystems.sync(mountpoint);
      processes.signal(daemon, 'SIGKILL');
      const damage = await waitFor(
        'the damage is seen',
        async () => (await attacher.damage(request, attached)) ?? false,
        10_000,
      );
      expect(damage).toMatch(/has died/);
      await fileSystems.unmountLazily(mountpoint);
      await attacher.destroy(request);
      await user.end();
      await target.close();
    }),
  TIMEOUT_MS,
);
