/** The ends of paths that callers name as mount points: looked at without following links. */
import * as fsp from 'node:fs/promises';
import { codeOf } from '../../core/errors.ts';

export type PlaceKind = 'missing' | 'emptyFolder' | 'fullFolder' | 'emptyFile' | 'other';

export interface Usage {
  readonly total: number;
  readonly used: number;
  readonly available: number;
}

export interface Places {
  kindOf(path: string): Promise<PlaceKind>;
  /** A folder of mode 0750, or an empty file of mode 0600. EEXIST: somebody was quicker. */
  make(path: string, kind: 'folder' | 'file'): Promise<void>;
  /** An empty folder or file; gone: fine. @returns false for anything else, which stays. */
  remove(path: string): Promise<boolean>;
  /** statfs(2) of the file system there. */
  usage(path: string): Promise<{ readonly bytes: Usage; readonly inodes: Usage }>;
}

/** Such a path cannot be anything, now or later. */
const NOWHERE: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG']);

async function kindOf(path: string): Promise<PlaceKind> {
  try {
    const stats = await fsp.lstat(path);
    if (stats.isFile()) return stats.size === 0 ? 'emptyFile' : 'other';
    if (!stats.isDirectory()) return 'other';
    return (await fsp.readdir(path)).length === 0 ? 'emptyFolder' : 'fullFolder';
  } catch (error) {
    if (NOWHERE.has(codeOf(error) ?? '')) return 'missing';
    throw error;
  }
}

export const nodePlaces: Places = {
  kindOf,
  async make(path, kind) {
    if (kind === 'folder') await fsp.mkdir(path, { mode: 0o750 });
    else await fsp.writeFile(path, '', { flag: 'wx', mode: 0o600 });
  },
  async remove(path) {
    switch (await kindOf(path)) {
      case 'missing':
        return true;
      case 'emptyFolder':
        await fsp.rmdir(path);
        return true;
      case 'emptyFile':
        await fsp.unlink(path);
        return true;
      case 'fullFolder':
      case 'other':
        return false;
    }
  },
  async usage(path) {
    const { bsize, blocks, bfree, bavail, files, ffree } = await fsp.statfs(path);
    return {
      bytes: {
        total: blocks * bsize,
        used: (blocks - bfree) * bsize,
        available: bavail * bsize,
      },
      inodes: { total: files, used: files - ffree, available: ffree },
    };
  },
};
