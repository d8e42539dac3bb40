/**
 * A replica's folder: making one, and opening one. What is wrong with it is found here, once, and
 * told as data: nothing is guessed, made again or taken for empty.
 */

import { codeOf, messageOf } from '../../core/errors.ts';
import { CONTROL_PAYLOAD_BYTES_MAX } from '../../core/limits.ts';
import type { FileLock, Files, Platform } from '../../core/platform/index.ts';
import { parseRecord } from '../../core/volume/record.ts';
import type { PromiseAnswer, PromiseMade } from '../../core/wire/frame.ts';
import { asStorageError, corruptFile, storageError } from '../chain/index.ts';
import { isFields } from './document.ts';
import {
  checkPool,
  identityProblem,
  type ReplicaIdentity,
  readIdentity,
  writeIdentity,
} from './identity.ts';
import { createLayersFolder } from './layers-folder.ts';
import {
  DROPPED_PREFIX,
  LAYERS_PREFIX,
  lockPath,
  replicaPath,
  replicasPath,
  slotPath,
} from './paths.ts';
import { SlotFile, type SlotKind } from './slot-file.ts';

const SLOT_BYTES = 4096;
const PROMISE: SlotKind = { name: 'promise', formatVersion: 1, slotBytes: SLOT_BYTES };
const FAILED: SlotKind = { name: 'failed', formatVersion: 1, slotBytes: SLOT_BYTES };
const CURRENT: SlotKind = { name: 'current', formatVersion: 1, slotBytes: SLOT_BYTES };
const RECORD: SlotKind = {
  name: 'record',
  formatVersion: 1,
  slotBytes: CONTROL_PAYLOAD_BYTES_MAX + SLOT_BYTES,
};
/** As JSON. */
export const RECORD_BYTES_MAX = CONTROL_PAYLOAD_BYTES_MAX;

export interface ReplicaSpec extends ReplicaIdentity {
  readonly poolPath: string;
  /** The first copy of the record, or null. */
  readonly record: unknown;
}

/** Which layers folder is served, and which one a committed rebuild left behind. */
export interface CurrentLayers {
  readonly folder: string;
  readonly stale: string | null;
  /** The rebuild that filled `folder`; null: the replica was made with it. */
  readonly rebuildId: string | null;
}

/** Flushes of this layers folder fail for ever (R14); null: of none. */
export type FailedMark = { readonly folder: string; readonly detail: string } | null;

export interface ReplicaFolder {
  readonly path: string;
  readonly identity: ReplicaIdentity;
  readonly lock: FileLock;
  readonly promise: SlotFile;
  readonly failed: SlotFile;
  readonly record: SlotFile;
  readonly current: SlotFile;
}

const NO_PROMISE: PromiseAnswer = {
  epoch: 0,
  instance: '',
  bootId: '',
  mountId: '',
  previous: null,
};

/**
 * Mints a replica (R6): built under another name, synced, then renamed, so that a folder of this
 * name is whole. Doing it again with the same identity changes nothing.
 *
 * @throws StorageError
 */
export async function createReplicaFolder(
  platform: Pick<Platform, 'files' | 'random'>,
  spec: ReplicaSpec,
): Promise<'created' | 'existed'> {
  const { files, random } = platform;
  const { poolPath, record, ...identity } = spec;
  const path = replicaPath(poolPath, spec.replicaId);
  const problem = identityProblem({ ...identity }) ?? recordProblem(record, identity);
  if (problem !== null) throw storageError('badSpec', path, `replica cannot be made: ${problem}`);
  await checkPool(files, poolPath, spec.poolId);
  try {
    if (await files.exists(path)) {
      await expectSame(files, path, identity);
      // Who made it may have been killed before its name was durable.
      await syncNames(files, poolPath);
      return 'existed';
    }
    await makeReplicasFolder(files, poolPath);
    const building = `${replicasPath(poolPath)}/.${spec.replicaId}.new`;
    await files.remove(building);
    try {
      await fillFolder(files, building, { identity, record, headId: random.uuid() });
      await files.rename(building, path);
    } catch (error) {
      await files.remove(building).catch(() => undefined);
      throw error;
    }
    await syncNames(files, poolPath);
    return 'created';
  } catch (error) {
    throw asStorageError(error, path);
  }
}

function recordProblem(record: unknown, identity: ReplicaIdentity): string | null {
  if (record === null) return null;
  try {
    const { volumeId, incarnation } = parseRecord(record);
    const isOurs = volumeId === identity.volumeId && incarnation === identity.incarnation;
    if (!isOurs) return 'its record is of another volume or incarnation';
    const isTooLong = Buffer.byteLength(JSON.stringify(record)) > RECORD_BYTES_MAX;
    return isTooLong ? `its record has more than ${RECORD_BYTES_MAX} bytes` : null;
  } catch (error) {
    return messageOf(error);
  }
}

async function expectSame(files: Files, path: string, wanted: ReplicaIdentity): Promise<void> {
  const found = await readIdentity(files, path);
  for (const name of Object.keys(wanted) as (keyof ReplicaIdentity)[]) {
    if (found[name] === wanted[name]) continue;
    const sentence = `${path} exists with ${name} ${found[name]}, not ${wanted[name]}`;
    throw storageError('wrongIdentity', path, sentence);
  }
}

async function makeReplicasFolder(files: Files, poolPath: string): Promise<void> {
  try {
    await files.makeFolder(replicasPath(poolPath));
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

async function syncNames(files: Files, poolPath: string): Promise<void> {
  await files.syncFolder(replicasPath(poolPath));
  await files.syncFolder(poolPath);
}

async function fillFolder(
  files: Files,
  path: string,
  content: {
    readonly identity: ReplicaIdentity;
    readonly record: unknown;
    readonly headId: string;
  },
): Promise<void> {
  const { identity, record, headId } = content;
  const folder = `${LAYERS_PREFIX}1`;
  await files.makeFolder(path);
  await writeIdentity(files, path, identity);
  await SlotFile.create(files, slotPath(path, 'promise'), PROMISE, NO_PROMISE);
  await SlotFile.create(files, slotPath(path, 'failed'), FAILED, null);
  await SlotFile.create(files, slotPath(path, 'record'), RECORD, record);
  const current: CurrentLayers = { folder, stale: null, rebuildId: null };
  await SlotFile.create(files, slotPath(path, 'current'), CURRENT, current);
  await createLayersFolder(files, `${path}/${folder}`, { sizeBytes: identity.sizeBytes, headId });
  await files.syncFolder(path);
}

/**
 * @param expected what the caller was told that this replica is.
 * @throws StorageError
 */
export async function openReplicaFolder(
  files: Files,
  poolPath: string,
  expected: Pick<ReplicaIdentity, 'volumeId' | 'incarnation' | 'replicaId' | 'poolId'>,
): Promise<ReplicaFolder> {
  const path = replicaPath(poolPath, expected.replicaId);
  await checkPool(files, poolPath, expected.poolId);
  const identity = await readIdentity(files, path);
  for (const name of ['replicaId', 'volumeId', 'incarnation', 'poolId'] as const) {
    if (identity[name] === expected[name]) continue;
    const sentence = `${path} has ${name} ${identity[name]}, not ${expected[name]}: it is not used`;
    throw storageError('wrongIdentity', path, sentence);
  }
  const lock = await lockFolder(files, path);
  const slots: SlotFile[] = [];
  const openSlot = async (kind: SlotKind): Promise<SlotFile> => {
    const file = await SlotFile.open(files, slotPath(path, kind.name as 'promise'), kind);
    slots.push(file);
    return file;
  };
  try {
    const promise = await openSlot(PROMISE);
    const failed = await openSlot(FAILED);
    const record = await openSlot(RECORD);
    const current = await openSlot(CURRENT);
    const folder = { path, identity, lock, promise, failed, record, current };
    promiseOf(folder);
    failedMarkOf(folder);
    await retireUnlisted(files, path, currentOf(folder));
    return folder;
  } catch (error) {
    for (const slot of slots) await slot.close();
    await lock.release();
    throw asStorageError(error, path);
  }
}

export async function closeReplicaFolder(folder: ReplicaFolder): Promise<void> {
  const { promise, failed, record, current } = folder;
  for (const slot of [promise, failed, record, current]) await slot.close();
  await folder.lock.release();
}

/** Over a new opening of its file: for when the one that is open has failed to store it. */
export async function storeFailedMark(
  files: Files,
  path: string,
  mark: NonNullable<FailedMark>,
): Promise<void> {
  const slot = await SlotFile.open(files, slotPath(path, 'failed'), FAILED);
  try {
    await slot.store(mark);
  } finally {
    await slot.close();
  }
}

export function promiseOf(folder: Pick<ReplicaFolder, 'path' | 'promise'>): PromiseAnswer {
  const { value } = folder.promise;
  const made = parseMade(value);
  const before = isFields(value) ? value['previous'] : undefined;
  const previous = before === null ? null : parseMade(before);
  if (made === null || (before !== null && previous === null)) {
    throw corruptFile(slotPath(folder.path, 'promise'), 'not a promise');
  }
  return { ...made, previous };
}

function parseMade(value: unknown): PromiseMade | null {
  const { epoch, instance, bootId, mountId } = isFields(value) ? value : {};
  const isWhole =
    Number.isSafeInteger(epoch) &&
    typeof instance === 'string' &&
    typeof bootId === 'string' &&
    typeof mountId === 'string';
  return isWhole ? { epoch: epoch as number, instance, bootId, mountId } : null;
}

export function failedMarkOf(folder: Pick<ReplicaFolder, 'path' | 'failed'>): FailedMark {
  const { value } = folder.failed;
  if (value === null) return null;
  const { folder: name, detail } = isFields(value) ? value : {};
  if (typeof name !== 'string' || typeof detail !== 'string') {
    throw corruptFile(slotPath(folder.path, 'failed'), 'not a mark');
  }
  return { folder: name, detail };
}

export function currentOf(folder: Pick<ReplicaFolder, 'path' | 'current'>): CurrentLayers {
  const { value } = folder.current;
  const { folder: name, stale, rebuildId } = isFields(value) ? value : {};
  const isName = (text: unknown): text is string =>
    typeof text === 'string' && /^layers-[0-9]{1,9}$/.test(text);
  if (!isName(name) || (stale !== null && !isName(stale))) {
    throw corruptFile(slotPath(folder.path, 'current'), 'not names of layers folders');
  }
  return { folder: name, stale, rebuildId: typeof rebuildId === 'string' ? rebuildId : null };
}

async function lockFolder(files: Files, path: string): Promise<FileLock> {
  try {
    return await files.lock(lockPath(path));
  } catch (error) {
    if (codeOf(error) !== 'EBUSY') throw asStorageError(error, lockPath(path));
    const sentence = `${path} is served by another process: stop that one first`;
    throw storageError('locked', path, sentence, error);
  }
}

/** Retires the folders of rebuilds that were not committed. */
async function retireUnlisted(files: Files, path: string, current: CurrentLayers): Promise<void> {
  for (const name of await files.list(path)) {
    if (!name.startsWith(LAYERS_PREFIX)) continue;
    if (name !== current.folder && name !== current.stale) await retireLayers(files, path, name);
  }
}

/**
 * Takes a layers folder out of use, at once; `removeRetired` gives its space back, which may take
 * long.
 */
export async function retireLayers(files: Files, path: string, name: string): Promise<void> {
  if (!(await files.exists(`${path}/${name}`))) return;
  await files.rename(`${path}/${name}`, `${path}/${DROPPED_PREFIX}${name}`);
}

export async function removeRetired(files: Files, path: string): Promise<void> {
  for (const name of await files.list(path)) {
    if (name.startsWith(DROPPED_PREFIX)) await files.remove(`${path}/${name}`);
  }
}

/** A name that no layers folder has, nor had while something of it is left. */
export async function nextLayersName(files: Files, path: string): Promise<string> {
  let highest = 0;
  for (const name of await files.list(path)) {
    const match = /^(?:dropped-)?layers-([0-9]{1,9})$/.exec(name);
    highest = Math.max(highest, Number(match?.[1] ?? 0));
  }
  return `${LAYERS_PREFIX}${highest + 1}`;
}
