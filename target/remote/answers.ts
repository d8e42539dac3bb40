/** From a replica's status to the error of a BlockDevice: one total table. */
import { type BlockError, blockError } from '../../core/block/block-device.ts';
import { type RebuildAnswer, Status } from '../../core/wire/frame.ts';
import { parseJsonObject } from './link.ts';

const CODES: Readonly<Record<number, Parameters<typeof blockError>[0]>> = {
  [Status.unknownOperation]: 'refused',
  [Status.badRequest]: 'refused',
  [Status.fenced]: 'fenced',
  [Status.mediumError]: 'mediumError',
  [Status.noSpace]: 'noSpace',
  [Status.refused]: 'refused',
  [Status.failed]: 'mediumError',
  [Status.busy]: 'busy',
};

/** Null for ok. Unknown statuses are refusals: nothing unknown counts as done. */
export function errorOf(replicaId: string, status: number, payload: Buffer): BlockError | null {
  if (status === Status.ok) return null;
  const code = CODES[status] ?? 'refused';
  const facts = payload.length === 0 ? null : parseJsonObject(payload);
  const detail = facts === null ? null : facts['detail'];
  const said = typeof detail === 'string' ? `: ${detail.slice(0, 512)}` : '';
  return blockError(code, `replica ${replicaId} answered status ${status} (${code})${said}`);
}

/** The promise in a `fenced` answer; epoch 0 when it cannot be read. */
export function promiseOf(payload: Buffer): { epoch: number; instance: string } {
  const facts = parseJsonObject(payload);
  const epoch = facts?.['epoch'];
  const instance = facts?.['instance'];
  return {
    epoch: typeof epoch === 'number' && Number.isSafeInteger(epoch) ? epoch : 0,
    instance: typeof instance === 'string' ? instance : '',
  };
}

const PHASES = ['empty', 'copying', 'copied', 'failed', 'committed', 'none'] as const;

/** Null when it is not one. */
export function rebuildAnswerOf(payload: Buffer): RebuildAnswer | null {
  const facts = parseJsonObject(payload);
  const phase = PHASES.find((name) => name === facts?.['phase']);
  if (facts === null || phase === undefined) return null;
  const { copiedBytes, totalBytes, error } = facts;
  return {
    phase,
    copiedBytes: typeof copiedBytes === 'number' ? copiedBytes : 0,
    totalBytes: typeof totalBytes === 'number' ? totalBytes : 0,
    error: typeof error === 'string' ? error : null,
  };
}
