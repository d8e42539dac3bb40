import { codeOf } from '../../errors.ts';
import type { FileLock, FileSystemSpace, Files, OpenMode } from '../files.ts';
import type { OperationKind, SimDisk } from './disk.ts';
import { SimFile } from './file.ts';
import { PAGE_BYTES } from './image.ts';
import { SimInode } from './inode.ts';
import { fileError, SimFolder } from './namespace.ts';
import type { SimProcess } from './process.ts';

const TEMPORARY_SUFFIX = '.tmp';

/** What one system call does: the disk and the path within its mount. */
type Apply<Value> = (disk: SimDisk, inner: string) => Value;

/**
 * The files of a machine as one process sees them. Calls that are several system calls in reality
 * are several operations here: a kill or a power cut may come between any two.
 */
export class SimFiles implements Files {
  readonly #process: SimProcess;
  readonly #replacing = new Map<string, Promise<void>>();
  readonly #opened = new Set<SimFile>();
  readonly #locked = new Set<SimInode>();

  constructor(owner: SimProcess) {
    this.#process = owner;
    owner.onGone(() => {
      for (const file of this.#opened) file.release();
      for (const inode of this.#locked) inode.locked = false;
    });
  }

  open(path: string, mode: OpenMode): Promise<SimFile> {
    return this.#call(path, `open ${mode}`, (disk, inner) => {
      const inode =
        mode === 'create' ? disk.names.create(inner, new SimInode()) : disk.names.findFile(inner);
      const file = new SimFile(this.#process, disk, { inode, path: inner, mode });
      this.#opened.add(file);
      return file;
    });
  }

  async readWhole(path: string, sizeBytesMax: number): Promise<Buffer> {
    const file = await this.open(path, 'read');
    try {
      // As large as can be needed: the guard may be a thousand times as much.
      const buffer = Buffer.alloc(Math.min(sizeBytesMax, file.sizeBytesNow) + 1);
      const readBytes = await new Promise<number>((resolve, reject) => {
        file.read(buffer, 0, (error, bytes) => (error === null ? resolve(bytes) : reject(error)));
      });
      if (readBytes > sizeBytesMax) throw fileError('EFBIG', path);
      return buffer.subarray(0, readBytes);
    } finally {
      await promised((done) => file.close(done));
    }
  }

  async replaceWhole(path: string, content: Buffer): Promise<void> {
    const before = this.#replacing.get(path) ?? Promise.resolve();
    const own = before.catch(() => undefined).then(() => this.#replaceNow(path, content));
    this.#replacing.set(path, own);
    try {
      await own;
    } finally {
      if (this.#replacing.get(path) === own) this.#replacing.delete(path);
    }
  }

  makeFolder(path: string): Promise<void> {
    return this.#call(path, 'mkdir', (disk, inner) => {
      disk.names.create(inner, new SimFolder());
    });
  }

  list(path: string): Promise<readonly string[]> {
    return this.#call(path, 'list', (disk, inner) =>
      [...disk.names.findFolder(inner).entries.keys()].toSorted(),
    );
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call(from, `rename to ${to}`, (disk, inner) => {
      const target = this.#process.machine.mountOf(to);
      if (target.mount.disk !== disk) throw fileError('EXDEV', to);
      disk.unlinked(disk.names.rename(inner, target.inner));
    });
  }

  /** Entry by entry, as rm does. */
  async remove(path: string): Promise<void> {
    try {
      const names = await this.#call(path, 'list to remove', (disk, inner) => {
        const node = disk.names.find(inner);
        return node.kind === 'folder' ? [...node.entries.keys()].toSorted() : [];
      });
      for (const name of names) await this.remove(`${path}/${name}`);
      await this.#call(path, 'unlink', (disk, inner) => {
        disk.unlinked(disk.names.unlink(inner));
      });
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
    }
  }

  exists(path: string): Promise<boolean> {
    return this.#call(path, 'exists', (disk, inner) => disk.names.exists(inner));
  }

  syncFolder(path: string): Promise<void> {
    let mark = 0;
    return this.#call(
      path,
      'fsync of the folder',
      (disk) => disk.names.commit(mark),
      (disk, inner) => {
        mark = disk.names.mark(disk.names.findFolder(inner));
      },
    );
  }

  space(path: string): Promise<FileSystemSpace> {
    return this.#call(path, 'space', (disk, inner) => {
      disk.names.find(inner);
      return disk.space();
    });
  }

  allocatedBytes(path: string): Promise<number> {
    return this.#call(
      path,
      'allocated bytes',
      (disk, inner) => disk.names.findFile(inner).cached.pageCount * PAGE_BYTES,
    );
  }

  async lock(path: string): Promise<FileLock> {
    const inode = await this.#call(path, 'lock', (disk, inner) => {
      const found = disk.names.exists(inner)
        ? disk.names.findFile(inner)
        : disk.names.create(inner, new SimInode());
      if (found.locked) throw fileError('EBUSY', inner);
      found.locked = true;
      this.#locked.add(found);
      return found;
    });
    return {
      release: () =>
        this.#call(path, 'unlock', () => {
          if (this.#locked.delete(inode)) inode.locked = false;
        }),
    };
  }

  mountId(path: string): Promise<string> {
    return this.#call(path, 'mount id', (disk, inner) => {
      disk.names.find(inner);
      return this.#process.machine.mountOf(path).mount.id;
    });
  }

  async syncFileSystem(path: string): Promise<void> {
    const seen = await this.#call(path, 'open to sync all', (disk, inner) => {
      disk.names.find(inner);
      return disk.writeBackErrorsSeen();
    });
    let commit = (): void => undefined;
    await this.#call(
      path,
      'syncfs',
      (disk, inner) => {
        commit();
        disk.tellWriteBackErrors(seen, inner);
      },
      (disk) => {
        commit = disk.markAll();
      },
    );
  }

  async #replaceNow(path: string, content: Buffer): Promise<void> {
    const temporary = `${path}${TEMPORARY_SUFFIX}`;
    await this.remove(temporary);
    try {
      const file = await this.open(temporary, 'create');
      try {
        await promised((done) => file.write(content, 0, done));
        await promised((done) => file.datasync(done));
      } finally {
        await promised((done) => file.close(done));
      }
      await this.rename(temporary, path);
    } catch (error) {
      await this.remove(temporary);
      throw error;
    }
    await this.syncFolder(path.slice(0, path.lastIndexOf('/')) || '/');
  }

  /** One system call. With `begin` it is an fsync and takes as long. */
  #call<Value>(
    path: string,
    detail: string,
    apply: Apply<Value>,
    begin?: Apply<void>,
  ): Promise<Value> {
    return new Promise((resolve, reject) => {
      const { mount, inner } = this.#process.machine.mountOf(path);
      const kind: OperationKind = begin === undefined ? 'metadata' : 'datasync';
      let value: Value;
      let early: Error | null = null;
      mount.disk.perform(this.#process, {
        kind,
        path: inner,
        detail,
        begin: () => {
          try {
            begin?.(mount.disk, inner);
          } catch (error) {
            early = error as Error;
          }
        },
        apply: () => {
          if (early !== null) throw early;
          value = apply(mount.disk, inner);
        },
        done: (error) => (error === null ? resolve(value) : reject(error)),
      });
    });
  }
}

function promised(start: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === null ? resolve() : reject(error)));
  });
}
