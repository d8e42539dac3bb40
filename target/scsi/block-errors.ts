/**
 * The one table from what a BlockDevice says to what an initiator is told. Total: a new code of
 * BlockError does not compile until it has its row.
 */
import type { BlockError, BlockErrorData } from '../../core/block/block-device.ts';
import { SENSE, type Sense } from './sense.ts';

export type BlockVerdict =
  | { readonly kind: 'check'; readonly reading: Sense; readonly writing: Sense }
  /** BUSY, never NOT READY: Linux takes a running unit that is NOT READY offline (R18). */
  | { readonly kind: 'busy' }
  /** Nothing may be answered any more, on any session (R8). */
  | { readonly kind: 'silence' };

function check(reading: Sense, writing: Sense = reading): BlockVerdict {
  return { kind: 'check', reading, writing };
}

const VERDICTS: Readonly<Record<BlockErrorData['code'], BlockVerdict>> = {
  outOfRange: check(SENSE.blockOutOfRange),
  mediumError: check(SENSE.unrecoveredReadError, SENSE.writeError),
  noSpace: check(SENSE.spaceAllocationFailed),
  busy: { kind: 'busy' },
  disconnected: { kind: 'busy' },
  fenced: { kind: 'silence' },
  // HARDWARE ERROR and not ABORTED COMMAND: initiators try an aborted command again, and this
  // fails until a new attach (R15). The file system must see an error, not a stall.
  cachesLost: check(SENSE.unitFailure),
  refused: check(SENSE.internalTargetFailure),
};

export function verdictOf(error: BlockError): BlockVerdict {
  return VERDICTS[error.code];
}
