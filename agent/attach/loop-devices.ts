import { type Commands, runOk } from '../host/commands.ts';
import type { SystemFiles } from '../host/system-files.ts';

const TIMEOUT_MS = 15_000;

/** Loop devices, found by the file behind them. */
export class LoopDevices {
  readonly #commands: Commands;
  readonly #system: SystemFiles;

  constructor(commands: Commands, system: SystemFiles) {
    this.#commands = commands;
    this.#system = system;
  }

  /** @returns `/dev/loopN`, with direct I/O: the page cache is kept once, above the device. */
  async make(backingFile: string): Promise<string> {
    const line = ['losetup', '--direct-io=on', '--find', '--show', backingFile] as const;
    return (await runOk(this.#commands, line, { timeoutMs: TIMEOUT_MS })).trim();
  }

  /** All on that file; more than one only after a crash between two attempts. */
  async find(backingFile: string): Promise<readonly string[]> {
    const names = await this.#system.names('/sys/block');
    const found = await Promise.all(
      names.map(async (name) => {
        if (!/^loop[0-9]+$/.test(name)) return null;
        const backing = await this.#system.text(`/sys/block/${name}/loop/backing_file`);
        return backing?.replace(/\n$/, '') === backingFile ? `/dev/${name}` : null;
      }),
    );
    return found.filter((device) => device !== null);
  }

  /** While somebody has it open, the kernel only remembers to do it at the last close. */
  async remove(device: string): Promise<void> {
    await runOk(this.#commands, ['losetup', '--detach', device], { timeoutMs: TIMEOUT_MS });
  }
}
