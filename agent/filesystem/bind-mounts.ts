/** What is attached here, shown at a place that a caller names: bind mounts (mount(2), MS_BIND). */
import { type ApiError, apiError } from '../../core/api/index.ts';
import { codeOf, messageOf } from '../../core/errors.ts';
import { type Commands, commandError, runOk } from '../host/commands.ts';
import { holdingMount, type MountEntry, mountedOn, readMounts } from '../host/mount-table.ts';
import type { Places } from '../host/places.ts';
import type { SystemFiles } from '../host/system-files.ts';
import { findUsers } from './holders.ts';

export interface BindDependencies {
  readonly commands: Commands;
  readonly system: SystemFiles;
  readonly places: Places;
}

export interface BindRequest {
  readonly volumeName: string;
  /** A mounted folder, or a device node. */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** `ofMount` of agent/filesystem/mount-options. */
  readonly options: readonly string[];
}

const TIMEOUT_MS = 30_000;
/** umount(8): busy, or not mounted. */
const EXIT_MOUNT_FAILURE = 32;
/** The path itself will not do: in /proc, too long, on a file system that is read-only. */
const UNUSABLE = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EROFS', 'EACCES', 'EPERM']);

export class BindMounts {
  readonly #dependencies: BindDependencies;

  constructor(dependencies: BindDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Where the kernel will see a path: its folder with every link followed, its own name.
   * @throws ApiError badRequest when the folder is not there.
   */
  async place(volumeName: string, path: string): Promise<string> {
    const slash = path.lastIndexOf('/');
    const folder = slash === 0 ? '/' : path.slice(0, slash);
    const real = await this.#dependencies.system.realPath(folder);
    if (real !== null) return real === '/' ? path.slice(slash) : `${real}${path.slice(slash)}`;
    const detail = `volume "${volumeName}": the folder ${folder} is not there: make it first`;
    throw apiError('badRequest', detail, { volume: volumeName });
  }

  async mounted(place: string): Promise<MountEntry | null> {
    return mountedOn(await readMounts(this.#dependencies.system), place);
  }

  /**
   * Refuses what `bind` would refuse, before anything is written down.
   * @returns true when the place is missing, so that `bind` makes it. @throws ApiError
   */
  async requireUsable(
    request: BindRequest,
    isOurs: (mount: MountEntry) => boolean,
  ): Promise<boolean> {
    const present = await this.mounted(request.target);
    if (present === null) return this.#isMissing(request);
    if (!isOurs(present)) throw foreign(request.volumeName, request.target);
    return false;
  }

  /**
   * Makes the place if it is missing, and refuses one that would hide something. Again on what is
   * there already: only its options are set. @throws ApiError
   */
  async bind(request: BindRequest, isOurs: (mount: MountEntry) => boolean): Promise<void> {
    const { source, target, volumeName } = request;
    const present = await this.mounted(target);
    if (present !== null && !isOurs(present)) throw foreign(volumeName, target);
    if (present === null) {
      await this.#requireSeen(volumeName, target);
      await this.#makePlace(request);
      await this.#run(request, ['mount', '--bind', source, target]);
    }
    const options = ['remount', 'bind', ...request.options, request.readOnly ? 'ro' : ''];
    const line = ['mount', '-o', options.filter((word) => word !== '').join(','), target] as const;
    if (request.readOnly || request.options.length > 0) await this.#run(request, line);
  }

  /** For what `unbind` could not take away. @param path as the caller calls the place. */
  async stillInUse(volumeName: string, target: string, path: string): Promise<ApiError> {
    const users = (await findUsers(this.#dependencies.system, target)).join(', ');
    const by = users === '' ? '' : ` by ${users}`;
    const detail = `volume "${volumeName}" is still in use on ${path}${by}: stop what uses it`;
    return apiError('inUse', detail, { volume: volumeName, holder: users || path });
  }

  /**
   * Unmounts and removes the place, or keeps it; nothing there: fine. Busy: false, and it is still
   * mounted.
   * @throws ApiError inUse when something else lies on it.
   */
  async unbind(
    volumeName: string,
    target: string,
    {
      isOurs,
      lazily = false,
      keepsPlace = false,
    }: { isOurs: (mount: MountEntry) => boolean; lazily?: boolean; keepsPlace?: boolean },
  ): Promise<boolean> {
    const { commands, places } = this.#dependencies;
    for (;;) {
      const present = await this.mounted(target);
      if (present === null) break;
      if (!isOurs(present)) throw foreign(volumeName, target);
      const line = lazily ? (['umount', '--lazy', target] as const) : (['umount', target] as const);
      const result = await commands.run(line, { timeoutMs: TIMEOUT_MS });
      if (result.exitCode === EXIT_MOUNT_FAILURE) {
        if ((await this.mounted(target)) === null) break;
        return false;
      }
      if (result.exitCode !== 0) throw commandError(line, result);
    }
    // What somebody put there meanwhile is theirs, and stays.
    if (!keepsPlace) await places.remove(target);
    return true;
  }

  async #run({ volumeName, target }: BindRequest, line: readonly [string, ...string[]]) {
    try {
      await runOk(this.#dependencies.commands, line, { timeoutMs: TIMEOUT_MS });
    } catch (cause) {
      const detail = `volume "${volumeName}" cannot be published on ${target}: ${messageOf(cause)}`;
      throw apiError('internal', detail, { volume: volumeName, cause });
    }
  }

  async #makePlace(request: BindRequest): Promise<void> {
    const { volumeName, target } = request;
    if (await this.#isMissing(request)) await this.#make(volumeName, target, kindFor(request));
  }

  /** False: it is there, and as it must be. */
  async #isMissing(request: BindRequest): Promise<boolean> {
    const { volumeName, target } = request;
    const wanted = kindFor(request);
    switch (await this.#dependencies.places.kindOf(target)) {
      case 'missing':
        return true;
      case 'emptyFolder':
        if (wanted === 'folder') return false;
        break;
      case 'emptyFile':
        if (wanted === 'file') return false;
        break;
      case 'fullFolder':
      case 'other':
        break;
    }
    throw apiError(
      'badRequest',
      `volume "${volumeName}" is not published on ${target}: that is no empty ${wanted}, and ` +
        'what is there would be hidden',
      { volume: volumeName },
    );
  }

  async #make(volumeName: string, target: string, wanted: 'file' | 'folder'): Promise<void> {
    try {
      await this.#dependencies.places.make(target, wanted);
    } catch (cause) {
      if (!UNUSABLE.has(codeOf(cause) ?? '')) throw cause;
      const detail = `volume "${volumeName}": no ${wanted} can be made at ${target}`;
      throw apiError('badRequest', `${detail}: ${messageOf(cause)}`, { volume: volumeName, cause });
    }
  }

  /**
   * An agent in a container of its own: what it mounts reaches others only through a shared mount
   * (mount_namespaces(7)).
   */
  async #requireSeen(volumeName: string, target: string): Promise<void> {
    const { system } = this.#dependencies;
    const [own, first] = await Promise.all([
      system.link('/proc/self/ns/mnt'),
      system.link('/proc/1/ns/mnt'),
    ]);
    if (first === null || own === first) return;
    const holding = holdingMount(await readMounts(system), target);
    if (holding?.sharedGroup !== null && holding !== null) return;
    throw apiError(
      'unavailable',
      `volume "${volumeName}" is not published on ${target}: the agent runs in a mount namespace ` +
        `of its own, and ${holding?.mountPoint ?? target} is not shared with the host: give the ` +
        "agent's container that folder with bidirectional propagation (rshared)",
      { volume: volumeName },
    );
  }
}

function kindFor({ source }: BindRequest): 'file' | 'folder' {
  return source.startsWith('/dev/') ? 'file' : 'folder';
}

function foreign(volumeName: string, target: string) {
  return apiError(
    'inUse',
    `volume "${volumeName}": something else is mounted on ${target}: unmount it first`,
    { volume: volumeName, holder: target },
  );
}
