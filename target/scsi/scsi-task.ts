import { assert } from '../../core/assert.ts';
import {
  type BlockDone,
  type BlockError,
  NO_DATA,
  type ReadDone,
} from '../../core/block/block-device.ts';
import type { HeldRange } from '../../core/block/range-lock.ts';
import { verdictOf } from './block-errors.ts';
import type { CommandDescriptor } from './commands/descriptor.ts';
import type { LogicalUnit } from './logical-unit.ts';
import type { Nexus } from './nexus.ts';
import type { Sense } from './sense.ts';
import { STATUS, type Status } from './status.ts';

/** Task attributes as iSCSI numbers them (RFC 7143 §11.3.1); untagged is treated as simple. */
export const TASK_ATTRIBUTE = {
  untagged: 0,
  simple: 1,
  ordered: 2,
  headOfQueue: 3,
  aca: 4,
} as const;

/** What comes after a step of the device that went well. */
export type NextStep = (task: ScsiTask, data: Buffer) => void;

/**
 * One SCSI command on its way through the logical unit. Pooled by the transport: plain fields, no
 * closure per command. A command with several steps keeps its state here and names the function
 * that goes on; a step that fails, or an abort, ends it.
 *
 *     transport: fields of the command → unit.begin → data-out arrives → unit.run → finished()
 */
export class ScsiTask {
  // What the transport sets before `begin`.
  readonly nexus: Nexus;
  readonly cdb: Buffer = Buffer.alloc(16);
  lunHigh = 0;
  lunLow = 0;
  attribute: number = TASK_ATTRIBUTE.simple;
  /** How many bytes of data-out the initiator has for this command. */
  dataOutOffered = 0;
  /** Set before `run`: at least `dataOutBytes` long; belongs to the device from then on. */
  dataOut: Buffer = NO_DATA;
  /** Set at any time: no further step is handed to the device, and nothing will be answered. */
  aborted = false;

  // What the unit answers.
  /** How many bytes of data-out the CDB speaks of; known after `begin`, even if it failed. */
  dataOutWantedBytes = 0;
  /** How many of them are to be transferred. */
  dataOutBytes = 0;
  status: Status = STATUS.good;
  sense: Sense | null = null;
  /** All that the CDB asked for; the transport cuts it to what the initiator has room for. */
  dataIn: Buffer = NO_DATA;
  /** A newer target exists: nothing may be answered, on any session. */
  silenced = false;

  // What the unit keeps while the command is under way.
  descriptor: CommandDescriptor | null = null;
  offsetBytes = 0;
  lengthBytes = 0;
  /** How far a command with many steps has come, in bytes or in descriptors. */
  progress = 0;
  forceUnitAccess = false;
  enabled = false;
  dataReady = false;
  gate: 'none' | 'plain' | 'shared' | 'exclusive' = 'none';
  heldRange: HeldRange | null = null;

  readonly unit: LogicalUnit;
  readonly #finished: () => void;
  #next: NextStep | null = null;
  #isReading = false;

  readonly #onRead: ReadDone = (error, data) => this.#stepDone(error, data);
  readonly #onBlock: BlockDone = (error) => this.#stepDone(error, NO_DATA);

  /** @param finished called once for each `run`; within it when no device was needed. */
  constructor(unit: LogicalUnit, nexus: Nexus, finished: () => void) {
    this.unit = unit;
    this.nexus = nexus;
    this.#finished = finished;
  }

  /** Back to what a new one is; the CDB keeps its bytes until it is overwritten. */
  reset(): void {
    assert(this.#next === null && this.gate === 'none', 'a task is reused only when it is over');
    this.dataOutOffered = 0;
    this.dataOut = NO_DATA;
    this.aborted = false;
    this.dataOutWantedBytes = 0;
    this.dataOutBytes = 0;
    this.status = STATUS.good;
    this.sense = null;
    this.dataIn = NO_DATA;
    this.silenced = false;
    this.descriptor = null;
    this.offsetBytes = 0;
    this.lengthBytes = 0;
    this.progress = 0;
    this.forceUnitAccess = false;
    this.enabled = false;
    this.dataReady = false;
  }

  read(offsetBytes: number, lengthBytes: number, next: NextStep): void {
    this.#next = next;
    this.#isReading = true;
    this.unit.device.read(offsetBytes, lengthBytes, this.#onRead);
  }

  write(offsetBytes: number, data: Buffer, next: NextStep): void {
    this.#next = next;
    this.#isReading = false;
    this.unit.device.write(offsetBytes, data, this.#onBlock);
  }

  unmap(offsetBytes: number, lengthBytes: number, next: NextStep): void {
    this.#next = next;
    this.#isReading = false;
    this.unit.device.unmap(offsetBytes, lengthBytes, this.#onBlock);
  }

  flush(next: NextStep): void {
    this.#next = next;
    this.#isReading = false;
    this.unit.device.flush(this.#onBlock);
  }

  good(): void {
    this.unit.end(this);
    this.#finished();
  }

  goodWith(dataIn: Buffer): void {
    this.dataIn = dataIn;
    this.unit.end(this);
    this.#finished();
  }

  /** Ends with CHECK CONDITION. */
  check(sense: Sense): void {
    this.status = STATUS.checkCondition;
    this.sense = sense;
    this.unit.end(this);
    this.#finished();
  }

  #stepDone(error: BlockError | null, data: Buffer): void {
    const next = this.#next;
    assert(next !== null, 'the device ends each call once');
    this.#next = null;
    if (error !== null) this.#failed(error);
    else if (this.aborted) this.good();
    else next(this, data);
  }

  #failed(error: BlockError): void {
    const verdict = verdictOf(error);
    switch (verdict.kind) {
      case 'check':
        this.check(this.#isReading ? verdict.reading : verdict.writing);
        return;
      case 'busy':
        this.status = STATUS.busy;
        break;
      case 'silence':
        this.silenced = true;
        break;
    }
    this.unit.end(this);
    this.#finished();
  }
}
