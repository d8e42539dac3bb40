/** What runs a replica in a process of its own, or many of them in a simulation. */
import type { Platform } from '../core/platform/index.ts';
import { NO_BREAKS, type ReplicaBreak } from './chain/index.ts';
import { createReplicaFolder, type ReplicaSpec } from './disk/index.ts';
import { Replica, type ReplicaOptions } from './server/replica.ts';
import type { EventLog } from './server/state.ts';

export type { ReplicaBreak } from './chain/index.ts';
export { StorageError, type StorageErrorCode } from './chain/index.ts';
export type { ReplicaSpec } from './disk/index.ts';
export type { Replica, ReplicaStatus } from './server/replica.ts';

type Optional = 'log' | 'defer' | 'broken' | 'breaks';

export interface OpenOptions extends Omit<ReplicaOptions, Optional> {
  readonly log?: EventLog;
  /** The process must end, and be started again: see StateOptions. */
  readonly broken?: (detail: string) => void;
  /** Rules switched off: only in the simulator's own tests. */
  readonly breaks?: ReadonlySet<ReplicaBreak>;
  /** `setImmediate` in a process: one system call for all answers of a turn of its event loop. */
  readonly defer?: (run: () => void) => void;
}

/**
 * Mints a replica's folder with its identity (replication R6). Doing it again is harmless.
 *
 * @throws StorageError
 */
export function createReplica(
  platform: Platform,
  spec: ReplicaSpec,
): Promise<'created' | 'existed'> {
  return createReplicaFolder(platform, spec);
}

/**
 * Serves a replica until `close()`.
 *
 * @throws StorageError, or the error of an address that cannot be listened on.
 */
export function openReplica(platform: Platform, options: OpenOptions): Promise<Replica> {
  return Replica.open(platform, {
    log: () => undefined,
    defer: queueMicrotask,
    broken: () => undefined,
    breaks: NO_BREAKS,
    ...options,
  });
}
