/** Commands that cannot be started yet, in the order in which they came (R18). */
import type { BlockError } from '../../core/block/block-device.ts';

export interface HeldCommand {
  readonly needs: 'reads' | 'writes';
  readonly sinceMs: number;
  readonly start: () => void;
  readonly fail: (error: BlockError) => void;
}

export class HeldCommands {
  #commands: HeldCommand[] = [];

  get count(): number {
    return this.#commands.length;
  }

  add(command: HeldCommand): void {
    this.#commands.push(command);
  }

  /** Starts what `mayStart` lets go; asked anew for each, as one may take the place of the next. */
  start(mayStart: (needs: HeldCommand['needs']) => boolean): void {
    const held = this.#commands;
    this.#commands = [];
    for (const command of held) {
      if (mayStart(command.needs)) command.start();
      else this.#commands.push(command);
    }
  }

  /** @param limitMs only those that came before; default: all. */
  fail(error: BlockError, limitMs = Number.POSITIVE_INFINITY): void {
    const held = this.#commands;
    this.#commands = held.filter((command) => command.sinceMs > limitMs);
    for (const command of held) if (command.sinceMs <= limitMs) command.fail(error);
  }

  clear(): void {
    this.#commands = [];
  }
}
