/**
 * One command on its way to several members. Masks have one bit per member's slot.
 * No decisions: the volume asks and is told.
 */
import {
  type BlockDone,
  type BlockError,
  blockError,
  type ReadDone,
} from '../../core/block/block-device.ts';
import type { HeldRange } from '../../core/block/range-lock.ts';
import { Op } from '../../core/wire/frame.ts';
import type { DataOp, RequestSink } from './ports.ts';

/** What a command tells the volume it belongs to. */
export interface FanOutOwner {
  memberAnswered(command: FanOut, slot: number, error: BlockError | null): void;
  readAnswered(command: ReadCommand, slot: number, error: BlockError | null, data: Buffer): void;
}

/** A write, unmap or flush: R12, all or none. */
export class FanOut implements RequestSink {
  readonly op: DataOp;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** When it came, held or not: its time counts from there (R18). */
  readonly startedMs: number;
  readonly #owner: FanOutOwner;
  /** Null once the initiator has its answer. */
  done: BlockDone | null;
  /** Members whose answer is out, who failed, and who did it. */
  waiting = 0;
  failed = 0;
  succeeded = 0;
  error: BlockError | null = null;
  /** Who was told to have failed, and who was in sync then. */
  blamed = 0;
  blamedAmong = 0;
  range: HeldRange | null = null;
  /** Its place in the volume's list of commands in flight. */
  position = -1;

  constructor(
    owner: FanOutOwner,
    what: { op: DataOp; offsetBytes: number; lengthBytes: number; startedMs: number },
    done: BlockDone,
  ) {
    this.#owner = owner;
    this.op = what.op;
    this.offsetBytes = what.offsetBytes;
    this.lengthBytes = what.lengthBytes;
    this.startedMs = what.startedMs;
    this.done = done;
  }

  answered(slot: number, error: BlockError | null): void {
    const bit = 1 << slot;
    if ((this.waiting & bit) === 0) return;
    this.waiting &= ~bit;
    if (error === null) {
      this.succeeded |= bit;
    } else if (error.code !== 'disconnected') {
      this.failed |= bit;
      this.error = error;
    }
    // Disconnected: it was given up, and comes back only by a rebuild, which brings this as well.
    this.#owner.memberAnswered(this, slot, error);
  }

  /**
   * For the initiator, when nobody in sync has done it.
   * @param failed somebody in sync could not. Else all who had it are gone, and who joined since
   * has it from them, or not: it is to be sent again.
   */
  failure(failed: boolean): BlockError {
    if (failed && this.error !== null) return this.error;
    return blockError('busy', 'the replicas that were asked are gone; others are in sync');
  }
}

/** A read: one member at a time. */
export class ReadCommand implements RequestSink {
  readonly op = Op.read;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly startedMs: number;
  readonly #owner: FanOutOwner;
  done: ReadDone | null;
  /** Members that could not read it, and of these the ones to write it back to. */
  tried = 0;
  damaged = 0;
  /** The member asked; -1: nobody. */
  asked = -1;
  range: HeldRange | null = null;
  /** Its answer, while it waits for the lease. */
  data: Buffer | null = null;
  position = -1;

  constructor(
    owner: FanOutOwner,
    what: { offsetBytes: number; lengthBytes: number; startedMs: number },
    done: ReadDone,
  ) {
    this.#owner = owner;
    this.offsetBytes = what.offsetBytes;
    this.lengthBytes = what.lengthBytes;
    this.startedMs = what.startedMs;
    this.done = done;
  }

  answered(slot: number, error: BlockError | null, data: Buffer): void {
    // An answer of a member that was given up in the meantime is of no use any more.
    if (slot !== this.asked) return;
    this.asked = -1;
    this.#owner.readAnswered(this, slot, error, data);
  }
}
