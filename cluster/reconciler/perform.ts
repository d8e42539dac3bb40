/** Does one action, and writes down what came of it. */

import { ApiError, type ApiErrorCode } from '../../core/api/errors.ts';
import { assert } from '../../core/assert.ts';
import type { Logger } from '../../core/platform/logger.ts';
import type { Action } from './actions.ts';
import type { Observations } from './observed.ts';
import type { NodeReference, Runtime, Volumes } from './ports.ts';
import {
  attachmentCleared,
  creationFailed,
  published,
  replicaMinted,
  replicaRemoved,
} from './volume.ts';

export interface PerformDependencies {
  readonly runtime: Runtime;
  readonly volumes: Volumes;
  readonly observations: Observations;
  readonly log: Logger;
  /** Where targets find the record: known once the apiserver listens. */
  readonly storeAddress: () => string;
}

export interface Attempt {
  /** 1: the first. */
  readonly number: number;
  readonly signal: AbortSignal;
}

const TIMEOUT_MS = {
  runReplica: 20_000,
  /** Frees the space of a whole replica. */
  removeReplica: 60_000,
  runTarget: 20_000,
  /** Flushes before it releases. */
  stopTarget: 60_000,
} as const;

/** @throws ApiError or StoreError: to be tried again later. */
export async function perform(
  action: Action,
  attempt: Attempt,
  deps: PerformDependencies,
): Promise<void> {
  const { runtime, volumes, observations, log } = deps;
  const { volumeId, volumeName } = action;
  switch (action.kind) {
    case 'runReplica':
      return runReplica(action, attempt, deps);
    case 'removeReplica': {
      const { node, replicaId } = action;
      const limits = { timeoutMs: TIMEOUT_MS.removeReplica, signal: attempt.signal };
      await runtime.removeReplica(nodeOf(action.node, deps), { replicaId, volumeId }, limits);
      observations.replicaActed(node, replicaId, null);
      await volumes.change(volumeId, replicaRemoved(replicaId));
      log.info('replica removed', { volume: volumeName, volumeId, node, replica: replicaId });
      return;
    }
    case 'runTarget': {
      const { node, order } = action;
      const limits = { timeoutMs: TIMEOUT_MS.runTarget, signal: attempt.signal };
      const storeAddress = deps.storeAddress();
      await runtime.runTarget(nodeOf(node, deps), { ...order, storeAddress }, limits);
      const { attachmentToken } = order;
      observations.targetActed(node, volumeId, {
        attachmentToken,
        process: 'starting',
        report: null,
      });
      log.info('target started', { volume: volumeName, volumeId, node });
      return;
    }
    case 'stopTarget': {
      const { node, detaches } = action;
      const limits = { timeoutMs: TIMEOUT_MS.stopTarget, signal: attempt.signal };
      await runtime.stopTarget(nodeOf(node, deps), volumeId, limits);
      observations.targetActed(node, volumeId, null);
      if (detaches) await volumes.change(volumeId, attachmentCleared);
      log.info('target stopped', { volume: volumeName, volumeId, node });
      return;
    }
    case 'publish':
      if (await volumes.change(volumeId, published)) {
        log.info('volume ready', { volume: volumeName, volumeId });
      }
      return;
    case 'bury':
      await volumes.bury(volumeId);
      log.info('volume gone', { volume: volumeName, volumeId });
      return;
  }
}

/** How often an agent may answer `internal` before a creation is given up. */
const INTERNAL_ATTEMPT_COUNT_MAX = 4;

/** Answers to the making of a replica that trying again would not change. */
const IS_FINAL: Readonly<Record<ApiErrorCode, boolean>> = {
  badRequest: true,
  unauthorized: true,
  notFound: true,
  exists: true,
  inUse: true,
  notStaged: true,
  conflict: true,
  forbidden: true,
  unplaceable: true,
  noSpace: true,
  unavailable: false,
  timeout: false,
  dataLoss: true,
  internal: false,
};

async function runReplica(
  action: Action & { kind: 'runReplica' },
  attempt: Attempt,
  deps: PerformDependencies,
): Promise<void> {
  const { node, order, volumeId, volumeName } = action;
  const { replicaId } = order;
  const limits = { timeoutMs: TIMEOUT_MS.runReplica, signal: attempt.signal };
  try {
    const address = await deps.runtime.runReplica(nodeOf(node, deps), order, limits);
    deps.observations.replicaActed(node, replicaId, {
      volumeId,
      process: 'running',
      address,
      report: null,
    });
  } catch (error) {
    if (!order.mint || !isFinal(error, attempt)) throw error;
    const detail = `volume "${volumeName}": node ${node}: ${error.message}`;
    await deps.volumes.change(volumeId, creationFailed({ code: error.code, detail }));
    deps.log.warn('volume cannot be made', { volume: volumeName, volumeId, node, error });
    return;
  }
  if (order.mint) await deps.volumes.change(volumeId, replicaMinted(replicaId));
  deps.log.info('replica started', { volume: volumeName, volumeId, node, replica: replicaId });
}

function isFinal(error: unknown, attempt: Attempt): error is ApiError {
  if (!(error instanceof ApiError)) return false;
  if (error.code === 'internal') return attempt.number >= INTERNAL_ATTEMPT_COUNT_MAX;
  return IS_FINAL[error.code];
}

function nodeOf(name: string, { observations }: PerformDependencies): NodeReference {
  const agentAddress = observations.agentAddress(name);
  assert(agentAddress !== null, 'actions are planned for nodes that have been heard');
  return { name, agentAddress };
}
