import { ApiError } from '../core/api/index.ts';
import { CodedError, codeOf, messageOf } from '../core/errors.ts';

export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;
/** 128 + SIGINT, as a shell reports it. */
export const EXIT_INTERRUPTED = 130;

export class CliError extends CodedError<
  | { readonly code: 'usage' }
  | { readonly code: 'failed' }
  | { readonly code: 'interrupted'; readonly during: string }
> {
  override readonly name = 'CliError';
}

export function usageError(sentence: string, cause?: unknown): CliError {
  return new CliError({ code: 'usage' }, sentence, cause);
}

export function failure(sentence: string, cause?: unknown): CliError {
  return new CliError({ code: 'failed' }, sentence, cause);
}

export function interruptedError(during: string, cause?: unknown): CliError {
  return new CliError(
    { code: 'interrupted', during },
    `interrupted while ${during}; the cluster may still finish it`,
    cause,
  );
}

export function exitStatusOf(error: unknown): number {
  if (!(error instanceof CliError)) return EXIT_FAILURE;
  switch (error.data.code) {
    case 'usage':
      return EXIT_USAGE;
    case 'failed':
      return EXIT_FAILURE;
    case 'interrupted':
      return EXIT_INTERRUPTED;
  }
}

/** What happened and what to do next. A bug keeps its stack. */
export function describe(error: unknown, serverAddress: string): string {
  if (error instanceof CliError) return error.message;
  if (!(error instanceof ApiError)) {
    const isBug = error instanceof Error && codeOf(error) === null;
    return isBug ? (error.stack ?? error.message) : messageOf(error);
  }
  // Only what never was answered has a cause; a problem that the peer told has none.
  if (error.data.code === 'unavailable' && error.cause !== undefined) {
    return unreachable(error, serverAddress);
  }
  return error.message;
}

function unreachable(error: ApiError, serverAddress: string): string {
  const { reason, address } = rootOf(error);
  if (reason === 'EACCES' || reason === 'EPERM') {
    return `${address ?? serverAddress} may not be opened by this user: run mayactl as root`;
  }
  if (reason === 'timeout') {
    return `${error.message}: it is busy or hangs; look into the logs in its state folder`;
  }
  if (reason !== 'ENOENT' && reason !== 'ECONNREFUSED') return error.message;
  return address === null || address === serverAddress
    ? `no apiserver answers at ${serverAddress}: start the cluster with "make up" ` +
        '(or bin/maya up), or say where it is with --server or OPENEBS_APISERVER'
    : `no agent answers at ${address}: see mayactl node list; is it running on this machine?`;
}

/** What the operating system said, innermost, and of which address. */
function rootOf(error: unknown): { reason: string | null; address: string | null } {
  let reason: string | null = null;
  let address: string | null = null;
  for (let next = error; next instanceof Error; next = next.cause) {
    reason = codeOf(next) ?? reason;
    if (next instanceof CodedError && 'address' in next.data) {
      address = typeof next.data.address === 'string' ? next.data.address : address;
    }
  }
  return { reason, address };
}
