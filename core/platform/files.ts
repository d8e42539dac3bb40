/**
 * Files as the data path needs them. Errors are Node-like: an Error with `code` (`ENOENT`, `EIO`,
 * `ENOSPC`, `EEXIST`, ...). Per-I/O calls take callbacks, metadata calls give promises.
 */
export type FileDone = (error: Error | null) => void;

export interface AllocatedRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

export interface File {
  /** Reads exactly `buffer.length` bytes or up to the end of the file. */
  read(
    buffer: Buffer,
    offsetBytes: number,
    done: (error: Error | null, readBytes: number) => void,
  ): void;
  /** Writes the whole buffer (short writes are continued inside). */
  write(buffer: Buffer, offsetBytes: number, done: FileDone): void;
  /** fdatasync: data, size and allocation are durable. Never retried by the caller once failed. */
  datasync(done: FileDone): void;
  /** fallocate(PUNCH_HOLE | KEEP_SIZE): the range reads as zeros, its space is given back. */
  punchHole(offsetBytes: number, lengthBytes: number, done: FileDone): void;
  /** Sets the size; growing leaves a hole. */
  truncate(sizeBytes: number, done: FileDone): void;
  sizeBytes(done: (error: Error | null, sizeBytes: number) => void): void;
  /**
   * Data ranges by SEEK_DATA / SEEK_HOLE within the given range, ascending, at most `countMax`;
   * a file system without them answers one range: everything.
   */
  allocatedRanges(
    range: AllocatedRange,
    countMax: number,
    done: (error: Error | null, ranges: readonly AllocatedRange[]) => void,
  ): void;
  close(done: FileDone): void;
}

/** `create`: new, EEXIST if there. `write`: existing, read and write. `read`: existing, read. */
export type OpenMode = 'create' | 'write' | 'read';

export interface FileSystemSpace {
  /** Of the file system as a whole; `freeBytes` is what an unprivileged user may still take. */
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** Held until `release` or the end of the process, however it ends. */
export interface FileLock {
  release(): Promise<void>;
}

export interface Files {
  open(path: string, mode: OpenMode): Promise<File>;
  /** The whole content. `sizeBytesMax` is a guard: EFBIG above. */
  readWhole(path: string, sizeBytesMax: number): Promise<Buffer>;
  /**
   * Replaces atomically and durably: temporary file in the same folder (mode 0600), fdatasync,
   * rename, fsync of the folder. When it has returned, the new content survives a power cut; at
   * any crash before, the old content is whole.
   */
  replaceWhole(path: string, content: Buffer): Promise<void>;
  /** One folder (0700); EEXIST if there. Durable after `syncFolder` of its parent. */
  makeFolder(path: string): Promise<void>;
  /** Names within, sorted. */
  list(path: string): Promise<readonly string[]>;
  rename(from: string, to: string): Promise<void>;
  /** A file or a whole folder; no error if it is not there. */
  remove(path: string): Promise<void>;
  exists(path: string): Promise<boolean>;
  syncFolder(path: string): Promise<void>;
  space(path: string): Promise<FileSystemSpace>;
  /** Bytes that the file takes on the medium (st_blocks × 512). */
  allocatedBytes(path: string): Promise<number>;
  /**
   * Takes the one lock of this file (made if it is not there), so that two processes never serve
   * the same folder. EBUSY at once when somebody has it, this process included.
   */
  lock(path: string): Promise<FileLock>;
  /** Changes when the file system that holds `path` is mounted anew (R15). */
  mountId(path: string): Promise<string>;
  /**
   * syncfs(2) on a descriptor of its own: writes back everything on the file system that holds
   * `path`. Fails when some write-back there, of whatever file, failed since the mount and no such
   * call has told anybody yet: the kernel keeps these errors apart from those that an fdatasync
   * reports. Never fails for that reason before Linux 5.8 or without libc.
   */
  syncFileSystem(path: string): Promise<void>;
}

export interface Host {
  /** /proc/sys/kernel/random/boot_id: changes when the page cache was lost with the kernel. */
  bootId(): string;
}
