/**
 * A chain in its folder: chain.json names the layers, newest first. Only the head is made today;
 * what reads a chain takes any number of layers.
 */
import type { Clock, Files } from '../../core/platform/index.ts';
import {
  asStorageError,
  Chain,
  type ChainOptions,
  corruptFile,
  type Layer,
  NO_BREAKS,
  type ReplicaBreak,
} from '../chain/index.ts';
import { isFields, readDocument, writeDocument } from './document.ts';
import {
  type CacheId,
  cacheOfHead,
  createLayerFiles,
  type LayerName,
  openFrozenLayer,
  openHeadLayer,
} from './layer-files.ts';
import { chainPath, layerPaths } from './paths.ts';
import type { WriteBackCheck } from './write-back-check.ts';

const KIND = { name: 'chain', formatVersion: 1 } as const;
const LAYERS_MAX = 1024;
const NAME_PATTERN = /^volume-(head-[0-9]{3}|snap-[0-9A-Za-z][0-9A-Za-z._-]{0,127})$/;
const FIRST_HEAD = 'volume-head-000';

export interface LayerEntry extends LayerName {
  /** The id of the next older layer; null for the oldest. */
  readonly parent: string | null;
}

export async function writeChainDocument(
  files: Files,
  folder: string,
  layers: readonly LayerEntry[],
): Promise<void> {
  await writeDocument(files, chainPath(folder), KIND, { layers });
}

/** @throws StorageError */
export async function readChainDocument(
  files: Files,
  folder: string,
): Promise<readonly LayerEntry[]> {
  const path = chainPath(folder);
  const { layers } = await readDocument(files, path, KIND);
  if (!Array.isArray(layers) || layers.length === 0 || layers.length > LAYERS_MAX) {
    throw corruptFile(path, 'no list of layers');
  }
  const entries = layers.map((entry: unknown) => parseEntry(entry, path));
  const names = new Set(entries.map(({ name }) => name));
  const ids = new Set(entries.map(({ id }) => id));
  if (names.size !== entries.length || ids.size !== entries.length) {
    throw corruptFile(path, 'a layer twice');
  }
  for (const [position, { parent, name }] of entries.entries()) {
    if (parent !== (entries[position + 1]?.id ?? null)) {
      throw corruptFile(path, `${name} does not stand on the layer below it`);
    }
  }
  return entries;
}

function parseEntry(entry: unknown, path: string): LayerEntry {
  const fields = isFields(entry) ? entry : {};
  const { id, name, parent } = fields;
  if (typeof id !== 'string' || typeof name !== 'string' || !NAME_PATTERN.test(name)) {
    throw corruptFile(path, 'a layer without id or name');
  }
  if (parent !== null && typeof parent !== 'string') throw corruptFile(path, 'a parent without id');
  return { id, name, parent };
}

/** A folder with one empty head, durable but for its own name in its parent. */
export async function createLayersFolder(
  files: Files,
  folder: string,
  options: { readonly sizeBytes: number; readonly headId: string },
): Promise<void> {
  const head = { id: options.headId, name: FIRST_HEAD, parent: null };
  await files.makeFolder(folder);
  await createLayerFiles(files, folder, head, options.sizeBytes);
  await writeChainDocument(files, folder, [head]);
  await files.syncFolder(folder);
}

export interface OpenChainOptions {
  readonly sizeBytes: number;
  readonly cache: CacheId;
  readonly clock: Clock;
  readonly writeBack: WriteBackCheck;
  readonly failure: string | null;
  readonly onFailed: ChainOptions['onFailed'];
  readonly breaks?: ReadonlySet<ReplicaBreak>;
}

/** The cache that the folder's answered writes are in: see `cacheOfHead`. @throws StorageError */
export async function cacheOfLayers(
  files: Files,
  folder: string,
  options: Parameters<typeof cacheOfHead>[3],
): Promise<CacheId> {
  const [head] = await readChainDocument(files, folder);
  if (head === undefined) throw corruptFile(chainPath(folder), 'no head');
  return cacheOfHead(files, folder, head, options);
}

/** @throws StorageError */
export async function openLayersFolder(
  files: Files,
  folder: string,
  options: OpenChainOptions,
): Promise<Chain> {
  const [headEntry, ...older] = await readChainDocument(files, folder);
  if (headEntry === undefined) throw corruptFile(chainPath(folder), 'no head');
  const opened: Layer[] = [];
  try {
    for (const entry of older) {
      opened.push(await openFrozenLayer(files, folder, entry, options.sizeBytes));
    }
    const { sizeBytes, onFailed, breaks = NO_BREAKS } = options;
    const head = await openHeadLayer(files, folder, headEntry, options);
    const failure = options.failure ?? head.syncFailure;
    if (options.failure === null && failure !== null) {
      await new Promise<void>((resolve) => {
        onFailed(failure, resolve);
      });
    }
    const layers = [head.layer, ...opened];
    const { durableIndex, syncFlag } = head;
    return new Chain({ sizeBytes, layers, durableIndex, syncFlag, failure, onFailed, breaks });
  } catch (error) {
    for (const layer of opened) {
      layer.data.close(() => undefined);
      layer.index.file.close(() => undefined);
    }
    throw asStorageError(error, folder);
  }
}

/** What the files of the chain take on the medium. */
export async function allocatedBytesOf(files: Files, folder: string): Promise<number> {
  let total = 0;
  for (const { name } of await readChainDocument(files, folder)) {
    total += await files.allocatedBytes(layerPaths(folder, name).data);
  }
  return total;
}
