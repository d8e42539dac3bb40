/**
 * Operating errors are data: a code out of a closed union, with the facts that belong to it.
 * Each edge (SCSI, HTTP, gRPC, Docker) has one total table from code to its own answer.
 * Nothing ever matches on message text.
 */
export class CodedError<Data extends { readonly code: string }> extends Error {
  readonly data: Data;

  constructor(data: Data, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.data = data;
  }

  get code(): Data['code'] {
    return this.data.code;
  }
}

/** The text of anything thrown, for logs and for a `detail` field. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node system error (`ENOENT`, ...) or of a CodedError; null without one. */
export function codeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
