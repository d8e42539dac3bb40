/**
 * The files of one layer: making them, and opening them after whatever happened.
 *
 * An index file begins with a header page. That of `.live` names the boot and the mount under
 * which it was written: under another one it tells nothing, because the kernel may have kept an
 * entry and lost its data (see chain/layer-index.ts). Under the same one it is the truth, also
 * after the process was killed.
 */
import { messageOf } from '../../core/errors.ts';
import type { Clock, File, Files } from '../../core/platform/index.ts';
import {
  asStorageError,
  BLOCK_BYTES,
  corruptFile,
  decodeIndexPage,
  INDEX_HEADER_BYTES,
  INDEX_PAGE_BYTES,
  indexFileBytes,
  isNoSpace,
  type Layer,
  LayerIndex,
  newerFormat,
  parseSyncFlag,
  SYNC_FLAG_AT,
  SYNC_FLAG_BYTES,
  SyncFlag,
  sealPage,
  unsealPage,
} from '../chain/index.ts';
import {
  allocatedRanges,
  closeFile,
  datasync,
  readFrom,
  sizeOf,
  truncate,
  writeTo,
} from './callbacks.ts';
import { isFields } from './document.ts';
import { layerPaths } from './paths.ts';
import type { WriteBackCheck } from './write-back-check.ts';

const INDEX_KIND = { name: 'index', formatVersion: 1 } as const;
const LIVE_KIND = { name: 'live', formatVersion: 1 } as const;
/** Between the id of a mount and that of a life of `.live`; no mount has it. */
const LIFE_MARK = ' live ';
const NO_HEADER = Buffer.alloc(INDEX_HEADER_BYTES);

/** Boot and mount id: what tells whether the page cache is still the one that was written to. */
export interface CacheId {
  readonly bootId: string;
  readonly mountId: string;
}

export interface LayerName {
  readonly id: string;
  readonly name: string;
}

/** Makes the files of an empty layer, durable but for their names in the folder. */
export async function createLayerFiles(
  files: Files,
  folder: string,
  layer: LayerName,
  sizeBytes: number,
): Promise<void> {
  const paths = layerPaths(folder, layer.name);
  const blockCount = sizeBytes / BLOCK_BYTES;
  const header = { layerId: layer.id, blockCount };
  await createFile(files, paths.data, sizeBytes, null);
  const page = sealPage(INDEX_KIND, { sequence: 1, value: header }, INDEX_HEADER_BYTES);
  await createFile(files, paths.index, indexFileBytes(blockCount), page);
  // Its header takes its space now: opening works when the disk is full.
  await createFile(files, paths.live, indexFileBytes(blockCount), NO_HEADER);
}

async function createFile(
  files: Files,
  path: string,
  sizeBytes: number,
  header: Buffer | null,
): Promise<void> {
  const file = await files.open(path, 'create');
  try {
    await truncate(file, sizeBytes);
    if (header !== null) await writeTo(file, header, 0);
    await datasync(file);
  } finally {
    await closeFile(file);
  }
}

/** Opens a layer that is not written any more. */
export async function openFrozenLayer(
  files: Files,
  folder: string,
  layer: LayerName,
  sizeBytes: number,
): Promise<Layer> {
  const paths = layerPaths(folder, layer.name);
  const blockCount = sizeBytes / BLOCK_BYTES;
  await using opened = new OpenedFiles();
  const data = await opened.open(files, paths.data, 'read', sizeBytes);
  const index = await opened.open(files, paths.index, 'read', indexFileBytes(blockCount));
  await checkIndexHeader(index, paths.index, { layerId: layer.id, blockCount });
  const pages = await usedPages(index, indexFileBytes(blockCount));
  opened.keep();
  const source = { path: paths.index, live: index, durable: null };
  return { ...layer, data, index: new LayerIndex(source, blockCount, pages) };
}

export interface OpenedHead {
  readonly layer: Layer;
  readonly durableIndex: File;
  readonly syncFlag: SyncFlag;
  /** What a process before us had answered could not be made durable: as a failed flush (R14). */
  readonly syncFailure: string | null;
}

/** Opens the layer that is written. */
export async function openHeadLayer(
  files: Files,
  folder: string,
  layer: LayerName,
  options: {
    readonly sizeBytes: number;
    readonly cache: CacheId;
    readonly clock: Clock;
    readonly writeBack: WriteBackCheck;
  },
): Promise<OpenedHead> {
  const { sizeBytes, cache, clock, writeBack } = options;
  const paths = layerPaths(folder, layer.name);
  const blockCount = sizeBytes / BLOCK_BYTES;
  const indexBytes = indexFileBytes(blockCount);
  await using opened = new OpenedFiles();
  const data = await opened.open(files, paths.data, 'write', sizeBytes);
  const durable = await opened.open(files, paths.index, 'write', indexBytes);
  await checkIndexHeader(durable, paths.index, { layerId: layer.id, blockCount });
  const live = await opened.openLive(files, paths.live, indexBytes);
  const header = { layerId: layer.id, blockCount, ...cache };
  const isCurrent = await isLiveHeader(live, header);
  const pages = await unionOfPages(durable, live, indexBytes);
  const flag = parseSyncFlag(await readFrom(live, SYNC_FLAG_AT, SYNC_FLAG_BYTES));
  const syncFlag = new SyncFlag(live, clock, await writeBack.errorsKnown());
  let syncFailure: string | null = null;
  if (isCurrent) {
    syncFailure = await writeBack.failureOf(flag);
    syncFailure = await flagged(syncFlag, syncFailure, () =>
      makeLiveDurable({ data, durable, live }, pages),
    );
  } else {
    await restartLive({ durable, live }, pages, header);
  }
  opened.keep();
  const source = { path: paths.live, live, durable };
  return {
    layer: { ...layer, data, index: new LayerIndex(source, blockCount, pages) },
    durableIndex: durable,
    syncFlag,
    syncFailure,
  };
}

/** Making durable at the start is a flush like any other: it may be killed as well (R14). */
async function flagged(
  flag: SyncFlag,
  failureBefore: string | null,
  makeDurable: () => Promise<string | null>,
): Promise<string | null> {
  let failure = failureBefore;
  if (failure === null) {
    const refused = await new Promise<Error | null>((resolve) => {
      flag.set(resolve);
    });
    // The process ends and is started again: it is as it was, and nothing is forgotten.
    if (refused !== null && isNoSpace(refused)) throw refused;
    failure = refused === null ? await makeDurable() : refused.message;
  }
  if (failure === null) {
    flag.clear();
  } else {
    await new Promise<void>((resolve) => {
      flag.fail(resolve);
    });
  }
  return failure;
}

/** What is opened here is closed again unless everything went well. */
class OpenedFiles {
  readonly #files: File[] = [];
  #kept = false;

  async open(files: Files, path: string, mode: 'read' | 'write', bytes: number): Promise<File> {
    try {
      const file = await files.open(path, mode);
      this.#files.push(file);
      const found = await sizeOf(file);
      if (found !== bytes) throw corruptFile(path, `${found} bytes instead of ${bytes}`);
      return file;
    } catch (error) {
      throw asStorageError(error, path);
    }
  }

  /** Made anew where it is missing or has another size: it is only a cache of this boot. */
  async openLive(files: Files, path: string, bytes: number): Promise<File> {
    const there = await files.exists(path);
    const file = await files.open(path, there ? 'write' : 'create');
    this.#files.push(file);
    if ((await sizeOf(file)) !== bytes) {
      await truncate(file, 0);
      await truncate(file, bytes);
    }
    return file;
  }

  keep(): void {
    this.#kept = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#kept) return;
    for (const file of this.#files) await closeFile(file).catch(() => undefined);
  }
}

async function checkIndexHeader(
  file: File,
  path: string,
  expected: { readonly layerId: string; readonly blockCount: number },
): Promise<void> {
  const header = unsealPage(INDEX_KIND, await readFrom(file, 0, INDEX_HEADER_BYTES));
  switch (header.kind) {
    case 'newer':
      throw newerFormat(path, header.formatVersion, INDEX_KIND.formatVersion);
    case 'invalid':
      throw corruptFile(path, `header: ${header.why}`);
    case 'valid': {
      const { value } = header;
      if (!isFields(value) || value['layerId'] !== expected.layerId) {
        throw corruptFile(path, 'belongs to another layer');
      }
      if (value['blockCount'] !== expected.blockCount) throw corruptFile(path, 'other block count');
    }
  }
}

/**
 * The cache that what was answered is in: of the mount, and of one life of `.live`. Where that does
 * not say that it is the one of this mount, the entries that it had are lost as those of a page
 * cache are, and so is the id: whoever knew the former one is told by it (R15).
 *
 * @param fresh makes a new life's name.
 */
export async function cacheOfHead(
  files: Files,
  folder: string,
  layer: LayerName,
  options: { readonly sizeBytes: number; readonly mount: CacheId; readonly fresh: () => string },
): Promise<CacheId> {
  const { sizeBytes, mount, fresh } = options;
  const begun = { ...mount, mountId: `${mount.mountId}${LIFE_MARK}${fresh()}` };
  const { live: path } = layerPaths(folder, layer.name);
  if (!(await files.exists(path))) return begun;
  const live = await files.open(path, 'read');
  try {
    const header = unsealPage(LIVE_KIND, await readFrom(live, 0, INDEX_HEADER_BYTES));
    if (header.kind !== 'valid' || !isFields(header.value)) return begun;
    const { mountId } = header.value;
    if (typeof mountId !== 'string' || mountId.split(LIFE_MARK)[0] !== mount.mountId) return begun;
    const blockCount = sizeBytes / BLOCK_BYTES;
    const expected = { layerId: layer.id, blockCount, ...mount, mountId };
    const isWhole = (await sizeOf(live)) === indexFileBytes(blockCount);
    return isWhole && (await isLiveHeader(live, expected)) ? { ...mount, mountId } : begun;
  } finally {
    await closeFile(live);
  }
}

type LiveHeader = CacheId & { readonly layerId: string; readonly blockCount: number };

async function isLiveHeader(live: File, expected: LiveHeader): Promise<boolean> {
  const header = unsealPage(LIVE_KIND, await readFrom(live, 0, INDEX_HEADER_BYTES));
  if (header.kind !== 'valid' || !isFields(header.value)) return false;
  const { value } = header;
  return (Object.keys(expected) as (keyof LiveHeader)[]).every(
    (name) => value[name] === expected[name],
  );
}

/** Numbers of the pages that are not holes. */
async function usedPages(file: File, fileBytes: number): Promise<Set<number>> {
  const pages = new Set<number>();
  for (const range of await allocatedRanges(file, INDEX_HEADER_BYTES, fileBytes)) {
    const end = range.offsetBytes + range.lengthBytes - INDEX_HEADER_BYTES;
    const first = Math.floor((range.offsetBytes - INDEX_HEADER_BYTES) / INDEX_PAGE_BYTES);
    for (let page = first; page * INDEX_PAGE_BYTES < end; page += 1) pages.add(page);
  }
  return pages;
}

async function unionOfPages(durable: File, live: File, bytes: number): Promise<number[]> {
  const pages = await usedPages(durable, bytes);
  for (const page of await usedPages(live, bytes)) pages.add(page);
  return [...pages].sort((a, b) => a - b);
}

/** So many pages are read at once: a fully written volume of 1 TiB has 16 thousand. */
const PAGES_AT_ONCE = 256;

/** Neighbours together, as offsets and lengths in the file. */
function* runsOf(pages: readonly number[]): Generator<{ at: number; lengthBytes: number }> {
  let first = 0;
  while (first < pages.length) {
    const start = pages[first] ?? 0;
    let count = 1;
    while (count < PAGES_AT_ONCE && pages[first + count] === start + count) count += 1;
    const at = INDEX_HEADER_BYTES + start * INDEX_PAGE_BYTES;
    yield { at, lengthBytes: count * INDEX_PAGE_BYTES };
    first += count;
  }
}

/**
 * The process before us was killed: its answered writes are all in the page cache. They are made
 * durable now, so that the index in memory and the durable one start as the same.
 */
async function makeLiveDurable(
  files: { readonly data: File; readonly durable: File; readonly live: File },
  pages: readonly number[],
): Promise<string | null> {
  let syncing = true;
  try {
    await datasync(files.data);
    syncing = false;
    for (const { at, lengthBytes } of runsOf(pages)) {
      const content = await readFrom(files.live, at, lengthBytes);
      const before = await readFrom(files.durable, at, lengthBytes);
      if (!content.equals(before)) await writeWholePages(files.durable, content, at);
    }
    syncing = true;
    await datasync(files.durable);
    return null;
  } catch (error) {
    // A write without space changed nothing; an fdatasync has forgotten what it could not write.
    if (!syncing && isNoSpace(error)) throw error;
    return `what was answered before the last stop cannot be made durable: ${messageOf(error)}`;
  }
}

/** A damaged page is told when it is used; it must not take the durable one with it. */
async function writeWholePages(durable: File, content: Buffer, offsetBytes: number): Promise<void> {
  for (let at = 0; at < content.length; at += INDEX_PAGE_BYTES) {
    const page = content.subarray(at, at + INDEX_PAGE_BYTES);
    const pageIndex = (offsetBytes + at - INDEX_HEADER_BYTES) / INDEX_PAGE_BYTES;
    const isWhole = typeof decodeIndexPage(page, pageIndex) !== 'string';
    if (isWhole) await writeTo(durable, page, offsetBytes + at);
  }
}

/** The header is taken away first and comes back last: a crash in between leaves no half copy. */
async function restartLive(
  files: { readonly durable: File; readonly live: File },
  pages: readonly number[],
  header: LiveHeader,
): Promise<void> {
  await writeTo(files.live, NO_HEADER, 0);
  for (const { at, lengthBytes } of runsOf(pages)) {
    await writeTo(files.live, await readFrom(files.durable, at, lengthBytes), at);
  }
  const sealed = sealPage(LIVE_KIND, { sequence: 1, value: header }, INDEX_HEADER_BYTES);
  await writeTo(files.live, sealed, 0);
}
