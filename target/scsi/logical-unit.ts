import { assert } from '../../core/assert.ts';
import type { BlockDevice } from '../../core/block/block-device.ts';
import { LOGICAL_BLOCK_BYTES, PHYSICAL_BLOCK_BYTES } from '../../core/limits.ts';
import { answersWithoutUnit, beginWithoutUnit, runWithoutUnit } from './absent-unit.ts';
import { type CommandDescriptor, checkReservedBits } from './commands/descriptor.ts';
import { COMMANDS, type CommandTable } from './commands/table.ts';
import { type Identity, type IdentityOptions, makeIdentity } from './identity.ts';
import { DEFAULT_MODE_SETTINGS, type ModeSettings } from './mode-pages.ts';
import { Nexus, UNIT_ATTENTION, type UnitAttention } from './nexus.ts';
import { type ScsiTask, TASK_ATTRIBUTE } from './scsi-task.ts';
import { invalidFieldInCdb, SENSE, type Sense } from './sense.ts';
import { STATUS } from './status.ts';
import { TaskSet } from './task-set.ts';
import { WriteGate } from './write-gate.ts';

export interface LogicalUnitOptions {
  readonly device: BlockDevice;
  readonly identity: IdentityOptions;
  /** 512 (512e) unless told; 4096 is 4Kn. Permanent for a volume. */
  readonly logicalBlockBytes?: 512 | 4096;
}

/** LUN 0 of the target: CDBs in, calls of one BlockDevice, status and sense out. */
export class LogicalUnit {
  readonly device: BlockDevice;
  readonly identity: Identity;
  readonly blockBytes: number;
  readonly physicalBlockBytes: number = PHYSICAL_BLOCK_BYTES;
  readonly commands: CommandTable = COMMANDS;
  readonly gate = new WriteGate();
  readonly #tasks = new TaskSet();
  readonly #nexuses = new Set<Nexus>();
  #mode: ModeSettings = DEFAULT_MODE_SETTINGS;

  constructor(options: LogicalUnitOptions) {
    this.device = options.device;
    this.identity = makeIdentity(options.identity);
    this.blockBytes = options.logicalBlockBytes ?? LOGICAL_BLOCK_BYTES;
    assert(this.device.sizeBytes >= this.blockBytes, 'a logical unit has at least one block');
  }

  /** Read anew each time: a volume may grow. */
  get blockCount(): number {
    return Math.floor(this.device.sizeBytes / this.blockBytes);
  }

  get mode(): ModeSettings {
    return this.#mode;
  }

  /** A new session. Its first command is told of a power on: what was before is not known. */
  attach(initiatorPort: string): Nexus {
    const nexus = new Nexus(initiatorPort);
    nexus.raise(UNIT_ATTENTION.powerOn);
    this.#nexuses.add(nexus);
    return nexus;
  }

  detach(nexus: Nexus): void {
    this.#nexuses.delete(nexus);
  }

  raiseUnitAttention(attention: UnitAttention, except: Nexus | null = null): void {
    for (const nexus of this.#nexuses) {
      if (nexus !== except) nexus.raise(attention);
    }
  }

  /** What a reset does here besides the aborts, which are the transport's (SAM-5 §6.3.3). */
  reset(): void {
    this.#mode = DEFAULT_MODE_SETTINGS;
    this.raiseUnitAttention(UNIT_ATTENTION.deviceReset);
  }

  changeMode(settings: ModeSettings, by: Nexus): void {
    const isSame =
      settings.senseFormat === this.#mode.senseFormat &&
      settings.softwareWriteProtected === this.#mode.softwareWriteProtected;
    if (isSame) return;
    this.#mode = settings;
    this.raiseUnitAttention(UNIT_ATTENTION.modeParametersChanged, by);
  }

  /**
   * In the order of CmdSN, before the data-out is there. True: `run` or `abandon` must follow.
   * False: it is over, status and sense are set.
   */
  begin(task: ScsiTask): boolean {
    const sense = this.#check(task);
    if (sense !== null) {
      task.status = STATUS.checkCondition;
      task.sense = sense;
      return false;
    }
    this.#tasks.enter(task);
    return true;
  }

  /** The data-out is there. Ends in `finished`, maybe within this call. */
  run(task: ScsiTask): void {
    task.dataReady = true;
    if (task.dataOut.length > task.dataOutBytes) {
      task.dataOut = task.dataOut.subarray(0, task.dataOutBytes);
    }
    if (task.enabled) this.#start(task);
  }

  /** Begun, and never to run: aborted while its data-out was on the way. */
  abandon(task: ScsiTask): void {
    this.#leave(task);
  }

  /** Called by the task when it is over, before the transport hears of it. */
  end(task: ScsiTask): void {
    if (task.gate !== 'none') this.gate.leave(task);
    this.#leave(task);
  }

  #leave(task: ScsiTask): void {
    const ready = this.#tasks.leave(task);
    for (const next of ready) this.#start(next);
  }

  #start(task: ScsiTask): void {
    const descriptor = task.descriptor;
    assert(descriptor !== null, 'a task that runs has begun');
    if (task.aborted) task.good();
    else if (isOurs(task)) descriptor.run(this, task);
    else runWithoutUnit(this, task, descriptor);
  }

  /** In the order of SAM-5 §5.3.3 and SPC-4 §4.3: unit, attention, operation code, fields. */
  #check(task: ScsiTask): Sense | null {
    const descriptor = this.commands.find(task.cdb[0] as number, task.cdb[1] as number);
    task.descriptor = descriptor;
    if (!isOurs(task)) return checkWithoutUnit(this, task, descriptor);
    if (task.nexus.hasUnitAttention && !(descriptor?.passesUnitAttention ?? false)) {
      return task.nexus.takeUnitAttention();
    }
    if (descriptor === null) return this.#unknown(task);
    const attribute = task.attribute;
    if (attribute > TASK_ATTRIBUTE.headOfQueue) return SENSE.invalidMessage;
    const wrong = checkReservedBits(descriptor, task.cdb) ?? descriptor.begin(this, task);
    task.dataOutWantedBytes = task.dataOutBytes;
    if (wrong !== null) return wrong;
    if (descriptor.writesMedium && this.#mode.softwareWriteProtected) {
      return SENSE.softwareWriteProtected;
    }
    return checkOffered(descriptor, task);
  }

  /** A wrong service action is a wrong field of a command that we know (SPC-4 §4.3.4.2). */
  #unknown(task: ScsiTask): Sense {
    const opcode = task.cdb[0] as number;
    const hasActions = this.commands.hasServiceActions(opcode);
    return hasActions ? invalidFieldInCdb(1, 4) : SENSE.invalidOperationCode;
  }
}

function checkWithoutUnit(
  unit: LogicalUnit,
  task: ScsiTask,
  descriptor: CommandDescriptor | null,
): Sense | null {
  if (descriptor === null || !answersWithoutUnit(descriptor)) return SENSE.unitNotSupported;
  return checkReservedBits(descriptor, task.cdb) ?? beginWithoutUnit(unit, task, descriptor);
}

/** Does the data that the initiator has fit what the CDB speaks of? */
function checkOffered(descriptor: CommandDescriptor, task: ScsiTask): Sense | null {
  const missing = task.dataOutBytes - task.dataOutOffered;
  if (missing === 0) return null;
  if (missing < 0) return descriptor.dataOut === 'exact' ? SENSE.invalidFieldInCdb : null;
  // Part of a block is never written.
  const isCut = descriptor.dataOut === 'cut' && task.dataOutOffered % task.unit.blockBytes === 0;
  if (!isCut) return SENSE.invalidInformationUnit;
  task.dataOutBytes = task.dataOutOffered;
  task.lengthBytes = task.dataOutOffered;
  return null;
}

const FLAT_ADDRESSING = 0x4000_0000;

/** LUN 0 in peripheral device or flat space addressing (SAM-5 §4.7.7). */
function isOurs(task: ScsiTask): boolean {
  return task.lunLow === 0 && (task.lunHigh === 0 || task.lunHigh === FLAT_ADDRESSING);
}
