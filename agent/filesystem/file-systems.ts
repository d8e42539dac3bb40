/** From a block device to a mounted folder, and back. */
import { apiError } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import type { Files, Logger, Random } from '../../core/platform/index.ts';
import type { FileSystemState } from '../../core/volume/record.ts';
import { type CommandLine, type Commands, commandError, runOk } from '../host/commands.ts';
import { mountedOn, readMounts } from '../host/mount-table.ts';
import type { SystemFiles } from '../host/system-files.ts';
import { decide } from './decide.ts';
import { type FileSystemKind, parseMkfsOptions } from './mkfs-options.ts';
import { deviceBytes, probe, readStart } from './probe.ts';
import type { RecordAccess } from './record-access.ts';
import { fileSystemBytes, SUPERBLOCK_BYTES } from './superblock.ts';

export interface FileSystemsDependencies {
  readonly commands: Commands;
  readonly files: Files;
  readonly system: SystemFiles;
  readonly random: Random;
  readonly log: Logger;
}

export interface PrepareRequest {
  /** For the sentences. */
  readonly volumeName: string;
  readonly device: string;
  readonly options: string;
  readonly record: RecordAccess;
}

export interface MountRequest {
  readonly volumeName: string;
  readonly device: string;
  readonly kind: FileSystemKind;
  readonly mountpoint: string;
  readonly readOnly: boolean;
  /** `ofFileSystem` of ./mount-options.ts. */
  readonly mountOptions?: readonly string[];
}

const MKFS_TIMEOUT_MS = 90_000;
const CHECK_TIMEOUT_MS = 90_000;
const MOUNT_TIMEOUT_MS = 60_000;
const SYNC_TIMEOUT_MS = 60_000;

/** e2fsck(8): errors were corrected; and: the system should be rebooted (not for a data volume). */
const FSCK_CORRECTED = 1;
const FSCK_CORRECTED_REBOOT = 2;
/** mount(8): the device or mount point is busy, or the file system cannot be mounted. */
const EXIT_MOUNT_FAILURE = 32;

const MOUNT_OPTIONS: Readonly<Record<FileSystemKind, string>> = {
  // A file system with an error must not go on writing; TRIM comes from fstrim, not per delete.
  ext4: 'errors=remount-ro,nodiscard',
  xfs: 'nodiscard',
};

export class FileSystems {
  readonly #dependencies: FileSystemsDependencies;

  constructor(dependencies: FileSystemsDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Makes sure that the device holds the file system which the record names, and makes it if,
   * and only if, there never was one. @throws ApiError dataLoss when the two do not agree.
   */
  async prepare(request: PrepareRequest): Promise<FileSystemState> {
    const { record, device, volumeName } = request;
    const state = await record.read();
    if (state.kind === 'none') throw noFileSystem(volumeName);
    const decision = decide(state, await probe(device, this.#dependencies));
    switch (decision.kind) {
      case 'mount':
        return state;
      case 'refuse':
        throw dataLoss(volumeName, decision.reason);
      case 'format':
        return this.#format(request, state);
    }
  }

  /** As `prepare`, from a state seen earlier: never formats. @throws ApiError */
  async verify(volumeName: string, device: string, state: FileSystemState): Promise<void> {
    if (state.kind === 'none') throw noFileSystem(volumeName);
    const decision = decide(state, await probe(device, this.#dependencies));
    if (decision.kind === 'refuse') throw dataLoss(volumeName, decision.reason);
    if (decision.kind === 'format') {
      throw apiError(
        'unavailable',
        `volume "${volumeName}" has no file system yet, and making one needs the apiserver`,
        { volume: volumeName },
      );
    }
  }

  /** Checks, mounts, and grows it if the device has become larger. @throws ApiError */
  async mount(request: MountRequest): Promise<void> {
    const { commands } = this.#dependencies;
    const { device, kind, mountpoint, readOnly, volumeName } = request;
    if ((await this.mounted(mountpoint)) !== null) {
      const detail = `volume "${volumeName}": something is mounted on ${mountpoint}: unmount it`;
      throw apiError('inUse', detail, { volume: volumeName, holder: mountpoint });
    }
    await this.#check(request);
    await this.#makeMountpoint(mountpoint);
    const words = [readOnly ? 'ro' : 'rw', MOUNT_OPTIONS[kind], ...(request.mountOptions ?? [])];
    const options = words.join(',');
    const line = ['mount', '-t', kind, '-o', options, device, mountpoint] as const;
    try {
      await runOk(commands, line, { timeoutMs: MOUNT_TIMEOUT_MS });
      if (!readOnly) await this.#grow(request);
    } catch (cause) {
      await this.#undoMount(mountpoint);
      const detail = `volume "${volumeName}" cannot be mounted: ${messageOf(cause)}`;
      throw apiError('internal', detail, { volume: volumeName, cause });
    }
  }

  async remountWritable(mountpoint: string): Promise<void> {
    const line = ['mount', '-o', 'remount,rw', mountpoint] as const;
    await runOk(this.#dependencies.commands, line, { timeoutMs: MOUNT_TIMEOUT_MS });
  }

  /** Not mounted: fine. Busy: false, and nothing has changed. @throws CommandError */
  async unmount(mountpoint: string): Promise<boolean> {
    const { commands } = this.#dependencies;
    while ((await this.mounted(mountpoint)) !== null) {
      const line = ['umount', mountpoint] as const;
      const result = await commands.run(line, { timeoutMs: MOUNT_TIMEOUT_MS });
      if (result.exitCode === EXIT_MOUNT_FAILURE) return false;
      if (result.exitCode !== 0) throw commandError(line, result);
    }
    await this.#dependencies.system.removeFolder(mountpoint);
    return true;
  }

  /** By force: out of sight at once, and really gone when its last user is. */
  async unmountLazily(mountpoint: string): Promise<void> {
    const { commands, system } = this.#dependencies;
    while ((await this.mounted(mountpoint)) !== null) {
      const line = ['umount', '--lazy', mountpoint] as const;
      await runOk(commands, line, { timeoutMs: MOUNT_TIMEOUT_MS });
    }
    await system.removeFolder(mountpoint);
  }

  /** What is mounted there; null if nothing is. */
  async mounted(mountpoint: string) {
    return mountedOn(await readMounts(this.#dependencies.system), mountpoint);
  }

  /** syncfs: what programs have written so far is on the replicas. @throws CommandError */
  async sync(mountpoint: string, timeoutMs: number = SYNC_TIMEOUT_MS): Promise<void> {
    const line = ['sync', '--file-system', mountpoint] as const;
    await runOk(this.#dependencies.commands, line, { timeoutMs });
  }

  async #format(request: PrepareRequest, state: FileSystemState): Promise<FileSystemState> {
    const { record, device, volumeName, options } = request;
    if (state.kind === 'none') throw noFileSystem(volumeName);
    const uuid = state.uuid ?? this.#dependencies.random.uuid();
    const formatting = { kind: state.kind, uuid, state: 'formatting' } as const;
    const line = mkfsLine(state.kind, uuid, [...parseMkfsOptions(state.kind, options), device]);
    await record.change(state, formatting);
    this.#dependencies.log.info('making a file system', { volume: volumeName, kind: state.kind });
    try {
      await runOk(this.#dependencies.commands, line, { timeoutMs: MKFS_TIMEOUT_MS });
    } catch (cause) {
      const detail = `volume "${volumeName}" cannot be formatted: ${messageOf(cause)}`;
      throw apiError('internal', detail, { volume: volumeName, cause });
    }
    const formatted = { ...formatting, state: 'formatted' } as const;
    const decision = decide(formatted, await probe(device, this.#dependencies));
    if (decision.kind !== 'mount') {
      throw apiError('internal', `volume "${volumeName}" does not show its new file system`);
    }
    await record.change(formatting, formatted);
    return formatted;
  }

  /** xfs replays its log when mounted; e2fsck -p looks at a clean ext4 for a few milliseconds. */
  async #check({ kind, device, volumeName }: MountRequest): Promise<void> {
    if (kind !== 'ext4') return;
    const { commands, log } = this.#dependencies;
    const line = ['e2fsck', '-p', device] as const;
    const result = await commands.run(line, { timeoutMs: CHECK_TIMEOUT_MS });
    if (result.exitCode === 0) return;
    if (result.exitCode === FSCK_CORRECTED || result.exitCode === FSCK_CORRECTED_REBOOT) {
      log.warn('file system repaired', { volume: volumeName, said: result.stdout.trim() });
      return;
    }
    const { message } = commandError(line, result);
    throw dataLoss(volumeName, `its file system needs a repair by hand: ${message}`);
  }

  async #grow({ kind, device, mountpoint, volumeName }: MountRequest): Promise<void> {
    const { commands, files, log } = this.#dependencies;
    const start = await readStart(device, SUPERBLOCK_BYTES, files);
    const present = fileSystemBytes(kind, start);
    const size = await deviceBytes(device, { commands });
    // A rest smaller than the smallest unit that either file system can add stays unused.
    if (present === null || size - present < GROW_BYTES_MIN) return;
    const line: CommandLine = kind === 'ext4' ? ['resize2fs', device] : ['xfs_growfs', mountpoint];
    await runOk(commands, line, { timeoutMs: MOUNT_TIMEOUT_MS });
    log.info('file system grown', { volume: volumeName, sizeBytes: size });
  }

  async #makeMountpoint(mountpoint: string): Promise<void> {
    const { files } = this.#dependencies;
    if (!(await files.exists(mountpoint))) await files.makeFolder(mountpoint);
  }

  async #undoMount(mountpoint: string): Promise<void> {
    try {
      await this.unmount(mountpoint);
    } catch (error) {
      this.#dependencies.log.error('a failed mount could not be undone', { mountpoint, error });
    }
  }
}

/** An ext4 block group of 128 MiB may start with a few MiB; xfs adds whole blocks. */
const GROW_BYTES_MIN = 16 * 1024 * 1024;

/**
 * The device was never written, or only by a mkfs of ours: discarding it first would be for
 * nothing. `-F` and `-f` stand for the questions that `probe` and `decide` have answered better.
 */
function mkfsLine(kind: FileSystemKind, uuid: string, rest: readonly string[]): CommandLine {
  switch (kind) {
    case 'ext4':
      return ['mkfs.ext4', '-q', '-F', '-U', uuid, '-m', '0', '-E', 'nodiscard', ...rest];
    case 'xfs':
      return ['mkfs.xfs', '-q', '-f', '-K', '-m', `uuid=${uuid}`, ...rest];
  }
}

function noFileSystem(volumeName: string) {
  return apiError(
    'badRequest',
    `volume "${volumeName}" has no file system (fs=none): attach it as a device`,
    { volume: volumeName },
  );
}

function dataLoss(volumeName: string, reason: string) {
  return apiError(
    'dataLoss',
    `volume "${volumeName}" is not mounted: ${reason}. Nothing was changed on it`,
    { volume: volumeName },
  );
}
