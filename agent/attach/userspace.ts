/**
 * Attach without iSCSI in the kernel: qemu-storage-daemon speaks iSCSI and exports NBD on a unix
 * socket, nbdfuse makes that a file, a loop device makes the file a block device. QEMU's own FUSE
 * export is not used: in 7.2 it corrupts overlapping requests.
 *
 *     target ← iSCSI ─ qemu-storage-daemon ← NBD ─ nbdfuse ← FUSE ─ loop ← the file system
 *
 * The daemons are started apart from the agent and live on without it. Both reconnect and retry
 * for ever, so a target that is away for a while is a pause and not an error (R18).
 */
import { join } from 'node:path';
import type { Clock, Files } from '../../core/platform/index.ts';
import { type Commands, commandError } from '../host/commands.ts';
import { mountedOn, readMounts } from '../host/mount-table.ts';
import type { Processes, RunningProcess } from '../host/processes.ts';
import type { SystemFiles } from '../host/system-files.ts';
import { until } from '../host/time.ts';
import { type LogFiles, reasonFrom } from '../instances/process/log-file.ts';
import type { StatePaths } from '../state/state-folder.ts';
import type { AttachedDevice, DeviceAttacher, DeviceName, DeviceRequest } from './device.ts';
import { LoopDevices } from './loop-devices.ts';

export interface UserspaceDependencies {
  readonly clock: Clock;
  readonly files: Files;
  readonly commands: Commands;
  readonly processes: Processes;
  readonly system: SystemFiles;
  readonly logFiles: LogFiles;
  readonly paths: StatePaths;
}

/** Logging in and reading the capacity takes so long at most. */
const START_TIMEOUT_MS = 25_000;
const GONE_TIMEOUT_MS = 10_000;
const COMMAND_TIMEOUT_MS = 15_000;
const POLL_INTERVAL_MS = 20;
/** After SIGTERM the daemon flushes and logs out; without its target it does not react at all. */
const DAEMON_GRACE_MS = 5_000;

interface Places {
  readonly folder: string;
  readonly nbdSocket: string;
  readonly daemonPidFile: string;
  readonly fusePidFile: string;
  readonly fuseFolder: string;
  readonly file: string;
}

interface Daemon {
  readonly name: string;
  readonly argv: readonly string[];
  readonly logPath: string;
  /** There when it is ready. */
  readonly pidFile: string;
}

export class UserspaceAttacher implements DeviceAttacher {
  readonly method = 'userspace';
  readonly #dependencies: UserspaceDependencies;
  readonly #loops: LoopDevices;

  constructor(dependencies: UserspaceDependencies) {
    this.#dependencies = dependencies;
    this.#loops = new LoopDevices(dependencies.commands, dependencies.system);
  }

  async attach(request: DeviceRequest): Promise<AttachedDevice> {
    await this.detach(request);
    const places = this.#places(request.volumeId);
    try {
      return await this.#attachAfresh(request, places);
    } catch (error) {
      await this.detach(request);
      throw error;
    }
  }

  async damage({ volumeId }: DeviceRequest, attached: AttachedDevice): Promise<string | null> {
    const { processes, system } = this.#dependencies;
    const { file, fuseFolder } = this.#places(volumeId);
    if (!attached.processes.every((process) => processes.isAlive(process))) {
      return 'a process of its attachment (qemu-storage-daemon or nbdfuse) has died';
    }
    const devices = await this.#loops.find(file);
    if (!devices.includes(attached.device)) return `its device ${attached.device} is gone`;
    const isMounted = mountedOn(await readMounts(system), fuseFolder) !== null;
    return isMounted ? null : 'its FUSE mount is gone';
  }

  async detach({ volumeId }: Pick<DeviceName, 'volumeId'>): Promise<void> {
    const places = this.#places(volumeId);
    if (!(await this.#dependencies.files.exists(places.folder))) return;
    await this.#removeLoops(places);
    await this.#removeFuse(places);
    await this.#endDaemons(places, ['SIGTERM', 'SIGKILL']);
    await this.#removeFiles(volumeId, places);
  }

  async destroy({ volumeId }: Pick<DeviceName, 'volumeId'>): Promise<void> {
    const { commands } = this.#dependencies;
    const places = this.#places(volumeId);
    // Kept open by somebody, the loop device goes with its last user.
    for (const device of await this.#loops.find(places.file)) await this.#loops.remove(device);
    await this.#endDaemons(places, ['SIGKILL']);
    const line = ['umount', '--lazy', places.fuseFolder] as const;
    await commands.run(line, { timeoutMs: COMMAND_TIMEOUT_MS });
    await this.#removeFiles(volumeId, places);
  }

  async #attachAfresh(request: DeviceRequest, places: Places): Promise<AttachedDevice> {
    const { files, paths } = this.#dependencies;
    for (const folder of [places.folder, places.fuseFolder]) {
      if (!(await files.exists(folder))) await files.makeFolder(folder);
    }
    const daemon = await this.#start({
      name: 'qemu-storage-daemon',
      argv: daemonArguments(request, places),
      logPath: paths.log('attach', request.volumeId),
      pidFile: places.daemonPidFile,
    });
    const fuse = await this.#start({
      name: 'nbdfuse',
      argv: ['nbdfuse', '-P', places.fusePidFile, places.file, '--unix', places.nbdSocket],
      logPath: paths.log('fuse', request.volumeId),
      pidFile: places.fusePidFile,
    });
    const device = await this.#loops.make(places.file);
    return { device, processes: [daemon.identity, fuse.identity] };
  }

  /** Returns when it is ready. @throws Error with its own last words when it is not. */
  async #start(daemon: Daemon): Promise<RunningProcess> {
    const { clock, files, processes, logFiles } = this.#dependencies;
    const fromBytes = await logFiles.rotate(daemon.logPath);
    const process = await processes.spawn(daemon.argv, { logPath: daemon.logPath });
    await processes.protect(process.identity);
    const outcome = await until<'ready' | 'ended'>(
      async () => {
        if (!processes.isAlive(process.identity)) return 'ended';
        return (await files.exists(daemon.pidFile)) ? 'ready' : null;
      },
      { clock, timeoutMs: START_TIMEOUT_MS, intervalMs: POLL_INTERVAL_MS },
    );
    if (outcome === 'ready') return process;
    const said = reasonFrom(await logFiles.tail(daemon.logPath, fromBytes));
    const what = outcome === 'ended' ? 'ended at once' : 'was not ready in time';
    throw new Error(`${daemon.name} ${what}${said === '' ? '' : `: ${said}`}`);
  }

  async #removeLoops({ file }: Places): Promise<void> {
    const devices = await this.#loops.find(file);
    // Asked to go while it is mounted, the kernel would take it away at the unmount.
    for (const { source, mountPoint } of await readMounts(this.#dependencies.system)) {
      if (!devices.includes(source)) continue;
      throw new Error(`the loop device ${source} is still in use: mounted on ${mountPoint}`);
    }
    for (const device of devices) await this.#loops.remove(device);
    await this.#gone(async () => {
      const [device] = await this.#loops.find(file);
      return device === undefined ? null : `the loop device ${device} is still in use`;
    });
  }

  async #removeFuse({ fuseFolder }: Places): Promise<void> {
    const { commands, system } = this.#dependencies;
    await this.#gone(async () => {
      if (mountedOn(await readMounts(system), fuseFolder) === null) return null;
      // The kernel closes the loop device's file a moment after the device is gone.
      const line = ['umount', fuseFolder] as const;
      const result = await commands.run(line, { timeoutMs: COMMAND_TIMEOUT_MS });
      return result.exitCode === 0 ? null : commandError(line, result).message;
    });
  }

  /** By what their arguments name, so that one started just before a crash is found too. */
  async #endDaemons(
    { nbdSocket }: Places,
    signals: readonly ('SIGTERM' | 'SIGKILL')[],
  ): Promise<void> {
    const { clock, processes } = this.#dependencies;
    const ours = async () => {
      const listed = await processes.list();
      return listed.filter(({ argv }) => argv.some((text) => namesSocket(text, nbdSocket)));
    };
    for (const name of signals) {
      for (const { identity } of await ours()) processes.signal(identity, name);
      const ended = await until(async () => ((await ours()).length === 0 ? true : null), {
        clock,
        timeoutMs: DAEMON_GRACE_MS,
        intervalMs: POLL_INTERVAL_MS,
      });
      if (ended === true) return;
    }
    const [left] = await ours();
    if (left !== undefined) throw new Error(`process ${left.identity.pid} cannot be killed`);
  }

  async #removeFiles(volumeId: string, places: Places): Promise<void> {
    const { files, system, paths } = this.#dependencies;
    // Not what is inside: should it be mounted after all, that is the volume.
    await system.removeFolder(places.fuseFolder);
    for (const path of [places.nbdSocket, places.daemonPidFile, places.fusePidFile]) {
      await files.remove(path);
    }
    await system.removeFolder(places.folder);
    for (const kind of ['attach', 'fuse'] as const) {
      await files.remove(paths.log(kind, volumeId));
    }
  }

  /** @param remains null when it is gone, else what to say if it never goes. */
  async #gone(remains: () => Promise<string | null>): Promise<void> {
    const { clock } = this.#dependencies;
    let left: string | null = null;
    await until(
      async () => {
        left = await remains();
        return left === null ? true : null;
      },
      { clock, timeoutMs: GONE_TIMEOUT_MS, intervalMs: POLL_INTERVAL_MS },
    );
    if (left !== null) throw new Error(left);
  }

  #places(volumeId: string): Places {
    const folder = this.#dependencies.paths.attachFolder(volumeId);
    const fuseFolder = join(folder, 'fuse');
    return {
      folder,
      fuseFolder,
      nbdSocket: join(folder, 'nbd.sock'),
      daemonPidFile: join(folder, 'daemon.pid'),
      fusePidFile: join(folder, 'nbdfuse.pid'),
      file: join(fuseFolder, 'volume'),
    };
  }
}

/** A comma separates options: within a value it is doubled (qemu-storage-daemon(1)). */
function optionValue(text: string): string {
  return text.replaceAll(',', ',,');
}

function namesSocket(argument: string, nbdSocket: string): boolean {
  return argument === nbdSocket || argument.endsWith(`,addr.path=${optionValue(nbdSocket)}`);
}

function daemonArguments(request: DeviceRequest, places: Places): readonly string[] {
  const blockdev = [
    'driver=iscsi',
    'node-name=volume',
    'transport=tcp',
    `portal=${optionValue(request.portal)}`,
    `target=${optionValue(request.iqn)}`,
    'lun=0',
    `initiator-name=${optionValue(request.initiatorName)}`,
    'cache.direct=on',
    'discard=unmap',
  ].join(',');
  const options = {
    '--pidfile': places.daemonPidFile,
    '--blockdev': blockdev,
    '--nbd-server': `addr.type=unix,addr.path=${optionValue(places.nbdSocket)}`,
    '--export': 'type=nbd,id=volume,node-name=volume,writable=on,name=',
  };
  return ['qemu-storage-daemon', ...Object.entries(options).flat()];
}
