import { createRequire } from 'node:module';
import { getSystemErrorName } from 'node:util';
import { assert } from '../../assert.ts';

/** The few calls that Node has no API for. `errno` 0 means success. */
export interface Libc {
  /** CLOCK_BOOTTIME: monotonic, counts while suspended. */
  bootTimeMs(): number;
  fallocate(
    descriptor: number,
    mode: number,
    range: { readonly offsetBytes: number; readonly lengthBytes: number },
    done: (errno: number) => void,
  ): void;
  /** lseek with SEEK_DATA or SEEK_HOLE; `positionBytes` is -1 on error. */
  seek(
    descriptor: number,
    offsetBytes: number,
    whence: number,
    done: (errno: number, positionBytes: number) => void,
  ): void;
  /** Writes back the file system of an open file, and tells of write-back that failed. */
  syncFileSystem(descriptor: number, done: (errno: number) => void): void;
  /** flock(LOCK_EX | LOCK_NB): belongs to the open file, ends when that is closed. */
  lockNow(descriptor: number): number;
  /** prctl(PR_SET_IO_FLUSHER) of the calling thread. */
  setIoFlusher(on: boolean): number;
  /** The 64-bit mount id that is never used twice (Linux 6.8), as decimal; null where unknown. */
  uniqueMountId(path: string, done: (id: string | null) => void): void;
}

export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

const CLOCK_BOOTTIME = 7;
const AT_FDCWD = -100;
const EINTR = 4;
const LOCK_EX = 2;
const LOCK_NB = 4;
const PR_SET_IO_FLUSHER = 57;
const STATX_MNT_ID_UNIQUE = 0x4000;
/** struct statx (linux/stat.h): its size, and where stx_mnt_id stands. */
const STATX_BYTES = 256;
const STATX_MOUNT_ID_AT = 144;

/** An Error as Node itself makes them: `code`, `errno`, `syscall`. */
export function systemError(syscall: string, errno: number): Error {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${code}: ${syscall}`), { code, errno: -errno, syscall });
}

type AsyncDone = (error: unknown, result: number) => void;
interface ForeignFunction {
  (...values: readonly unknown[]): number;
  readonly async: (...values: readonly unknown[]) => void;
}
interface Koffi {
  load(path: null): { func(definition: string): ForeignFunction };
  errno(): number;
}

/**
 * koffi throws when more than 256 asynchronous calls wait. The libuv pool has four threads, so
 * more than a few at once gain nothing: the others wait here.
 */
const RUNNING_CALLS_MAX = 32;

class CallQueue {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  run(start: () => void): void {
    if (this.#running === RUNNING_CALLS_MAX) {
      this.#waiting.push(start);
      return;
    }
    this.#running += 1;
    start();
  }

  finished(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running -= 1;
    else next();
  }
}

/**
 * @param note told once why koffi could not be loaded (no prebuilt binary for this machine, ...).
 * @returns null then: callers have slower or weaker ways.
 */
export function loadLibc(note: (sentence: string, cause: unknown) => void): Libc | null {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    return bindLibc(koffi);
  } catch (cause) {
    note('koffi cannot be loaded: boot time from /proc/uptime, holes are written as zeros', cause);
    return null;
  }
}

function bindLibc(koffi: Koffi): Libc {
  const library = koffi.load(null);
  const clockGettime = library.func('int clock_gettime(int, void *)');
  const fallocate = library.func('int fallocate(int, int, int64_t, int64_t)');
  const lseek = library.func('int64_t lseek(int, int64_t, int)');
  const flock = library.func('int flock(int, int)');
  const prctl = library.func('int prctl(int, ulong, ulong, ulong, ulong)');
  const syncfs = library.func('int syncfs(int)');
  const statx = library.func('int statx(int, const char *, int, unsigned int, void *)');
  const calls = new CallQueue();
  const timespec = Buffer.alloc(16);

  /** Calls in the pool; `done` gets errno (0: none), EINTR is tried again. */
  const call = (
    native: ForeignFunction,
    values: readonly unknown[],
    done: (errno: number, result: number) => void,
  ): void => {
    const finished: AsyncDone = (_error, result) => {
      // First of all: koffi restores the worker's errno only for this callback.
      const errno = result === -1 ? koffi.errno() : 0;
      if (errno === EINTR) {
        native.async(...values, finished);
        return;
      }
      calls.finished();
      done(errno, result);
    };
    calls.run(() => native.async(...values, finished));
  };

  return {
    bootTimeMs() {
      assert(clockGettime(CLOCK_BOOTTIME, timespec) === 0, 'Linux has CLOCK_BOOTTIME');
      const seconds = timespec.readUInt32LE(0) + timespec.readUInt32LE(4) * 0x1_0000_0000;
      return seconds * 1_000 + timespec.readUInt32LE(8) / 1e6;
    },
    fallocate(descriptor, mode, range, done) {
      call(fallocate, [descriptor, mode, range.offsetBytes, range.lengthBytes], done);
    },
    seek(descriptor, offsetBytes, whence, done) {
      call(lseek, [descriptor, offsetBytes, whence], done);
    },
    syncFileSystem(descriptor, done) {
      call(syncfs, [descriptor], done);
    },
    lockNow(descriptor) {
      return flock(descriptor, LOCK_EX | LOCK_NB) === 0 ? 0 : koffi.errno();
    },
    setIoFlusher(on) {
      return prctl(PR_SET_IO_FLUSHER, on ? 1 : 0, 0, 0, 0) === 0 ? 0 : koffi.errno();
    },
    uniqueMountId(path, done) {
      const answer = Buffer.alloc(STATX_BYTES);
      call(statx, [AT_FDCWD, path, 0, STATX_MNT_ID_UNIQUE, answer], (errno) => {
        const known = errno === 0 && (answer.readUInt32LE(0) & STATX_MNT_ID_UNIQUE) !== 0;
        done(known ? answer.readBigUInt64LE(STATX_MOUNT_ID_AT).toString() : null);
      });
    },
  };
}
