/**
 * Whose folder is this? (R6) A pool has an id file, minted once in an empty folder. A folder whose
 * id is missing or different is not that pool: most likely its disk is not mounted.
 */
import { dirname, join } from 'node:path';
import { codeOf, messageOf } from '../../core/errors.ts';
import type { Files, Random } from '../../core/platform/index.ts';
import { readJsonFile, writeJsonFile } from '../state/json-file.ts';
import { type PoolFile, poolFileSchema } from '../state/schemas.ts';

export type PoolCheck =
  | { readonly kind: 'online'; readonly poolId: string }
  | { readonly kind: 'failed'; readonly reason: string };

export interface PoolQuestion {
  readonly path: string;
  readonly node: string;
  /** The id that the agent knows for this folder; null if it has never seen it. */
  readonly knownId: string | null;
}

const ID_FILE = 'pool.json';
/** What a fresh file system brings along: still counts as empty. */
const HARMLESS = new Set(['lost+found']);

/** Reads only. */
export async function checkPool(files: Files, question: PoolQuestion): Promise<PoolCheck> {
  const { path, node, knownId } = question;
  try {
    const found = await readPoolFile(files, path);
    if (found === null) return failed(`${path} has no ${ID_FILE}: is its disk mounted?`);
    if (found.node !== node) {
      return failed(`${path} is a pool of the node ${found.node}, not of ${node}`);
    }
    if (knownId !== null && found.poolId !== knownId) {
      return failed(
        `${path} holds the pool ${found.poolId}, expected was ${knownId}: ` +
          'is the right disk mounted there?',
      );
    }
    return { kind: 'online', poolId: found.poolId };
  } catch (error) {
    return failed(messageOf(error));
  }
}

/** As `checkPool`, but a folder never seen before becomes a pool if it is empty. */
export async function openPool(
  files: Files,
  random: Random,
  question: PoolQuestion,
): Promise<PoolCheck> {
  if (question.knownId !== null) return checkPool(files, question);
  const { path, node } = question;
  try {
    if (!(await files.exists(path))) {
      await files.makeFolder(path);
      await files.syncFolder(dirname(path));
    }
    if ((await readPoolFile(files, path)) !== null) return await checkPool(files, question);
    const names = (await files.list(path)).filter((name) => !HARMLESS.has(name));
    if (names.length > 0) {
      return failed(`${path} is not empty and has no ${ID_FILE}: a pool starts in an empty folder`);
    }
    const minted: PoolFile = { poolId: random.uuid(), node };
    await writeJsonFile(files, join(path, ID_FILE), minted);
    return { kind: 'online', poolId: minted.poolId };
  } catch (error) {
    const parent = codeOf(error) === 'ENOENT' ? ' (its parent folder must exist)' : '';
    return failed(`${path} cannot be made a pool: ${messageOf(error)}${parent}`);
  }
}

async function readPoolFile(files: Files, path: string): Promise<PoolFile | null> {
  return readJsonFile(files, join(path, ID_FILE), poolFileSchema);
}

function failed(reason: string): PoolCheck {
  return { kind: 'failed', reason };
}
