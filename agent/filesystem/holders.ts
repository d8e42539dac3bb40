/** Who has a mounted volume in use: for "in use by", and before an unmount. */
import { isBelow, type MountEntry, readMounts } from '../host/mount-table.ts';
import type { SystemFiles } from '../host/system-files.ts';

export interface Holder {
  /** `pid 123 (postgres)`, `container 4f2a81b0c3d5`. */
  readonly name: string;
  /**
   * It has the file system mounted in a mount namespace of its own: an unmount here would succeed
   * and still leave the device in use there.
   */
  readonly hasOwnMount: boolean;
}

/** The names of so many are enough for anybody. */
const NAMED_COUNT_MAX = 20;

/**
 * Those who hold what is mounted on `mountpoint` in the agent's own mount namespace.
 * @param depth `mounts`: only those with a mount of their own, which is quick to find out.
 */
export async function findHolders(
  system: SystemFiles,
  mountpoint: string,
  depth: 'mounts' | 'all',
): Promise<readonly Holder[]> {
  const own = await readMounts(system);
  const mount = own.findLast((entry) => entry.mountPoint === mountpoint);
  if (mount === undefined) return [];
  const holders = new Map<string, Holder>();
  for (const entry of own.filter((other) => staysMounted(own, mount, other))) {
    const name = `the mount on ${entry.mountPoint}`;
    holders.set(name, { name, hasOwnMount: true });
  }
  const ownNamespace = await system.link('/proc/self/ns/mnt');
  const byNamespace = new Map<string, boolean>();
  const names = await system.names('/proc');
  for (const pid of names.filter((name) => /^[0-9]+$/.test(name))) {
    if (holders.size >= NAMED_COUNT_MAX) break;
    const namespace = await system.link(`/proc/${pid}/ns/mnt`);
    if (namespace === null) continue;
    let hasOwnMount = false;
    if (namespace !== ownNamespace) {
      hasOwnMount = byNamespace.get(namespace) ?? holdsInNamespace(await readMounts(system, pid));
      byNamespace.set(namespace, hasOwnMount);
    }
    if (!hasOwnMount && depth === 'mounts') continue;
    if (!hasOwnMount && !(await hasOpen(system, pid, mountpoint))) continue;
    const name = await nameOf(system, pid);
    holders.set(name, { name, hasOwnMount });
  }
  return [...holders.values()];

  function holdsInNamespace(theirs: readonly MountEntry[]): boolean {
    return theirs.some(
      (entry) => entry.device === mount?.device && !goesAlong(own, mount, theirs, entry),
    );
  }
}

/** Names of those who have something of one mount in use, so that an unmount finds it busy. */
export async function findUsers(
  system: SystemFiles,
  mountpoint: string,
): Promise<readonly string[]> {
  const names: string[] = [];
  for (const pid of (await system.names('/proc')).filter((name) => /^[0-9]+$/.test(name))) {
    if (names.length >= NAMED_COUNT_MAX) break;
    if (await hasOpen(system, pid, mountpoint)) names.push(await nameOf(system, pid));
  }
  return [...new Set(names)];
}

/** Whether `other`, of our own namespace, shows the same file system and is left by an unmount. */
function staysMounted(own: readonly MountEntry[], mount: MountEntry, other: MountEntry): boolean {
  // Several on one place are all taken away (FileSystems.unmount).
  if (other.device !== mount.device || other.mountPoint === mount.mountPoint) return false;
  const groupOf = (id: string) => own.find((entry) => entry.id === id)?.sharedGroup ?? null;
  const group = groupOf(mount.parentId);
  return group === null || groupOf(other.parentId) !== group;
}

/**
 * Whether the kernel unmounts `entry` of another namespace together with `mount`: it lies on the
 * same place of a parent that is a peer or a slave of our mount's parent (mount_namespaces(7)).
 */
function goesAlong(
  own: readonly MountEntry[],
  mount: MountEntry,
  theirs: readonly MountEntry[],
  entry: MountEntry,
): boolean {
  const ourGroup = own.find(({ id }) => id === mount.parentId)?.sharedGroup ?? null;
  const parent = theirs.find(({ id }) => id === entry.parentId);
  if (ourGroup === null || parent === undefined) return false;
  const isLinked = parent.sharedGroup === ourGroup || parent.masterGroup === ourGroup;
  return isLinked && entry.mountPoint === mount.mountPoint;
}

/** Working folder, root, open files, mapped files. */
async function hasOpen(system: SystemFiles, pid: string, mountpoint: string): Promise<boolean> {
  const isInside = (path: string | null) =>
    path !== null && (path === mountpoint || isBelow(path, mountpoint));
  for (const name of ['cwd', 'root', 'exe']) {
    if (isInside(await system.link(`/proc/${pid}/${name}`))) return true;
  }
  for (const descriptor of await system.names(`/proc/${pid}/fd`)) {
    if (isInside(await system.link(`/proc/${pid}/fd/${descriptor}`))) return true;
  }
  const maps = (await system.text(`/proc/${pid}/maps`)) ?? '';
  return maps.includes(` ${mountpoint}/`);
}

async function nameOf(system: SystemFiles, pid: string): Promise<string> {
  const groups = (await system.text(`/proc/${pid}/cgroup`)) ?? '';
  const container = /[0-9a-f]{64}/.exec(groups)?.[0];
  if (container !== undefined) return `container ${container.slice(0, 12)}`;
  // The name of the first thread is not always the program's (Node's is `MainThread`).
  const program = (await system.link(`/proc/${pid}/exe`))?.replace(/ \(deleted\)$/, '');
  const command = program?.split('/').at(-1) ?? (await system.text(`/proc/${pid}/comm`))?.trim();
  return `pid ${pid} (${command ?? 'unknown'})`;
}
