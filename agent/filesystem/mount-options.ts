/** Options that callers may give for a mount: what is safe on a volume that others share. */
import { apiError } from '../../core/api/index.ts';

/** Of one mount (MS_* flags that a bind mount has for itself, mount(2)). */
const OF_A_MOUNT = new Set([
  'ro',
  'rw',
  'nosuid',
  'suid',
  'nodev',
  'dev',
  'noexec',
  'exec',
  'noatime',
  'atime',
  'nodiratime',
  'diratime',
  'relatime',
  'norelatime',
  'strictatime',
  'nosymfollow',
]);

/** Of the file system, for all its mounts. */
const OF_A_FILE_SYSTEM = new Set([
  'discard',
  'nodiscard',
  'sync',
  'async',
  'dirsync',
  'lazytime',
  'nolazytime',
]);

export interface MountOptions {
  /** Each once, in the order given. */
  readonly ofMount: readonly string[];
  readonly ofFileSystem: readonly string[];
}

/** @param given each may hold several, with commas. @throws ApiError badRequest */
export function parseMountOptions(volumeName: string, given: readonly string[]): MountOptions {
  const words = [
    ...new Set(given.flatMap((word) => word.split(',')).filter((word) => word !== '')),
  ];
  const unknown = words.find((word) => !OF_A_MOUNT.has(word) && !OF_A_FILE_SYSTEM.has(word));
  if (unknown !== undefined) {
    const valid = [...OF_A_MOUNT, ...OF_A_FILE_SYSTEM].join(', ');
    throw apiError(
      'badRequest',
      `volume "${volumeName}": mount option ${JSON.stringify(unknown)} is not available; valid ` +
        `options: ${valid}`,
      { volume: volumeName },
    );
  }
  return {
    ofMount: words.filter((word) => OF_A_MOUNT.has(word)),
    ofFileSystem: words.filter((word) => OF_A_FILE_SYSTEM.has(word)),
  };
}
