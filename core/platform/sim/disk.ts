import { assert } from '../../assert.ts';
import { codeOf } from '../../errors.ts';
import { GiB } from '../../units.ts';
import type { FileSystemSpace } from '../files.ts';
import { type ContentChange, PAGE_BYTES } from './image.ts';
import { drawMood, type SimInode } from './inode.ts';
import { fileError, Namespace, SimFolder } from './namespace.ts';
import type { SimProcess } from './process.ts';
import type { Range, SimRandom } from './random.ts';
import type { Simulation } from './simulation.ts';
import { WriteBackErrors } from './write-back-errors.ts';

export interface DiskLatency {
  readonly readMs: Range;
  /** Into the page cache; also truncate, punch hole and all that changes names. */
  readonly writeMs: Range;
  /** fdatasync and fsync. */
  readonly syncMs: Range;
}

export interface SimDiskOptions {
  readonly name: string;
  readonly capacityBytes?: number;
  readonly latency?: DiskLatency;
}

export type OperationKind = 'read' | 'write' | 'datasync' | 'punchHole' | 'metadata';

/** Makes matching operations fail or take longer; a stuck write is one with a long delay. */
export interface DiskFault {
  readonly operation: OperationKind | 'any';
  /** Only paths (within the mount) that contain it. */
  readonly pathIncludes?: string;
  /** Default 1. */
  readonly probability?: number;
  /** Stops after so many hits. */
  readonly countMax?: number;
  readonly effect:
    | { readonly kind: 'error'; readonly code: 'EIO' | 'ENOSPC' | 'EROFS' }
    | { readonly kind: 'delay'; readonly delayMs: number };
}

/** A system call on its way through the disk. */
export interface DiskOperation {
  readonly kind: OperationKind;
  readonly path: string;
  /** For the trace. */
  readonly detail: string;
  /** The call enters the kernel. */
  begin?(): void;
  /** It takes effect. Throws an error with `code` to fail. */
  apply(): void;
  /** A fault made it fail instead. */
  failed?(): void;
  done(error: Error | null): void;
}

const CAPACITY_BYTES = 1024 * GiB;
const LATENCY: DiskLatency = { readMs: [0.02, 0.3], writeMs: [0.01, 0.1], syncMs: [0.5, 4] };

/** A file system on a disk: page cache, journal, faults. Its machine mounts it. */
export class SimDisk {
  readonly name: string;
  readonly names = new Namespace();
  capacityBytes: number;
  latency: DiskLatency;
  readonly #simulation: Simulation;
  readonly #random: SimRandom;
  readonly #faults = new Map<DiskFault, { hits: number }>();
  #pagesUsed = 0;
  #stalledUntilMs = 0;
  #held: (() => void)[] | null = null;
  #powerCuts = 0;
  readonly #writeBackErrors = new WriteBackErrors();

  constructor(simulation: Simulation, options: SimDiskOptions) {
    this.name = options.name;
    this.capacityBytes = options.capacityBytes ?? CAPACITY_BYTES;
    this.latency = options.latency ?? LATENCY;
    this.#simulation = simulation;
    this.#random = simulation.fork(`disk/${options.name}`);
  }

  /** @returns what ends the fault. */
  addFault(fault: DiskFault): () => void {
    this.#faults.set(fault, { hits: 0 });
    this.#note(`fault ${JSON.stringify(fault)}`);
    return () => this.#faults.delete(fault);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  /** Nothing completes for so long. */
  stall(durationMs: number): void {
    this.#note(`stalls for ${durationMs} ms`);
    this.#stalledUntilMs = Math.max(this.#stalledUntilMs, this.#simulation.nowMs + durationMs);
  }

  /** Nothing completes until `unhang`. */
  hang(): void {
    this.#note('hangs');
    this.#held ??= [];
  }

  unhang(): void {
    const held = this.#held ?? [];
    this.#held = null;
    this.#note(`goes on with ${held.length} operations`);
    for (const complete of held) this.#simulation.schedule(this.#random.fraction(), complete);
  }

  /** echo 3 > drop_caches: what a failed write-back forgot is no longer read. */
  dropCaches(): void {
    this.#note('drops its caches');
    for (const inode of this.names.files('entries')) inode.dropCache();
    this.#recount();
  }

  space(): FileSystemSpace {
    const freeBytes = Math.max(0, this.capacityBytes - this.#pagesUsed * PAGE_BYTES);
    return { totalBytes: this.capacityBytes, freeBytes };
  }

  /** Bytes in files that a power cut may still take, for scenarios. */
  get unflushedCount(): number {
    const files = this.names.files('entries');
    return files.reduce((sum, inode) => sum + inode.unflushedCount, 0);
  }

  /** Runs an operation in a thread of `owner`. It takes effect even if the process is killed. */
  perform(owner: SimProcess, operation: DiskOperation): void {
    owner.useThread((finished) => {
      const powerCuts = this.#powerCuts;
      operation.begin?.();
      const { code, delayMs } = this.#drawFault(operation);
      const complete = (): void => {
        if (powerCuts !== this.#powerCuts) return;
        if (this.#held !== null) {
          this.#held.push(complete);
          return;
        }
        const error = this.#takeEffect(operation, code);
        this.#noteEnd(owner, operation, error);
        finished();
        owner.enter(() => operation.done(error));
      };
      this.#simulation.schedule(this.#durationMs(operation.kind) + delayMs, complete);
    });
  }

  /** @throws ENOSPC after a random part of a write was done, as the kernel may. */
  change(inode: SimInode, change: ContentChange, path: string): void {
    if (change.kind === 'write') {
      const missing = inode.cached.missingPages(change.offsetBytes, change.data.length);
      if ((this.#pagesUsed + missing) * PAGE_BYTES > this.capacityBytes) {
        this.#writePart(inode, change);
        throw fileError('ENOSPC', path);
      }
    }
    const before = inode.cached.pageCount;
    inode.change(change);
    this.#pagesUsed += inode.cached.pageCount - before;
  }

  /** A failed write-back: see SimInode.forget. */
  forget(inode: SimInode, mark: number): void {
    inode.forget(mark, this.#random);
    this.#writeBackErrors.add();
  }

  /** What a descriptor that is opened now has seen of the failed write-backs of this disk. */
  writeBackErrorsSeen(): number {
    return this.#writeBackErrors.seen();
  }

  /** All that is dirty, as it is when syncfs begins. */
  markAll(): () => void {
    const names = this.names.markAll();
    const marks = this.names.files('entries').map((inode) => ({ inode, mark: inode.mark() }));
    return () => {
      this.names.commit(names);
      for (const { inode, mark } of marks) inode.commit(mark);
    };
  }

  /** @throws EIO when a write-back failed that `seen` does not cover: then it is told for good. */
  tellWriteBackErrors(seen: number, path: string): void {
    if (this.#writeBackErrors.tell(seen)) throw fileError('EIO', path);
  }

  closed(inode: SimInode): void {
    inode.openCount -= 1;
    this.#freeIfUnused(inode);
  }

  unlinked(inode: SimInode | null): void {
    if (inode === null) return;
    inode.linked = false;
    this.#freeIfUnused(inode);
  }

  makeMountPoint(path: string): void {
    let made = '';
    for (const part of path.split('/').filter((name) => name !== '')) {
      made += `/${part}`;
      try {
        this.names.create(made, new SimFolder());
      } catch (error) {
        assert(codeOf(error) === 'EEXIST', 'a mount point is made on a working disk');
      }
    }
    this.names.commitAll();
  }

  /** An orderly unmount: everything is written. */
  syncAll(): void {
    this.names.commitAll();
    for (const inode of this.names.files('entries')) {
      assert(inode.openCount === 0, 'a disk with open files is busy');
      inode.commit(inode.mark());
    }
    this.#writeBackErrors.forget();
  }

  losePower(): void {
    this.#powerCuts += 1;
    this.#held = this.#held === null ? null : [];
    const mood = drawMood(this.#random);
    this.#note(`power cut, ${this.unflushedCount} unflushed changes, ${JSON.stringify(mood)}`);
    this.names.crash(mood, this.#random);
    this.#writeBackErrors.forget();
    this.#recount();
  }

  /** The start of a write that has no room as a whole. */
  #writePart(inode: SimInode, write: Extract<ContentChange, { kind: 'write' }>): void {
    const free = Math.floor(this.capacityBytes / PAGE_BYTES) - this.#pagesUsed;
    const wholePages = Math.floor(write.data.length / PAGE_BYTES);
    const pages = this.#random.below(Math.max(0, Math.min(free, wholePages)) + 1);
    if (pages === 0) return;
    const data = write.data.subarray(0, pages * PAGE_BYTES - (write.offsetBytes % PAGE_BYTES));
    this.change(inode, { ...write, data }, '');
  }

  #takeEffect(operation: DiskOperation, code: string | null): Error | null {
    if (code !== null) {
      operation.failed?.();
      return fileError(code, operation.path);
    }
    try {
      operation.apply();
      return null;
    } catch (error) {
      if (error instanceof Error && codeOf(error) !== null) return error;
      throw error;
    }
  }

  #drawFault(operation: DiskOperation): { code: string | null; delayMs: number } {
    let code: string | null = null;
    let delayMs = 0;
    for (const [fault, state] of this.#faults) {
      const matches =
        (fault.operation === 'any' || fault.operation === operation.kind) &&
        operation.path.includes(fault.pathIncludes ?? '') &&
        state.hits < (fault.countMax ?? Number.POSITIVE_INFINITY) &&
        this.#random.chance(fault.probability ?? 1);
      if (!matches) continue;
      state.hits += 1;
      if (fault.effect.kind === 'error') code ??= fault.effect.code;
      else delayMs += fault.effect.delayMs;
    }
    return { code, delayMs };
  }

  #durationMs(kind: OperationKind): number {
    const { readMs, writeMs, syncMs } = this.latency;
    const range = kind === 'read' ? readMs : kind === 'datasync' ? syncMs : writeMs;
    return this.#random.between(range) + Math.max(0, this.#stalledUntilMs - this.#simulation.nowMs);
  }

  #freeIfUnused(inode: SimInode): void {
    if (!inode.linked && inode.openCount === 0) this.#pagesUsed -= inode.cached.pageCount;
  }

  #recount(): void {
    const files = this.names.files('entries');
    this.#pagesUsed = files.reduce((sum, inode) => sum + inode.cached.pageCount, 0);
  }

  #noteEnd(owner: SimProcess, operation: DiskOperation, error: Error | null): void {
    const end = error === null ? '' : ` failed: ${codeOf(error)}`;
    owner.note(`${operation.kind} ${operation.path} ${operation.detail}${end}`);
  }

  #note(what: string): void {
    this.#simulation.note(this.name, what);
  }
}
