import { assert } from '../../assert.ts';
import type { AllocatedRange, File, FileDone, OpenMode } from '../files.ts';
import type { DiskOperation, OperationKind, SimDisk } from './disk.ts';
import type { ContentChange } from './image.ts';
import type { SimInode } from './inode.ts';
import { fileError } from './namespace.ts';
import type { SimProcess } from './process.ts';

/** An open file of one process. */
export class SimFile implements File {
  readonly #process: SimProcess;
  readonly #disk: SimDisk;
  readonly #inode: SimInode;
  readonly #path: string;
  readonly #mode: OpenMode;
  #open = true;
  #inFlight = 0;
  #released = false;

  constructor(
    owner: SimProcess,
    disk: SimDisk,
    { inode, path, mode }: { inode: SimInode; path: string; mode: OpenMode },
  ) {
    this.#process = owner;
    this.#disk = disk;
    this.#inode = inode;
    this.#path = path;
    this.#mode = mode;
    inode.openCount += 1;
  }

  /** For the simulator itself: no system call tells it without taking time. */
  get sizeBytesNow(): number {
    return this.#inode.cached.sizeBytes;
  }

  read(
    buffer: Buffer,
    offsetBytes: number,
    done: (error: Error | null, readBytes: number) => void,
  ): void {
    let readBytes = 0;
    checkOffset(offsetBytes);
    this.#perform('read', `${offsetBytes}+${buffer.length}`, {
      apply: () => {
        readBytes = this.#inode.cached.read(buffer, offsetBytes);
      },
      done: (error) => done(error, readBytes),
    });
  }

  write(buffer: Buffer, offsetBytes: number, done: FileDone): void {
    checkOffset(offsetBytes);
    this.#perform('write', `${offsetBytes}+${buffer.length}`, {
      // The bytes are taken when the write takes effect, as by a real thread: a caller that
      // changes its buffer too early sees it here.
      apply: () => this.#change({ kind: 'write', offsetBytes, data: Buffer.from(buffer) }),
      done,
    });
  }

  datasync(done: FileDone): void {
    let mark = 0;
    this.#perform('datasync', '', {
      begin: () => {
        mark = this.#inode.mark();
      },
      apply: () => this.#inode.commit(mark),
      failed: () => this.#disk.forget(this.#inode, mark),
      done,
    });
  }

  punchHole(offsetBytes: number, lengthBytes: number, done: FileDone): void {
    checkOffset(offsetBytes);
    this.#perform('punchHole', `${offsetBytes}+${lengthBytes}`, {
      apply: () => this.#change({ kind: 'punch', offsetBytes, lengthBytes }),
      done,
    });
  }

  truncate(sizeBytes: number, done: FileDone): void {
    this.#perform('metadata', `truncate to ${sizeBytes}`, {
      apply: () => this.#change({ kind: 'truncate', sizeBytes }),
      done,
    });
  }

  sizeBytes(done: (error: Error | null, sizeBytes: number) => void): void {
    let sizeBytes = 0;
    this.#perform('metadata', 'size', {
      apply: () => {
        sizeBytes = this.#inode.cached.sizeBytes;
      },
      done: (error) => done(error, sizeBytes),
    });
  }

  allocatedRanges(
    range: AllocatedRange,
    countMax: number,
    done: (error: Error | null, ranges: readonly AllocatedRange[]) => void,
  ): void {
    let ranges: readonly AllocatedRange[] = [];
    this.#perform('metadata', 'ranges', {
      apply: () => {
        ranges = this.#inode.cached.allocatedRanges(range, countMax);
      },
      done: (error) => done(error, ranges),
    });
  }

  close(done: FileDone): void {
    assert(this.#inFlight === 0, 'a file is closed when nothing of it is in flight');
    this.#perform('metadata', 'close', { apply: () => this.release(), done });
    this.#open = false;
  }

  /** Closed, or its process is gone. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#disk.closed(this.#inode);
  }

  #change(change: ContentChange): void {
    if (this.#mode === 'read') {
      throw fileError(change.kind === 'truncate' ? 'EINVAL' : 'EBADF', this.#path);
    }
    this.#disk.change(this.#inode, change, this.#path);
  }

  #perform(
    kind: OperationKind,
    detail: string,
    parts: Pick<DiskOperation, 'begin' | 'apply' | 'failed' | 'done'>,
  ): void {
    // A real process would hit whatever file got the descriptor since.
    assert(this.#open, 'a file is not used after it was closed');
    this.#inFlight += 1;
    this.#disk.perform(this.#process, {
      kind,
      path: this.#path,
      detail,
      ...parts,
      done: (error) => {
        this.#inFlight -= 1;
        parts.done(error);
      },
    });
  }
}

function checkOffset(offsetBytes: number): void {
  const whole = Number.isSafeInteger(offsetBytes) && offsetBytes >= 0;
  assert(whole, 'an offset in a file is a whole number, not negative');
}
