/**
 * The one seam of the data path. Everything that stores blocks implements it (memory, a replica's
 * chain, a remote replica, a replicated volume), and one contract suite runs on all of them.
 *
 * Callback style: no promise per I/O. Every call ends in exactly one `done`, never before the call
 * returned (so that callers need not be re-entrant).
 */
import { CodedError } from '../errors.ts';
import { LOGICAL_BLOCK_BYTES } from '../limits.ts';

export type BlockErrorData =
  /** The range is not within the device or not on logical block boundaries. */
  | { readonly code: 'outOfRange'; readonly offsetBytes: number; readonly lengthBytes: number }
  /** The medium failed: unrecovered read error, failed write, failed or unrepeatable flush. */
  | { readonly code: 'mediumError'; readonly detail: string }
  /** No space left for the write; nothing acknowledged is lost. */
  | { readonly code: 'noSpace'; readonly detail: string }
  /** Cannot be done now, may work later: the initiator is told BUSY. */
  | { readonly code: 'busy'; readonly detail: string }
  /** A newer target exists; this one must not answer anything any more. */
  | { readonly code: 'fenced'; readonly detail: string }
  /** The caches that held acknowledged writes are lost: fails until a new attach (R15). */
  | { readonly code: 'cachesLost'; readonly detail: string }
  /** The other side is gone and the outcome is unknown. */
  | { readonly code: 'disconnected'; readonly detail: string }
  /** The other side does not know or does not accept the request. */
  | { readonly code: 'refused'; readonly detail: string };

export class BlockError extends CodedError<BlockErrorData> {
  override readonly name = 'BlockError';
}

export function blockError(
  code: Exclude<BlockErrorData['code'], 'outOfRange'>,
  detail: string,
  cause?: unknown,
): BlockError {
  return new BlockError({ code, detail }, detail, cause);
}

export type ReadDone = (error: BlockError | null, data: Buffer) => void;
export type BlockDone = (error: BlockError | null) => void;

export interface BlockDevice {
  /** A multiple of LOGICAL_BLOCK_BYTES. */
  readonly sizeBytes: number;

  /**
   * Reads `lengthBytes` (≤ TRANSFER_BYTES_MAX) at `offsetBytes`, both multiples of
   * LOGICAL_BLOCK_BYTES. The buffer given to `done` is exactly `lengthBytes` long and belongs to
   * the caller from then on (the device never writes to it again); the caller does not modify it.
   * On error `data` is empty.
   */
  read(offsetBytes: number, lengthBytes: number, done: ReadDone): void;

  /**
   * Writes `data` (≤ TRANSFER_BYTES_MAX, a multiple of LOGICAL_BLOCK_BYTES long). The buffer
   * belongs to the device for good: the caller never modifies it after the call. `done` means
   * that every later read sees it and a flush will make it durable.
   */
  write(offsetBytes: number, data: Buffer, done: BlockDone): void;

  /**
   * Makes the range (≤ UNMAP_BYTES_MAX) read as zeros and gives its space back where it can.
   * Same order and durability rules as a write.
   */
  unmap(offsetBytes: number, lengthBytes: number, done: BlockDone): void;

  /**
   * `done(null)`: everything acknowledged before this call is durable (fdatasync) wherever this
   * device keeps it.
   */
  flush(done: BlockDone): void;
}

export const NO_DATA: Buffer = Buffer.alloc(0);

/** The error for a range that the device does not have, or null. */
export function checkRange(
  sizeBytes: number,
  offsetBytes: number,
  lengthBytes: number,
  lengthBytesMax: number,
): BlockError | null {
  if (
    Number.isSafeInteger(offsetBytes) &&
    Number.isSafeInteger(lengthBytes) &&
    offsetBytes >= 0 &&
    lengthBytes > 0 &&
    lengthBytes <= lengthBytesMax &&
    offsetBytes % LOGICAL_BLOCK_BYTES === 0 &&
    lengthBytes % LOGICAL_BLOCK_BYTES === 0 &&
    offsetBytes + lengthBytes <= sizeBytes
  ) {
    return null;
  }
  return new BlockError(
    { code: 'outOfRange', offsetBytes, lengthBytes },
    `range ${offsetBytes}+${lengthBytes} is not within the device of ${sizeBytes} bytes`,
  );
}
