import { type BlockError, blockError } from '../../core/block/block-device.ts';
import { CodedError, codeOf, messageOf } from '../../core/errors.ts';

export type StorageErrorCode =
  /** A file that must be there is not. */
  | 'missing'
  /** A file is cut, damaged or says something impossible. */
  | 'corrupt'
  /** Written by a newer version: never reinterpreted. */
  | 'newerFormat'
  /** The pool has no id or another one: an unmounted disk, or the wrong one. */
  | 'wrongPool'
  /** A whole identity, but not the one that was asked for. */
  | 'wrongIdentity'
  /** Another process serves this folder. */
  | 'locked'
  | 'badSpec'
  | 'noSpace'
  /** The operating system refused or failed. */
  | 'system';

export type StorageErrorData = { readonly code: StorageErrorCode; readonly path: string };

/** Something is wrong with a replica's files. The message names the file and what to do. */
export class StorageError extends CodedError<StorageErrorData> {
  override readonly name = 'StorageError';
}

export function storageError(
  code: StorageErrorCode,
  path: string,
  sentence: string,
  cause?: unknown,
): StorageError {
  return new StorageError({ code, path }, sentence, cause);
}

const REBUILD_ADVICE =
  'this copy is not used any more: rebuild it from another replica, or remove it';

export function missingFile(path: string, cause?: unknown): StorageError {
  return storageError('missing', path, `${path} is missing: ${REBUILD_ADVICE}`, cause);
}

export function corruptFile(path: string, what: string, cause?: unknown): StorageError {
  return storageError('corrupt', path, `${path} is damaged (${what}): ${REBUILD_ADVICE}`, cause);
}

export function newerFormat(path: string, found: number, known: number): StorageError {
  return storageError(
    'newerFormat',
    path,
    `${path} has format version ${found}, this program knows ${known}: ` +
      'it was written by a newer version; run that version',
  );
}

/** What a call of Files failed with, as a StorageError about `path`; ours pass through. */
export function asStorageError(error: unknown, path: string): StorageError {
  if (error instanceof StorageError) return error;
  const code = codeOf(error) ?? '';
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return missingFile(path, error);
    case 'EFBIG':
      return corruptFile(path, 'larger than it can be', error);
    case 'ENOSPC':
    case 'EDQUOT':
      return storageError('noSpace', path, `${path}: no space left in the pool`, error);
    default:
      return storageError('system', path, `${path}: ${messageOf(error)}`, error);
  }
}

/** The file system is full: a write changed nothing; an fdatasync may have forgotten something. */
export function isNoSpace(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** A failed read, write or punch as the error that the initiator's answer is made of. */
export function mediumFailure(error: Error, what: string): BlockError {
  if (isNoSpace(error)) {
    return blockError('noSpace', `${what}: no space left in the pool`, error);
  }
  return blockError('mediumError', `${what}: ${error.message}`, error);
}
