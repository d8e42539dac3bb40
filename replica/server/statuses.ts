/** From what a replica's own work failed with to the status of the answer: total tables. */
import { BlockError, type BlockErrorData } from '../../core/block/block-device.ts';
import { codeOf } from '../../core/errors.ts';
import { Status } from '../../core/wire/frame.ts';
import { isNoSpace, StorageError, type StorageErrorCode } from '../chain/index.ts';

export const STATUS_OF_BLOCK_ERROR: Readonly<Record<BlockErrorData['code'], Status>> = {
  outOfRange: Status.badRequest,
  mediumError: Status.mediumError,
  noSpace: Status.noSpace,
  busy: Status.busy,
  fenced: Status.fenced,
  cachesLost: Status.mediumError,
  disconnected: Status.mediumError,
  refused: Status.badRequest,
};

const STATUS_OF_STORAGE_ERROR: Readonly<Record<StorageErrorCode, Status>> = {
  missing: Status.mediumError,
  corrupt: Status.mediumError,
  newerFormat: Status.mediumError,
  wrongPool: Status.mediumError,
  wrongIdentity: Status.mediumError,
  locked: Status.busy,
  badSpec: Status.badRequest,
  noSpace: Status.noSpace,
  system: Status.mediumError,
};

/** @throws what is no operating error: a bug must not become an answer. */
export function codeOfFailure(error: unknown): Status {
  if (error instanceof BlockError) return STATUS_OF_BLOCK_ERROR[error.code];
  if (error instanceof StorageError) return STATUS_OF_STORAGE_ERROR[error.code];
  if (codeOf(error) === null) throw error;
  return isNoSpace(error) ? Status.noSpace : Status.mediumError;
}
