/**
 * What the agent knows of the replica program: its configuration file, and how to tell whose a
 * folder in a pool is. Nothing else of a replica's files is touched or understood here.
 */
import { join } from 'node:path';
import { messageOf } from '../../core/errors.ts';
import type { Files } from '../../core/platform/index.ts';
import type { ReplicaSpec } from '../state/schemas.ts';

/** What replica/main.ts reads, for `create` and for `serve`. In a file: it holds a secret. */
export interface ReplicaConfig {
  readonly replicaId: string;
  readonly volumeId: string;
  readonly incarnation: string;
  readonly poolId: string;
  readonly poolPath: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  /** Where it listens for targets and other replicas. */
  readonly addresses: readonly string[];
  readonly adminSocket: string;
  readonly token: string;
  /** First copy of the record; only for `create`. */
  readonly record?: unknown;
}

/** Below the pool's folder: one folder per replica. */
export function replicasFolder(poolPath: string): string {
  return join(poolPath, 'replicas');
}

export function replicaFolder(poolPath: string, replicaId: string): string {
  return join(replicasFolder(poolPath), replicaId);
}

export interface ReplicaPlace {
  readonly poolPath: string;
  readonly address: string;
  readonly adminSocket: string;
}

export function replicaConfig(spec: ReplicaSpec, place: ReplicaPlace): ReplicaConfig {
  return {
    replicaId: spec.replicaId,
    volumeId: spec.volumeId,
    incarnation: spec.incarnation,
    poolId: spec.poolId,
    poolPath: place.poolPath,
    sizeBytes: spec.sizeBytes,
    blockSizeBytes: spec.blockSizeBytes,
    addresses: [place.address],
    adminSocket: place.adminSocket,
    token: spec.token,
  };
}

export type FolderOwner =
  | { readonly kind: 'volume'; readonly volumeId: string }
  /** Not there. */
  | { readonly kind: 'none' }
  /** There, but nobody's (R6): identity missing or unreadable. */
  | { readonly kind: 'unknown'; readonly reason: string };

const IDENTITY_FILE = 'identity.json';
const IDENTITY_BYTES_MAX = 64 * 1024;

/** Whose replica the folder is, by its identity file. */
export async function ownerOf(files: Files, folder: string): Promise<FolderOwner> {
  if (!(await files.exists(folder))) return { kind: 'none' };
  const path = join(folder, IDENTITY_FILE);
  try {
    const text = (await files.readWhole(path, IDENTITY_BYTES_MAX)).toString('utf8');
    const identity: unknown = JSON.parse(text);
    const volumeId = field(identity, 'volumeId');
    if (volumeId !== null) return { kind: 'volume', volumeId };
    return { kind: 'unknown', reason: `${path} names no volume` };
  } catch (error) {
    return { kind: 'unknown', reason: `${path}: ${messageOf(error)}` };
  }
}

function field(value: unknown, name: string): string | null {
  if (typeof value !== 'object' || value === null || !(name in value)) return null;
  const found: unknown = (value as Readonly<Record<string, unknown>>)[name];
  return typeof found === 'string' ? found : null;
}

/** Bytes that the folder's files take on the medium; 0 if it cannot be read. */
export async function allocatedBytes(files: Files, folder: string): Promise<number> {
  try {
    const names = await files.list(folder);
    const sizes = await Promise.all(names.map((name) => allocatedOf(files, join(folder, name))));
    return sizes.reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  } catch {
    return 0;
  }
}

/** A file's own blocks; with those of the files in it, one level down, for a folder. */
async function allocatedOf(files: Files, path: string): Promise<number> {
  try {
    return (await files.allocatedBytes(path)) + (await insideBytes(files, path));
  } catch {
    return 0;
  }
}

async function insideBytes(files: Files, path: string): Promise<number> {
  try {
    const names = await files.list(path);
    const sizes = await Promise.all(names.map((name) => files.allocatedBytes(join(path, name))));
    return sizes.reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  } catch {
    return 0;
  }
}
