/** Programs of the system (mount, mkfs, losetup, ...): an argument vector, never a shell. */
import { spawn } from 'node:child_process';
import { CodedError, codeOf } from '../../core/errors.ts';
import { KiB } from '../../core/units.ts';
import { systemEnvironment } from './environment.ts';

export interface CommandResult {
  /** Null: ended by a signal, or not ended within its deadline. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The deadline passed; it was killed, but may still be stuck in the kernel. */
  readonly timedOut: boolean;
}

export type CommandLine = readonly [program: string, ...args: string[]];

export interface Commands {
  /** @throws CommandError `commandMissing` when there is no such program. */
  run(line: CommandLine, options: { readonly timeoutMs: number }): Promise<CommandResult>;
}

export type CommandErrorData = {
  readonly code: 'commandMissing' | 'commandFailed' | 'commandTimeout';
  readonly program: string;
  readonly exitCode: number | null;
};

export class CommandError extends CodedError<CommandErrorData> {
  override readonly name = 'CommandError';
}

/** @throws CommandError unless it ends with status 0 in time. @returns standard output. */
export async function runOk(
  commands: Commands,
  line: CommandLine,
  options: { readonly timeoutMs: number },
): Promise<string> {
  const result = await commands.run(line, options);
  if (result.exitCode === 0) return result.stdout;
  throw commandError(line, result);
}

export function commandError(line: CommandLine, result: CommandResult): CommandError {
  const [program] = line;
  const { exitCode, timedOut } = result;
  if (timedOut) {
    return new CommandError(
      { code: 'commandTimeout', program, exitCode },
      `${line.join(' ')} did not end in time`,
    );
  }
  const said = `${result.stderr}\n${result.stdout}`.trim().split('\n').slice(0, 4).join('; ');
  return new CommandError(
    { code: 'commandFailed', program, exitCode },
    `${line.join(' ')} ended with status ${exitCode ?? 'unknown'}: ${said || 'it said nothing'}`,
  );
}

const OUTPUT_BYTES_MAX = 256 * KiB;

export class NodeCommands implements Commands {
  /** Lines that were given up and have not ended yet: the same again would only hang as well. */
  readonly #stuck = new Set<string>();

  run(line: CommandLine, { timeoutMs }: { readonly timeoutMs: number }): Promise<CommandResult> {
    const [program, ...args] = line;
    const key = line.join('\0');
    if (this.#stuck.has(key)) {
      return Promise.resolve({ exitCode: null, stdout: '', stderr: '', timedOut: true });
    }
    return new Promise((resolve, reject) => {
      const child = spawn(program, args, {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: systemEnvironment(process.env),
        // Its own session: a Ctrl-C for the agent must not stop a mkfs half-way.
        detached: true,
      });
      const output = { stdout: '', stderr: '' };
      for (const stream of ['stdout', 'stderr'] as const) {
        child[stream].setEncoding('utf8').on('data', (text: string) => {
          if (output[stream].length < OUTPUT_BYTES_MAX) output[stream] += text;
        });
      }
      const timer = setTimeout(() => {
        child.kill('SIGKILL');
        this.#stuck.add(key);
        // A process stuck in the kernel (D state) does not even die: it is not waited for.
        child.stdout.destroy();
        child.stderr.destroy();
        child.unref();
        resolve({ exitCode: null, ...output, timedOut: true });
      }, timeoutMs);
      child.on('exit', () => this.#stuck.delete(key));
      child.on('error', (cause) => {
        clearTimeout(timer);
        reject(codeOf(cause) === 'ENOENT' ? missing(program, cause) : cause);
      });
      child.on('close', (exitCode) => {
        clearTimeout(timer);
        resolve({ exitCode, ...output, timedOut: false });
      });
    });
  }
}

function missing(program: string, cause: unknown): CommandError {
  return new CommandError(
    { code: 'commandMissing', program, exitCode: null },
    `the program ${program} is not installed on this node`,
    cause,
  );
}
