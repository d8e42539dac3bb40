/** What happened in a world, as the checkers hear it. */
import type { BlockError } from '../../../core/block/block-device.ts';
import type { StopReason } from '../../../target/replication/state.ts';
import type { Command } from '../client/command.ts';
import type { Violation } from '../client/history.ts';
import type { Occasion } from './intermission.ts';
import type { Commit } from './record-keeper.ts';
import type { TargetHost } from './target-host.ts';

export type WorldEvent =
  | { readonly kind: 'committed'; readonly commit: Commit }
  | { readonly kind: 'powerLost'; readonly node: string }
  | { readonly kind: 'targetStarted'; readonly target: TargetHost }
  | { readonly kind: 'targetStopped'; readonly target: TargetHost; readonly why: StopReason }
  | { readonly kind: 'phase'; readonly target: TargetHost; readonly phase: string }
  /** The target reads data from a member: for a client, to repair or to make members equal. */
  | { readonly kind: 'memberRead'; readonly target: TargetHost; readonly member: string }
  /** The target orders a copy from this member. */
  | { readonly kind: 'sourceChosen'; readonly target: TargetHost; readonly member: string }
  /** The target sends the answer to a command. */
  | {
      readonly kind: 'answered';
      readonly target: TargetHost;
      readonly command: Command;
      readonly error: BlockError | null;
    }
  /** Members in sync were compared while nothing was in flight. */
  | { readonly kind: 'membersDiffer'; readonly occasion: Occasion; readonly difference: string }
  /** A client took the data of a read that cannot be. */
  | { readonly kind: 'impossibleRead'; readonly command: Command; readonly violation: Violation }
  /** The verification of a rebuild found a difference (R24). */
  | { readonly kind: 'rebuildMismatch'; readonly target: TargetHost; readonly what: string }
  /** Every now and then. */
  | { readonly kind: 'tick' };
