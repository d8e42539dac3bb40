/** /proc and /sys as text: the part of the machine that tells what is really there. */
import * as fsp from 'node:fs/promises';

export interface SystemFiles {
  /** The content; null if it cannot be read (gone, not permitted). */
  text(path: string): Promise<string | null>;
  /** Where a symbolic link points; null if it cannot be read. */
  link(path: string): Promise<string | null>;
  /** Names in a folder; empty if it cannot be read. */
  names(path: string): Promise<readonly string[]>;
  /** False if it cannot be written. */
  write(path: string, text: string): Promise<boolean>;
  /** Only if it is empty and nothing is mounted on it; false otherwise. Never what is inside. */
  removeFolder(path: string): Promise<boolean>;
  /** With every symbolic link followed; null if it is not there. */
  realPath(path: string): Promise<string | null>;
}

/** What cannot be read is not there: processes and devices come and go while they are looked at. */
async function orElse<Answer>(work: Promise<Answer>, otherwise: Answer): Promise<Answer> {
  try {
    return await work;
  } catch {
    return otherwise;
  }
}

export const nodeSystemFiles: SystemFiles = {
  text: (path) => orElse<string | null>(fsp.readFile(path, 'utf8'), null),
  link: (path) => orElse<string | null>(fsp.readlink(path), null),
  names: (path) => orElse(fsp.readdir(path), []),
  write: (path, text) =>
    orElse(
      fsp.writeFile(path, text, { flag: 'r+' }).then(() => true),
      false,
    ),
  removeFolder: (path) =>
    orElse(
      fsp.rmdir(path).then(() => true),
      false,
    ),
  realPath: (path) => orElse<string | null>(fsp.realpath(path), null),
};
