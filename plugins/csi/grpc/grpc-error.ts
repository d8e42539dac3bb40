/** https://github.com/grpc/grpc/blob/master/doc/statuscodes.md, as far as we answer with them. */
import { CodedError } from '../../../core/errors.ts';

export type GrpcCode =
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS';

/** What a caller is told. The message is for people: one sentence or two. */
export class GrpcError extends CodedError<{ readonly code: GrpcCode }> {
  override readonly name = 'GrpcError';
}

export function grpcError(code: GrpcCode, message: string, cause?: unknown): GrpcError {
  return new GrpcError({ code }, message, cause);
}
