/**
 * Which blocks a layer has: two bits per 4 KiB block, in memory only where something was written,
 * loaded page by page when first asked for.
 *
 * The head's index is kept in two files (replication R27). `live` gets every change before the
 * write is answered, so that a killed process loses nothing; the kernel may write it back at any
 * time, also before the data, so it counts only until the next boot. `durable` is written by a
 * flush, after the data that it speaks of was made durable, and counts after a power cut. Were
 * there one file only, a power cut could leave an entry without its data, and a block of an older
 * layer would read as zeros.
 */
import { assert } from '../../core/assert.ts';
import { type BlockDone, type BlockError, blockError } from '../../core/block/block-device.ts';
import type { File } from '../../core/platform/index.ts';
import {
  BLOCKS_PER_BYTE,
  BLOCKS_PER_PAGE,
  BlockState,
  decodeIndexPage,
  encodeIndexPage,
  INDEX_PAGE_BYTES,
  PAGE_STATE_BYTES,
} from './index-page.ts';
import { mediumFailure } from './storage-error.ts';

/** The first page of an index file is its header. */
export const INDEX_HEADER_BYTES = INDEX_PAGE_BYTES;

export function indexPageCount(blockCount: number): number {
  return Math.ceil(blockCount / BLOCKS_PER_PAGE);
}

export function indexFileBytes(blockCount: number): number {
  return INDEX_HEADER_BYTES + indexPageCount(blockCount) * INDEX_PAGE_BYTES;
}

function pageOffset(pageIndex: number): number {
  return INDEX_HEADER_BYTES + pageIndex * INDEX_PAGE_BYTES;
}

class Page {
  readonly states: Buffer;
  writing = false;
  readonly waiting: BlockDone[] = [];

  constructor(states: Buffer) {
    this.states = states;
  }
}

export interface LayerIndexFiles {
  /** For messages. */
  readonly path: string;
  /** Read from; of the head also written to, before a write is answered. */
  readonly live: File;
  /** Written by flushes; null: this layer is frozen. */
  readonly durable: File | null;
}

export interface DirtyPage {
  readonly offsetBytes: number;
  readonly content: Buffer;
}

export class LayerIndex {
  readonly #files: LayerIndexFiles;
  readonly #blockCount: number;
  /** Undefined: not loaded yet. Null: all absent, and no space taken on the medium. */
  readonly #pages: (Page | null | undefined)[];
  readonly #loading = new Map<number, BlockDone[]>();
  readonly #reserving = new Map<number, BlockDone[]>();
  #dirtyPages = new Set<number>();
  /** Of these `live` has less than memory: what could not be written, and nobody was answered. */
  readonly #behind = new Set<number>();

  /** @param maybeUsed pages that may hold something; all others are holes. */
  constructor(files: LayerIndexFiles, blockCount: number, maybeUsed: Iterable<number>) {
    this.#files = files;
    this.#blockCount = blockCount;
    this.#pages = Array.from({ length: indexPageCount(blockCount) }, () => null);
    for (const pageIndex of maybeUsed) this.#pages[pageIndex] = undefined;
  }

  /** The file that it reads from; whoever closes the layer closes it. */
  get file(): File {
    return this.#files.live;
  }

  isLoaded(firstBlock: number, endBlock: number): boolean {
    assert(firstBlock >= 0 && endBlock <= this.#blockCount, 'blocks are within the layer');
    const lastPage = Math.floor((endBlock - 1) / BLOCKS_PER_PAGE);
    for (let page = Math.floor(firstBlock / BLOCKS_PER_PAGE); page <= lastPage; page += 1) {
      if (this.#pages[page] === undefined) return false;
    }
    return true;
  }

  /** Only where `isLoaded` is false. */
  load(firstBlock: number, endBlock: number, done: BlockDone): void {
    const lastPage = Math.floor((endBlock - 1) / BLOCKS_PER_PAGE);
    const loadFrom = (from: number): void => {
      let page = from;
      while (page <= lastPage && this.#pages[page] !== undefined) page += 1;
      if (page > lastPage) {
        done(null);
        return;
      }
      this.#loadPage(page, (error) => {
        if (error === null) loadFrom(page + 1);
        else done(error);
      });
    };
    loadFrom(Math.floor(firstBlock / BLOCKS_PER_PAGE));
  }

  /** Only where loaded, like all that follows. */
  state(block: number): BlockState {
    const page = this.#loaded(Math.floor(block / BLOCKS_PER_PAGE));
    if (page === null) return BlockState.absent;
    return stateIn(page.states, block % BLOCKS_PER_PAGE);
  }

  /** The first block after `block`, at most `limit`, that has another state. */
  runEnd(block: number, limit: number): number {
    const state = this.state(block);
    let at = block;
    while (at < limit) {
      const pageIndex = Math.floor(at / BLOCKS_PER_PAGE);
      const pageStart = pageIndex * BLOCKS_PER_PAGE;
      const stop = Math.min(limit, pageStart + BLOCKS_PER_PAGE);
      const page = this.#pages[pageIndex];
      // What is not loaded ends a run: the caller loads and goes on.
      if (page === undefined) return at;
      if (page === null) {
        if (state !== BlockState.absent) return at;
        at = stop;
        continue;
      }
      at = pageStart + runEndIn(page.states, state, at - pageStart, stop - pageStart);
      if (at < stop) return at;
    }
    return limit;
  }

  /** True when `reserve` has nothing to do. */
  isReserved(firstBlock: number, endBlock: number): boolean {
    const lastPage = Math.floor((endBlock - 1) / BLOCKS_PER_PAGE);
    for (let page = Math.floor(firstBlock / BLOCKS_PER_PAGE); page <= lastPage; page += 1) {
      if (this.#pages[page] === null) return false;
    }
    return true;
  }

  /**
   * Takes the space for the pages of these blocks in both files, so that the disk can be full
   * afterwards and marks are still kept: `noSpace` comes from here, before anything changed.
   */
  reserve(firstBlock: number, endBlock: number, done: BlockDone): void {
    const lastPage = Math.floor((endBlock - 1) / BLOCKS_PER_PAGE);
    const reserveFrom = (from: number): void => {
      let page = from;
      while (page <= lastPage && this.#pages[page] !== null) page += 1;
      if (page > lastPage) {
        done(null);
        return;
      }
      this.#reservePage(page, (error) => {
        if (error === null) reserveFrom(page + 1);
        else done(error);
      });
    };
    reserveFrom(Math.floor(firstBlock / BLOCKS_PER_PAGE));
  }

  /** In memory only. @returns true when `live` differs now: then `persist` before answering. */
  mark(firstBlock: number, endBlock: number, state: BlockState): boolean {
    let changed = false;
    let at = firstBlock;
    while (at < endBlock) {
      const pageIndex = Math.floor(at / BLOCKS_PER_PAGE);
      const pageStart = pageIndex * BLOCKS_PER_PAGE;
      const stop = Math.min(endBlock, pageStart + BLOCKS_PER_PAGE);
      const page = this.#loaded(pageIndex);
      if (page === null) {
        assert(state === BlockState.absent, 'a page is reserved before it is marked');
      } else if (markIn(page.states, state, at - pageStart, stop - pageStart)) {
        this.#dirtyPages.add(pageIndex);
        changed = true;
      }
      changed ||= this.#behind.has(pageIndex);
      at = stop;
    }
    return changed;
  }

  /** Hands the pages of these blocks to the kernel, as they are now or later. */
  persist(firstBlock: number, endBlock: number, done: BlockDone): void {
    const lastPage = Math.floor((endBlock - 1) / BLOCKS_PER_PAGE);
    const persistFrom = (pageIndex: number): void => {
      const page = this.#loaded(pageIndex);
      const next: BlockDone = (error) => {
        if (error === null && pageIndex < lastPage) {
          persistFrom(pageIndex + 1);
          return;
        }
        // This one and those that it did not come to are marked in memory.
        if (error !== null) for (let at = pageIndex; at <= lastPage; at += 1) this.#behind.add(at);
        done(error);
      };
      if (page === null) {
        next(null);
        return;
      }
      page.waiting.push(next);
      if (!page.writing) this.#writePage(pageIndex, page);
    };
    persistFrom(Math.floor(firstBlock / BLOCKS_PER_PAGE));
  }

  /**
   * The pages that changed since the last call, as they are now. A flush takes them before its
   * fdatasync of the data starts, and writes them after it has ended.
   */
  takeDirtyPages(): DirtyPage[] {
    const taken: DirtyPage[] = [];
    for (const pageIndex of this.#dirtyPages) {
      const page = this.#loaded(pageIndex);
      assert(page !== null, 'a dirty page has states');
      const content = encodeIndexPage(page.states, pageIndex);
      taken.push({ offsetBytes: pageOffset(pageIndex), content });
    }
    this.#dirtyPages = new Set();
    return taken;
  }

  /** What a flush took and could not write: the next one takes it again, as it is by then. */
  giveBack(pages: readonly DirtyPage[]): void {
    for (const { offsetBytes } of pages) {
      this.#dirtyPages.add((offsetBytes - INDEX_HEADER_BYTES) / INDEX_PAGE_BYTES);
    }
  }

  #loaded(pageIndex: number): Page | null {
    const page = this.#pages[pageIndex];
    assert(page !== undefined, 'an index page is loaded before it is used');
    return page;
  }

  #loadPage(pageIndex: number, done: BlockDone): void {
    const waiting = this.#loading.get(pageIndex);
    if (waiting !== undefined) {
      waiting.push(done);
      return;
    }
    const all = [done];
    this.#loading.set(pageIndex, all);
    const buffer = Buffer.alloc(INDEX_PAGE_BYTES);
    this.#files.live.read(buffer, pageOffset(pageIndex), (error, readBytes) => {
      this.#loading.delete(pageIndex);
      const failure =
        error === null
          ? this.#takeLoaded(pageIndex, buffer.subarray(0, readBytes))
          : mediumFailure(error, `reading ${this.#files.path}`);
      for (const each of all) each(failure);
    });
  }

  #takeLoaded(pageIndex: number, content: Buffer): BlockError | null {
    const states = decodeIndexPage(content, pageIndex);
    if (typeof states === 'string') {
      const what = `${this.#files.path}, page ${pageIndex}: ${states}`;
      return blockError('mediumError', `the index is damaged (${what})`);
    }
    this.#pages[pageIndex] = states === null ? null : new Page(states);
    return null;
  }

  #reservePage(pageIndex: number, done: BlockDone): void {
    const waiting = this.#reserving.get(pageIndex);
    if (waiting !== undefined) {
      waiting.push(done);
      return;
    }
    const { live, durable } = this.#files;
    assert(durable !== null, 'only the head is written');
    const all = [done];
    this.#reserving.set(pageIndex, all);
    const empty = Buffer.alloc(INDEX_PAGE_BYTES);
    const finish = (error: Error | null): void => {
      this.#reserving.delete(pageIndex);
      if (error === null) this.#pages[pageIndex] = new Page(Buffer.alloc(PAGE_STATE_BYTES));
      const failure = error && mediumFailure(error, `growing ${this.#files.path}`);
      for (const each of all) each(failure);
    };
    durable.write(empty, pageOffset(pageIndex), (error) => {
      if (error === null) live.write(empty, pageOffset(pageIndex), finish);
      else finish(error);
    });
  }

  /** One write of a page at a time: a later one must not be overtaken by an earlier one. */
  #writePage(pageIndex: number, page: Page): void {
    const waiting = page.waiting.splice(0);
    page.writing = true;
    const content = encodeIndexPage(page.states, pageIndex);
    this.#files.live.write(content, pageOffset(pageIndex), (error) => {
      page.writing = false;
      if (error === null) this.#behind.delete(pageIndex);
      const failure = error && mediumFailure(error, `writing ${this.#files.path}`);
      for (const done of waiting) done(failure);
      if (page.waiting.length > 0 && !page.writing) this.#writePage(pageIndex, page);
    });
  }
}

function stateIn(states: Buffer, block: number): BlockState {
  const byte = states[block >> 2] ?? 0;
  return ((byte >> ((block & 3) * 2)) & 3) as BlockState;
}

const UNIFORM_PAGES: readonly Buffer[] = [0, 1, 2].map((state) =>
  Buffer.alloc(PAGE_STATE_BYTES, state * 0x55),
);

function runEndIn(states: Buffer, state: BlockState, from: number, stop: number): number {
  const uniform = UNIFORM_PAGES[state];
  if (from === 0 && stop === BLOCKS_PER_PAGE && uniform?.equals(states) === true) return stop;
  const pattern = state * 0x55;
  let at = from;
  while (at < stop) {
    if ((at & 3) === 0 && at + BLOCKS_PER_BYTE <= stop && states[at >> 2] === pattern) {
      at += BLOCKS_PER_BYTE;
    } else if (stateIn(states, at) === state) {
      at += 1;
    } else {
      return at;
    }
  }
  return at;
}

function markIn(states: Buffer, state: BlockState, from: number, stop: number): boolean {
  const pattern = state * 0x55;
  let changed = false;
  let at = from;
  while (at < stop) {
    const byteIndex = at >> 2;
    const before = states[byteIndex] ?? 0;
    let after = pattern;
    if ((at & 3) === 0 && at + BLOCKS_PER_BYTE <= stop) {
      at += BLOCKS_PER_BYTE;
    } else {
      const shift = (at & 3) * 2;
      after = (before & ~(3 << shift)) | (state << shift);
      at += 1;
    }
    if (after !== before) {
      states[byteIndex] = after;
      changed = true;
    }
  }
  return changed;
}
