import { assert } from '../../../core/assert.ts';
import type { LogicalUnit } from '../logical-unit.ts';
import type { ScsiTask } from '../scsi-task.ts';
import { invalidFieldInCdb, type Sense } from '../sense.ts';

/**
 * All that is known about one command. The usage map is both what REPORT SUPPORTED OPERATION
 * CODES tells and what a CDB is checked against: a bit that is not in it must be zero.
 */
export interface CommandDescriptor {
  readonly name: string;
  readonly opcode: number;
  /** Bits 4–0 of byte 1, for operation codes that have service actions. */
  readonly serviceAction: number | null;
  /** CDB usage data (SPC-4 §6.35.3); as long as the CDB. */
  readonly usage: Buffer;
  /** Per CDB byte the bits that must be zero. */
  readonly forbidden: Buffer;
  /** Runs although a unit attention is pending (SPC-4 §6.1, SAM-5 §5.14). */
  readonly passesUnitAttention: boolean;
  /** Changes the medium: refused while software write protection is on. */
  readonly writesMedium: boolean;
  /**
   * When the initiator has not as much data as the CDB speaks of. `refuse`: so is the command.
   * `cut`: the whole blocks that are there are written, and the residual tells (FCP-4 §9.4.2).
   * `exact`: one structure; more is as wrong as less.
   */
  readonly dataOut: 'refuse' | 'cut' | 'exact';
  /** Reads the CDB into the task, or says what is wrong with it. No effect on the device. */
  readonly begin: (unit: LogicalUnit, task: ScsiTask) => Sense | null;
  /** Has all the data-out. Ends in one `task.good`, `goodWith` or `check`. */
  readonly run: (unit: LogicalUnit, task: ScsiTask) => void;
}

type Required = 'name' | 'opcode' | 'begin' | 'run';
type Optional = 'serviceAction' | 'passesUnitAttention' | 'writesMedium' | 'dataOut';

export type CommandOptions = Pick<CommandDescriptor, Required> &
  Partial<Pick<CommandDescriptor, Optional>> & {
    /** The bytes after the operation code, the control byte included. */
    readonly usage: readonly number[];
  };

const SERVICE_ACTION_BITS = 0x1f;

export function describeCommand(options: CommandOptions): CommandDescriptor {
  const serviceAction = options.serviceAction ?? null;
  const usage = Buffer.from([options.opcode, ...options.usage]);
  const forbidden = Buffer.from(usage.map((bits) => ~bits));
  forbidden[0] = 0;
  if (serviceAction !== null) {
    usage[1] = (usage[1] ?? 0) | serviceAction;
    forbidden[1] = (forbidden[1] ?? 0) & ~SERVICE_ACTION_BITS;
  }
  assert([6, 10, 12, 16].includes(usage.length), 'a CDB has 6, 10, 12 or 16 bytes');
  return {
    passesUnitAttention: false,
    writesMedium: false,
    dataOut: 'refuse',
    ...options,
    serviceAction,
    usage,
    forbidden,
  };
}

/** The first bit that should not be set, or null. */
export function checkReservedBits(descriptor: CommandDescriptor, cdb: Buffer): Sense | null {
  const forbidden = descriptor.forbidden;
  for (let index = 1; index < forbidden.length; index += 1) {
    const wrong = (cdb[index] as number) & (forbidden[index] as number);
    if (wrong !== 0) return invalidFieldInCdb(index, 31 - Math.clz32(wrong));
  }
  return null;
}

/** For commands without data-out whose CDB needs no reading before they run. */
export function beginNothing(): null {
  return null;
}
