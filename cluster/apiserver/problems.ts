/** Everything that can be thrown in a request, as a Problem: one total table an error class. */
import { ApiError, type ApiErrorCode, apiError } from '../../core/api/errors.ts';
import { codeOf, messageOf } from '../../core/errors.ts';
import { StoreError, type StoreErrorData } from '../store/store.ts';

const STORE_CODES: Readonly<Record<StoreErrorData['code'], ApiErrorCode>> = {
  exists: 'conflict',
  conflict: 'conflict',
  locked: 'unavailable',
  newer: 'unavailable',
  damaged: 'unavailable',
  full: 'unavailable',
  unavailable: 'unavailable',
};

export function problemOf(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof StoreError) {
    return apiError(STORE_CODES[error.code], error.message, { cause: error });
  }
  const status = bodyStatus(error);
  if (status !== null && status >= 400 && status < 500) {
    const detail = `the request cannot be read: ${messageOf(error)}`;
    return apiError('badRequest', detail, { cause: error });
  }
  if (codeOf(error) === 'ABORT_ERR') {
    return apiError('unavailable', 'the caller left, or the apiserver is stopping');
  }
  return apiError('internal', 'the apiserver has a fault; its log says more', { cause: error });
}

/** Errors of express and its body parser carry the HTTP status they stand for. */
function bodyStatus(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('status' in error)) return null;
  return typeof error.status === 'number' ? error.status : null;
}
