import { CACHE_COMMANDS } from './cache.ts';
import { CAPACITY_COMMANDS } from './capacity.ts';
import { DEFECT_COMMANDS } from './defects.ts';
import type { CommandDescriptor } from './descriptor.ts';
import { INQUIRY } from './inquiry.ts';
import { MODE_COMMANDS } from './mode.ts';
import { READ_MODIFY_WRITE_COMMANDS } from './read-modify-write.ts';
import { READ_WRITE_COMMANDS } from './read-write.ts';
import { REPORT_COMMANDS } from './report-opcodes.ts';
import { STATE_COMMANDS } from './state.ts';
import { UNMAP_COMMANDS } from './unmap.ts';
import { VERIFY_COMMANDS } from './verify.ts';
import { WRITE_SAME_COMMANDS } from './write-same.ts';

/** The commands by operation code and service action. */
export class CommandTable {
  readonly all: readonly CommandDescriptor[];
  readonly #plain: (CommandDescriptor | null)[] = Array<null>(256).fill(null);
  readonly #byAction = new Map<number, CommandDescriptor[]>();

  constructor(commands: readonly CommandDescriptor[]) {
    this.all = commands.toSorted((a, b) => a.opcode - b.opcode);
    for (const command of commands) {
      if (command.serviceAction === null) this.#plain[command.opcode] = command;
      else this.#actionsOf(command.opcode).push(command);
    }
  }

  /** @param byte1 of the CDB; its low bits are the service action where there is one. */
  find(opcode: number, byte1: number): CommandDescriptor | null {
    const plain = this.#plain[opcode] ?? null;
    if (plain !== null) return plain;
    const action = byte1 & 0x1f;
    return this.#byAction.get(opcode)?.find((command) => command.serviceAction === action) ?? null;
  }

  hasServiceActions(opcode: number): boolean {
    return this.#byAction.has(opcode);
  }

  isKnown(opcode: number): boolean {
    return this.hasServiceActions(opcode) || (this.#plain[opcode] ?? null) !== null;
  }

  #actionsOf(opcode: number): CommandDescriptor[] {
    const known = this.#byAction.get(opcode);
    if (known !== undefined) return known;
    const fresh: CommandDescriptor[] = [];
    this.#byAction.set(opcode, fresh);
    return fresh;
  }
}

export const COMMANDS: CommandTable = new CommandTable([
  INQUIRY,
  ...STATE_COMMANDS,
  ...READ_WRITE_COMMANDS,
  ...VERIFY_COMMANDS,
  ...READ_MODIFY_WRITE_COMMANDS,
  ...WRITE_SAME_COMMANDS,
  ...UNMAP_COMMANDS,
  ...CACHE_COMMANDS,
  ...CAPACITY_COMMANDS,
  ...DEFECT_COMMANDS,
  ...MODE_COMMANDS,
  ...REPORT_COMMANDS,
]);
