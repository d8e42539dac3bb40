/** What one session, and all of them together, may ask of this process. */
import { assert } from '../../../core/assert.ts';
import { TRANSFER_BYTES_MAX } from '../../../core/limits.ts';
import { KiB, MiB } from '../../../core/units.ts';

/** Commands that may be under way (MaxCmdSN − ExpCmdSN + 1). */
export const COMMAND_WINDOW_SIZE = 256;
/** Immediate requests do not count in the window. */
export const IMMEDIATE_COMMAND_COUNT_MAX = 64;
/** Data of commands that have begun, per session. */
export const RESERVED_BYTES_MAX = 32 * MiB;
/** A text request in several PDUs. */
export const TEXT_BYTES_MAX = 16 * KiB;
/** Task management requests of a session that wait for what the device has. */
export const TASK_MANAGEMENT_COUNT_MAX = 64;
/** Sessions of a target, of either kind; an initiator on each of a few paths is far less. */
export const SESSION_COUNT_MAX = 32;

/** A connection that has not logged in by then is closed. */
export const LOGIN_DEADLINE_S = 15;
/** Longer when the login waits for commands of the session that it replaces (up to HOLD_MS). */
export const REINSTATEMENT_DEADLINE_S = 60;
/** Nothing came for so long: a ping is sent. */
export const PING_AFTER_S = 10;
/** ... and after so long again without a byte the connection is closed. */
export const PING_DEADLINE_S = 10;
/** An initiator that takes none of its answers for so long is gone. */
export const CONGESTION_DEADLINE_S = 60;
/** How long a logout that we ask for may take. */
export const LOGOUT_WITHIN_S = 3;

assert(RESERVED_BYTES_MAX >= 2 * TRANSFER_BYTES_MAX, 'two of the largest transfers overlap');
