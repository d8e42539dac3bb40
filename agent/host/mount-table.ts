/** /proc/PID/mountinfo (proc(5)), read afresh each time: nothing else knows what is mounted. */
import type { SystemFiles } from './system-files.ts';

export interface MountEntry {
  readonly id: string;
  readonly parentId: string;
  /** `major:minor` of the device, the same in every mount namespace. */
  readonly device: string;
  /** Which part of the file system is mounted: `/` but for bind mounts. */
  readonly root: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  /** Its peer group: mounts and unmounts below it reach all peers and slaves; null: private. */
  readonly sharedGroup: string | null;
  /** The peer group that it receives from; null: none. */
  readonly masterGroup: string | null;
  readonly fileSystem: string;
  readonly source: string;
}

/** `\040` and the like: the kernel escapes blanks, tabs, newlines and backslashes. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue` */
export function parseMountInfo(text: string): readonly MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [front, back] = line.split(' - ');
    if (front === undefined || back === undefined) return [];
    const [id, parentId, device, root, point, options, ...optional] = front.split(' ');
    const [fileSystem, source] = back.split(' ');
    if (id === undefined || parentId === undefined || device === undefined) return [];
    if (point === undefined) return [];
    return [
      {
        id,
        parentId,
        device,
        root: unescape(root ?? ''),
        mountPoint: unescape(point),
        options: (options ?? '').split(','),
        sharedGroup: optionalField(optional, 'shared:'),
        masterGroup: optionalField(optional, 'master:'),
        fileSystem: fileSystem ?? '',
        source: unescape(source ?? ''),
      },
    ];
  });
}

function optionalField(fields: readonly string[], tag: string): string | null {
  return fields.find((field) => field.startsWith(tag))?.slice(tag.length) ?? null;
}

/** @param process `self`, or the pid of a process whose mount namespace is asked for. */
export async function readMounts(
  system: SystemFiles,
  process: string = 'self',
): Promise<readonly MountEntry[]> {
  return parseMountInfo((await system.text(`/proc/${process}/mountinfo`)) ?? '');
}

/** What is mounted on exactly this folder; the topmost one where several lie on each other. */
export function mountedOn(mounts: readonly MountEntry[], folder: string): MountEntry | null {
  return mounts.findLast((mount) => mount.mountPoint === folder) ?? null;
}

export function isBelow(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`);
}

/** The mount that holds a real path: the longest mount point, of equal ones the latest. */
export function holdingMount(mounts: readonly MountEntry[], realPath: string): MountEntry | null {
  let best: MountEntry | null = null;
  for (const mount of mounts) {
    const isOn =
      mount.mountPoint === '/' ||
      mount.mountPoint === realPath ||
      isBelow(realPath, mount.mountPoint);
    if (isOn && mount.mountPoint.length >= (best?.mountPoint.length ?? 0)) best = mount;
  }
  return best;
}
