/**
 * Who a replica is, minted with its folder and never changed (replication R6). A folder without a
 * valid identity is nobody and never becomes a replica again.
 */
import { PHYSICAL_BLOCK_BYTES } from '../../core/limits.ts';
import type { Files } from '../../core/platform/index.ts';
import { VOLUME_BYTES_MAX } from '../../core/units.ts';
import { asStorageError, corruptFile, newerFormat, storageError } from '../chain/index.ts';
import { type Fields, parseFields, readDocument, writeDocument } from './document.ts';
import { identityPath, poolIdPath } from './paths.ts';

export interface ReplicaIdentity {
  readonly volumeId: string;
  readonly incarnation: string;
  readonly replicaId: string;
  readonly poolId: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
}

const KIND = { name: 'identity', formatVersion: 1 } as const;
const POOL_FORMAT_VERSION = 1;
const POOL_FILE_BYTES_MAX = 64 * 1024;

/** Ids become names of folders and go into messages. */
const ID_PATTERN = /^[0-9A-Za-z][0-9A-Za-z-]{0,63}$/;

/** Null, or one sentence that says which field cannot be. */
export function identityProblem(fields: Fields): string | null {
  for (const name of ['volumeId', 'incarnation', 'replicaId', 'poolId'] as const) {
    const id = fields[name];
    if (typeof id !== 'string' || !ID_PATTERN.test(id)) {
      return `${name} must be an id of letters, digits and -`;
    }
  }
  const { sizeBytes, blockSizeBytes } = fields;
  const size = Number.isSafeInteger(sizeBytes) ? (sizeBytes as number) : 0;
  if (size <= 0 || size % PHYSICAL_BLOCK_BYTES !== 0 || size > VOLUME_BYTES_MAX) {
    return `sizeBytes must be a positive multiple of ${PHYSICAL_BLOCK_BYTES}, at most 64 TiB`;
  }
  if (blockSizeBytes !== 512 && blockSizeBytes !== 4096)
    return 'blockSizeBytes must be 512 or 4096';
  return null;
}

export async function writeIdentity(
  files: Files,
  folder: string,
  identity: ReplicaIdentity,
): Promise<void> {
  await writeDocument(files, identityPath(folder), KIND, { ...identity });
}

/** @throws StorageError */
export async function readIdentity(files: Files, folder: string): Promise<ReplicaIdentity> {
  const path = identityPath(folder);
  const body = await readDocument(files, path, KIND);
  const problem = identityProblem(body);
  if (problem !== null) throw corruptFile(path, problem);
  return body as unknown as ReplicaIdentity;
}

/**
 * An unmounted disk must not look like an empty pool: the pool has an id file, and it names the
 * pool that is expected.
 *
 * @throws StorageError `wrongPool`, ...
 */
export async function checkPool(files: Files, poolPath: string, poolId: string): Promise<void> {
  const path = poolIdPath(poolPath);
  let content: Buffer;
  try {
    content = await files.readWhole(path, POOL_FILE_BYTES_MAX);
  } catch (error) {
    const failure = asStorageError(error, path);
    if (failure.code !== 'missing') throw failure;
    const sentence = `${path} is missing: mount the disk of the pool, nothing is made without it`;
    throw storageError('wrongPool', path, sentence, error);
  }
  const { poolId: found, formatVersion } = parseFields(content, path);
  if (typeof formatVersion === 'number' && formatVersion > POOL_FORMAT_VERSION) {
    throw newerFormat(path, formatVersion, POOL_FORMAT_VERSION);
  }
  if (found !== poolId) {
    const shown = typeof found === 'string' ? found.slice(0, 64) : 'none';
    const sentence = `${path} has pool id ${shown}, not ${poolId}: another disk is mounted there`;
    throw storageError('wrongPool', path, sentence);
  }
}
