import { assert } from '../../core/assert.ts';
import {
  type BlockDevice,
  type BlockDone,
  type BlockError,
  checkRange,
  NO_DATA,
  type ReadDone,
} from '../../core/block/block-device.ts';
import { RangeLock } from '../../core/block/range-lock.ts';
import { REGION_BYTES, TRANSFER_BYTES_MAX, UNMAP_BYTES_MAX } from '../../core/limits.ts';
import type { File } from '../../core/platform/index.ts';
import {
  BLOCK_BYTES,
  type ByteRange,
  blocksOf,
  type ChainParts,
  type FetchBlock,
  NO_BREAKS,
  onBlocks,
  type ReplicaBreak,
  readRuns,
} from './chain-parts.ts';
import { checksumBytes, checksumRegion } from './checksum.ts';
import { listExtents } from './extents.ts';
import { fillAbsent } from './fill-absent.ts';
import { FlushGate } from './flush-gate.ts';
import type { DirtyPage } from './layer-index.ts';
import { type Layer, LayerStack } from './layer-stack.ts';
import { isNoSpace, mediumFailure } from './storage-error.ts';
import type { SyncFlag } from './sync-flag.ts';
import { unmapBlocks } from './unmap-blocks.ts';
import { writeBlocks } from './write-blocks.ts';

export interface ChainOptions {
  readonly sizeBytes: number;
  /** Newest first. */
  readonly layers: readonly Layer[];
  /** The head's index as a power cut leaves it (see layer-index.ts). */
  readonly durableIndex: File;
  /** Set while a flush is under way, for a process that is killed in it (R14). */
  readonly syncFlag: SyncFlag;
  /** Why every flush fails since a past run, or null. */
  readonly failure: string | null;
  /** Called once, when flushes begin to fail; their answers wait until `stored` is called. */
  readonly onFailed: (detail: string, stored: () => void) => void;
  /** Rules switched off: only in the simulator's own tests. */
  readonly breaks?: ReadonlySet<ReplicaBreak>;
}

/** How a flush ends. */
interface FlushEnd {
  readonly succeeded: () => void;
  /** The kernel may have forgotten what it covers: never again (R14). */
  readonly failed: (error: Error) => void;
  /** Something could not be written for want of space; nothing is forgotten, the next may do. */
  readonly refused: (error: Error) => void;
}

/**
 * The layers of one replica as a block device. Overlapping calls take effect in the order in
 * which they were made.
 */
export class Chain implements BlockDevice {
  readonly sizeBytes: number;
  readonly #layers: readonly Layer[];
  readonly #durableIndex: File;
  readonly #syncFlag: SyncFlag;
  readonly #onFailed: ChainOptions['onFailed'];
  readonly #parts: ChainParts;
  readonly #flushes: FlushGate;
  readonly #breaks: ReadonlySet<ReplicaBreak>;
  #failedTold: boolean;

  constructor(options: ChainOptions) {
    assert(options.sizeBytes % BLOCK_BYTES === 0, 'a replica is a whole number of blocks');
    this.sizeBytes = options.sizeBytes;
    this.#layers = options.layers;
    this.#durableIndex = options.durableIndex;
    this.#syncFlag = options.syncFlag;
    this.#onFailed = options.onFailed;
    this.#failedTold = options.failure !== null;
    this.#breaks = options.breaks ?? NO_BREAKS;
    this.#flushes = new FlushGate((done) => this.#sync(done), this.#breaks);
    if (options.failure !== null) this.#flushes.fail(options.failure);
    this.#parts = {
      stack: new LayerStack(options.layers),
      lock: new RangeLock(),
      fetchBlock: null,
      fail: (detail) => this.#fail(detail, () => undefined),
    };
  }

  /** Flushes fail, now and for ever (R14); everything else goes on. */
  get failed(): boolean {
    return this.#flushes.failure !== null;
  }

  /** Where blocks come from that are not copied yet; null when nothing is being copied. */
  set fetchBlock(fetchBlock: FetchBlock | null) {
    this.#parts.fetchBlock = fetchBlock;
  }

  read(offsetBytes: number, lengthBytes: number, done: ReadDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, lengthBytes, TRANSFER_BYTES_MAX);
    if (error !== null) {
      queueMicrotask(() => done(error, NO_DATA));
      return;
    }
    const data = Buffer.allocUnsafe(lengthBytes);
    onBlocks(
      this.#parts,
      'shared',
      blocksOf(offsetBytes, lengthBytes),
      (finish) => readRuns(this.#parts, offsetBytes, data, finish),
      (failure) => done(failure, failure === null ? data : NO_DATA),
    );
  }

  write(offsetBytes: number, data: Buffer, done: BlockDone): void {
    if (this.#refuses(offsetBytes, data.length, TRANSFER_BYTES_MAX, done)) return;
    onBlocks(
      this.#parts,
      'exclusive',
      blocksOf(offsetBytes, data.length),
      (finish) => writeBlocks(this.#parts, offsetBytes, data, finish),
      done,
    );
  }

  unmap(offsetBytes: number, lengthBytes: number, done: BlockDone): void {
    if (this.#refuses(offsetBytes, lengthBytes, UNMAP_BYTES_MAX, done)) return;
    onBlocks(
      this.#parts,
      'exclusive',
      blocksOf(offsetBytes, lengthBytes),
      (finish) => unmapBlocks(this.#parts, offsetBytes, lengthBytes, finish),
      done,
    );
  }

  flush(done: BlockDone): void {
    this.#flushes.flush(done);
  }

  /**
   * Writes what of `data` is not in the chain yet: blocks that were written or unmapped since the
   * copy began are newer. `offsetBytes` and the length are whole blocks.
   */
  fillAbsent(offsetBytes: number, data: Buffer, done: BlockDone): void {
    assert(offsetBytes % BLOCK_BYTES === 0, 'a copy is of whole blocks');
    assert(data.length % BLOCK_BYTES === 0, 'a copy is of whole blocks');
    if (this.#refuses(offsetBytes, data.length, TRANSFER_BYTES_MAX, done)) return;
    onBlocks(
      this.#parts,
      'exclusive',
      blocksOf(offsetBytes, data.length),
      (finish) => fillAbsent(this.#parts, offsetBytes, data, finish),
      done,
    );
  }

  /** One little-endian CRC32C per CHECKSUM_CHUNK_BYTES; what reads as zeros is not read. */
  checksum(offsetBytes: number, lengthBytes: number, done: ReadDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, lengthBytes, REGION_BYTES);
    if (error !== null) {
      queueMicrotask(() => done(error, NO_DATA));
      return;
    }
    const sums = Buffer.alloc(checksumBytes(lengthBytes));
    onBlocks(
      this.#parts,
      'shared',
      blocksOf(offsetBytes, lengthBytes),
      (finish) => checksumRegion(this.#parts, { offsetBytes, lengthBytes }, sums, finish),
      (failure) => done(failure, failure === null ? sums : NO_DATA),
    );
  }

  /** Ranges with data, ascending, at most `countMax`; from the index, without touching data. */
  extents(
    range: ByteRange,
    countMax: number,
    done: (error: BlockError | null, extents: readonly ByteRange[]) => void,
  ): void {
    const error = checkRange(
      this.sizeBytes,
      range.offsetBytes,
      range.lengthBytes,
      Number.MAX_SAFE_INTEGER,
    );
    if (error === null) listExtents(this.#parts.stack, range, countMax, done);
    else queueMicrotask(() => done(error, []));
  }

  /** Only when no call is in flight. */
  async close(): Promise<void> {
    assert(this.#parts.lock.count === 0, 'a chain is closed when nothing is in flight');
    await new Promise<void>((resolve) => {
      this.#syncFlag.close(resolve);
    });
    const files = new Set([this.#durableIndex]);
    for (const layer of this.#layers) files.add(layer.data).add(layer.index.file);
    for (const file of files) {
      await new Promise<void>((resolve) => {
        // Nothing can be done about a failed close, and nothing is lost by it: what counts was
        // synced before.
        file.close(() => resolve());
      });
    }
  }

  #refuses(offset: number, length: number, lengthMax: number, done: BlockDone): boolean {
    const error = checkRange(this.sizeBytes, offset, length, lengthMax);
    if (error !== null) queueMicrotask(() => done(error));
    return error !== null;
  }

  #sync(done: BlockDone): void {
    const what = `flush of ${this.#parts.stack.head.name}`;
    const end: FlushEnd = {
      succeeded: () => {
        this.#syncFlag.clear();
        done(null);
      },
      failed: (error) => {
        const answer = () => done(mediumFailure(error, what));
        this.#syncFlag.fail(() => this.#fail(`${what} failed: ${error.message}`, answer));
      },
      refused: (error) => {
        this.#syncFlag.clear();
        done(mediumFailure(error, what));
      },
    };
    this.#syncFlag.set((error) => {
      if (error === null) this.#syncNow(end);
      else if (isNoSpace(error)) end.refused(error);
      else end.failed(error);
    });
  }

  /** Durable are, in this order: the data, then the index entries that speak of it (R27). */
  #syncNow(end: FlushEnd): void {
    const { head } = this.#parts.stack;
    const pages = head.index.takeDirtyPages();
    const syncData = (next: () => void): void =>
      head.data.datasync((error) => (error === null ? next() : end.failed(error)));
    const syncIndex = (next: () => void): void =>
      this.#durableIndex.datasync((error) => (error === null ? next() : end.failed(error)));
    const writePages = (next: () => void): void =>
      this.#writePages(pages, (error) => {
        if (error === null) {
          next();
        } else if (isNoSpace(error)) {
          head.index.giveBack(pages);
          end.refused(error);
        } else {
          end.failed(error);
        }
      });
    if (this.#breaks.has('R27-index-first')) {
      writePages(() => syncIndex(() => syncData(end.succeeded)));
    } else if (pages.length === 0) {
      syncData(end.succeeded);
    } else {
      syncData(() => writePages(() => syncIndex(end.succeeded)));
    }
  }

  #writePages(pages: readonly DirtyPage[], done: (error: Error | null) => void): void {
    let position = 0;
    const next = (error: Error | null): void => {
      const page = pages[position];
      if (error !== null || page === undefined) {
        done(error);
      } else {
        position += 1;
        this.#durableIndex.write(page.content, page.offsetBytes, next);
      }
    };
    next(null);
  }

  #fail(detail: string, stored: () => void): void {
    this.#flushes.fail(detail);
    if (this.#failedTold) {
      stored();
      return;
    }
    this.#failedTold = true;
    this.#onFailed(detail, stored);
  }
}
