import * as fs from 'node:fs';
import * as fsp from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { codeOf } from '../../errors.ts';
import type { File, FileLock, FileSystemSpace, Files, OpenMode } from '../files.ts';
import { NodeFile } from './file.ts';
import { type Libc, systemError } from './libc.ts';
import { lockBySocket } from './lock-by-socket.ts';
import { findMount } from './mount-info.ts';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const BLOCK_BYTES = 512;
const EAGAIN = 11;
const { O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR } = fs.constants;

const OPEN_FLAGS: Readonly<Record<OpenMode, number>> = {
  create: O_RDWR | O_CREAT | O_EXCL,
  write: O_RDWR,
  read: O_RDONLY,
};

/** Left behind by a crash in `replaceWhole`; written over by the next one. */
const TEMPORARY_SUFFIX = '.tmp';

export class NodeFiles implements Files {
  readonly #libc: Libc | null;
  /** Replacements of one path one after the other: they share the temporary name. */
  readonly #replacing = new Map<string, Promise<void>>();

  constructor(libc: Libc | null) {
    this.#libc = libc;
  }

  open(path: string, mode: OpenMode): Promise<File> {
    return new Promise((resolve, reject) => {
      fs.open(path, OPEN_FLAGS[mode], FILE_MODE, (error, descriptor) => {
        if (error === null) resolve(new NodeFile(descriptor, this.#libc));
        else reject(error);
      });
    });
  }

  async readWhole(path: string, sizeBytesMax: number): Promise<Buffer> {
    await using handle = await fsp.open(path, O_RDONLY);
    const { size } = await handle.stat();
    // One byte more than there should be, so that a file that grows meanwhile is noticed.
    const buffer = Buffer.alloc(Math.min(size, sizeBytesMax) + 1);
    let filledBytes = 0;
    while (filledBytes < buffer.length) {
      const { bytesRead } = await handle.read(buffer, filledBytes, buffer.length - filledBytes);
      if (bytesRead === 0) break;
      filledBytes += bytesRead;
    }
    if (filledBytes > sizeBytesMax) {
      throw Object.assign(new Error(`EFBIG: ${path} has more than ${sizeBytesMax} bytes`), {
        code: 'EFBIG',
        path,
      });
    }
    return buffer.subarray(0, filledBytes);
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

  async makeFolder(path: string): Promise<void> {
    await fsp.mkdir(path, { mode: FOLDER_MODE });
  }

  async list(path: string): Promise<readonly string[]> {
    return (await fsp.readdir(path)).sort();
  }

  async rename(from: string, to: string): Promise<void> {
    await fsp.rename(from, to);
  }

  async remove(path: string): Promise<void> {
    await fsp.rm(path, { recursive: true, force: true });
  }

  async exists(path: string): Promise<boolean> {
    try {
      await fsp.lstat(path);
      return true;
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return false;
      throw error;
    }
  }

  async syncFolder(path: string): Promise<void> {
    await using handle = await fsp.open(path, O_RDONLY | O_DIRECTORY);
    await handle.sync();
  }

  async space(path: string): Promise<FileSystemSpace> {
    const { blocks, bavail, bsize } = await fsp.statfs(path);
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
  }

  async allocatedBytes(path: string): Promise<number> {
    return (await fsp.stat(path)).blocks * BLOCK_BYTES;
  }

  async lock(path: string): Promise<FileLock> {
    const handle = await fsp.open(path, O_RDWR | O_CREAT, FILE_MODE);
    try {
      if (this.#libc === null) return await lockBySocket(handle);
      const errno = this.#libc.lockNow(handle.fd);
      if (errno === EAGAIN) throw busy(path);
      if (errno !== 0) throw systemError('flock', errno);
      return { release: () => handle.close() };
    } catch (error) {
      await handle.close();
      throw codeOf(error) === 'EADDRINUSE' ? busy(path) : error;
    }
  }

  /**
   * The kernel's mount ids are handed out again after an unmount; the unique one (Linux 6.8) is
   * not, and is taken where the kernel has it.
   */
  async mountId(path: string): Promise<string> {
    const realPath = await fsp.realpath(path);
    const mount = findMount(await fsp.readFile('/proc/self/mountinfo', 'utf8'), realPath);
    const unique = await new Promise<string | null>((resolve) => {
      if (this.#libc === null) resolve(null);
      else this.#libc.uniqueMountId(realPath, resolve);
    });
    return `${unique ?? mount.id} ${mount.device} ${mount.source}`;
  }

  async syncFileSystem(path: string): Promise<void> {
    const libc = this.#libc;
    if (libc === null) return;
    await using handle = await fsp.open(path, O_RDONLY);
    const errno = await new Promise<number>((resolve) => {
      libc.syncFileSystem(handle.fd, resolve);
    });
    if (errno !== 0) throw systemError('syncfs', errno);
  }

  async #replaceNow(path: string, content: Buffer): Promise<void> {
    const temporary = join(dirname(path), `${basename(path)}${TEMPORARY_SUFFIX}`);
    // What a crash left there is removed, not truncated: it may be a link to something else.
    await fsp.rm(temporary, { force: true });
    try {
      await using handle = await fsp.open(temporary, O_RDWR | O_CREAT | O_EXCL, FILE_MODE);
      await handle.writeFile(content);
      await handle.datasync();
      await fsp.rename(temporary, path);
    } catch (error) {
      await fsp.rm(temporary, { force: true });
      throw error;
    }
    await this.syncFolder(dirname(path));
  }
}

function busy(path: string): Error {
  return Object.assign(new Error(`EBUSY: ${path} is locked`), { code: 'EBUSY', path });
}
