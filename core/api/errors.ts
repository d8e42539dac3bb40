/**
 * What goes wrong over HTTP between our processes, as data. The body of every answer ≥ 400 is a
 * `Problem`; the status follows from the code by one total table.
 */
import { z } from 'zod';
import { CodedError } from '../errors.ts';

export const API_ERROR_STATUS = {
  /** The request is malformed or an option is unknown, contradictory or out of range. */
  badRequest: 400,
  unauthorized: 401,
  notFound: 404,
  /** A volume of that name exists with other options. */
  exists: 409,
  /** Attached or held by somebody else; `holder` says by whom and where. */
  inUse: 409,
  /** Published before it was staged; nothing was done. */
  notStaged: 409,
  /** A compare-and-swap on an old version; `current` has the newest. */
  conflict: 409,
  /** The record's rules forbid the change (core/volume/swap.ts). */
  forbidden: 403,
  /** Fewer usable nodes or pools than replicas asked. */
  unplaceable: 422,
  noSpace: 507,
  /** Right, but not now: still being made, being deleted, store or node away. */
  unavailable: 503,
  timeout: 504,
  /** Evidence of loss or damage: nothing is done until an operator has looked. */
  dataLoss: 500,
  internal: 500,
} as const;

export type ApiErrorCode = keyof typeof API_ERROR_STATUS;

export const problemSchema = z.object({
  code: z.enum(Object.keys(API_ERROR_STATUS) as [ApiErrorCode, ...ApiErrorCode[]]),
  /** What happened, to which volume, and what to do next: one or two sentences for people. */
  detail: z.string(),
  volume: z.string().optional(),
  holder: z.string().optional(),
  current: z.unknown().optional(),
});
export type Problem = z.infer<typeof problemSchema>;

export class ApiError extends CodedError<Problem> {
  override readonly name = 'ApiError';

  get status(): number {
    return API_ERROR_STATUS[this.data.code];
  }
}

export function apiError(
  code: ApiErrorCode,
  detail: string,
  more: { volume?: string; holder?: string; current?: unknown; cause?: unknown } = {},
): ApiError {
  const { cause, ...facts } = more;
  return new ApiError({ code, detail, ...facts }, detail, cause);
}

/** The first thing wrong with a request body, in a sentence that names the field. */
export function badRequestFrom(error: z.ZodError): ApiError {
  const issue = error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? 'body' : issue.path.join('.');
  return apiError('badRequest', `${where}: ${issue?.message ?? 'not as it must be'}`);
}

/** Whoever was asked looked at the request and would not do it: nothing of it was done. */
export function isRefusal(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  switch (error.data.code) {
    case 'badRequest':
    case 'unauthorized':
    case 'notFound':
    case 'exists':
    case 'inUse':
    case 'notStaged':
    case 'forbidden':
      return true;
    case 'conflict':
    case 'unplaceable':
    case 'noSpace':
    case 'unavailable':
    case 'timeout':
    case 'dataLoss':
    case 'internal':
      return false;
  }
}
