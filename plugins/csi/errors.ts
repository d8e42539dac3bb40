/** From what the agent says to what the specification says. */
import { ApiError, type ApiErrorCode } from '../../core/api/index.ts';
import { type GrpcCode, GrpcError, grpcError } from './grpc/grpc-error.ts';

/**
 * The tables of the specification name the same condition by the same code in every call, so one
 * table does. UNAVAILABLE, DEADLINE_EXCEEDED and RESOURCE_EXHAUSTED are what an orchestrator tries
 * again (Nomad: nothing else); to the official provisioner the first two say that the volume may
 * have been made all the same.
 */
export const GRPC_CODE: Readonly<Record<ApiErrorCode, GrpcCode>> = {
  badRequest: 'INVALID_ARGUMENT',
  unauthorized: 'PERMISSION_DENIED',
  notFound: 'NOT_FOUND',
  exists: 'ALREADY_EXISTS',
  inUse: 'FAILED_PRECONDITION',
  notStaged: 'FAILED_PRECONDITION',
  conflict: 'ABORTED',
  forbidden: 'FAILED_PRECONDITION',
  unplaceable: 'RESOURCE_EXHAUSTED',
  noSpace: 'RESOURCE_EXHAUSTED',
  unavailable: 'UNAVAILABLE',
  timeout: 'DEADLINE_EXCEEDED',
  dataLoss: 'DATA_LOSS',
  internal: 'INTERNAL',
};

/** Null: it is a bug. */
export function grpcErrorOf(error: unknown): GrpcError | null {
  if (error instanceof GrpcError) return error;
  if (!(error instanceof ApiError)) return null;
  return grpcError(GRPC_CODE[error.data.code], error.message, error);
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.data.code === 'notFound';
}

export async function unlessNotFound(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
