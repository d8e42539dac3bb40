import { type LogicalUnit, type Nexus, ScsiTask, type Sense } from '../../scsi/index.ts';
import { NO_TAG } from '../pdu/format.ts';
import type { TaskAbort } from './task-abort.ts';

/**
 * What a SCSI command goes through:
 *
 *     free → waiting → gathering → running → free
 *              │           │
 *              └───────────┴─ aborted: at once free
 *
 * waiting: for its turn by CmdSN or for room; gathering: begun, data-out on the way (also when the
 * command has failed already and its unasked data is still coming); running: in the logical unit.
 */
export type CommandState = 'free' | 'waiting' | 'gathering' | 'running';

/** Pooled: plain fields, reused by the next command of the same session. */
export class Command {
  readonly task: ScsiTask;
  state: CommandState = 'free';
  taskTag = NO_TAG;
  commandNumber = 0;
  immediate = false;
  reads = false;
  /** EDTL: how much the initiator has, or has room for. */
  expectedBytes = 0;
  /** It came before its turn and is held in the command window. */
  isHeld = false;
  /** Bytes that it holds of the session's budget. */
  reservedBytes = 0;
  /** Begun and refused: it is over as soon as the unasked data has come. */
  isDecided = false;

  /** Data-out as it comes: a view of the initiator's one segment, or a buffer that is filled. */
  data: Buffer | null = null;
  receivedBytes = 0;
  /** Unasked data is still to come: its F bit has not been seen. */
  unsolicitedIsOpen = false;
  /** DataSN that the next Data-Out of this sequence must have. */
  dataNumber = 0;
  /** What was wrong with the data; the answer waits for the rest of it. */
  dataSense: Sense | null = null;
  /** R2Ts: tag of the first, how many were sent, how many were answered in full. */
  firstTransferTag = 0;
  r2tSentCount = 0;
  r2tDoneCount = 0;
  /** Where the data that R2Ts ask for begins. */
  solicitedFromBytes = 0;

  /** Those who wait for this command to be over. */
  aborts: TaskAbort[] = NO_ABORTS;

  constructor(unit: LogicalUnit, nexus: Nexus, finished: (command: Command) => void) {
    this.task = new ScsiTask(unit, nexus, () => finished(this));
  }

  reset(): void {
    this.task.reset();
    this.state = 'free';
    this.taskTag = NO_TAG;
    this.isHeld = false;
    this.reservedBytes = 0;
    this.isDecided = false;
    this.data = null;
    this.receivedBytes = 0;
    this.unsolicitedIsOpen = false;
    this.dataNumber = 0;
    this.dataSense = null;
    this.r2tSentCount = 0;
    this.r2tDoneCount = 0;
    this.solicitedFromBytes = 0;
    this.aborts = NO_ABORTS;
  }
}

/** Shared by all commands that nobody aborts; never pushed to. */
const NO_ABORTS: TaskAbort[] = [];
