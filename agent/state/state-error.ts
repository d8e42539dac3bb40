import { CodedError } from '../../core/errors.ts';

export type StateErrorData = {
  readonly code: /** Written by a newer version: never reinterpreted. */
    | 'stateNewer'
    /** Not what was written there: cut in half, edited, rotten. */
    | 'stateDamaged'
    /** Belongs to another node. */
    | 'stateForeign'
    /** Another agent runs on this state folder. */
    | 'stateInUse'
    /** Sockets below it would have names longer than Linux allows. */
    | 'statePathTooLong'
    /** Cannot be made, read or written. */
    | 'stateUnusable';
  readonly path: string;
};

/** The agent cannot trust or use its own files: a sentence that names the file and the way out. */
export class StateError extends CodedError<StateErrorData> {
  override readonly name = 'StateError';
}
