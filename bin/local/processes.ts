/** Processes in sessions of their own, so that they outlive `maya up` and its terminal. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { codeOf } from '../../core/errors.ts';
import type { Clock } from '../../core/platform/index.ts';

/** Never mistakes another process that got the same pid for this one. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks since boot (proc(5)). */
  readonly startTicks: number;
  readonly bootId: string;
}

export interface LocalProcess {
  readonly identity: ProcessIdentity;
  /** How it ended, such as `status 1` or `SIGKILL`; empty when nobody can know. Never rejects. */
  readonly ended: Promise<string>;
  /** Nothing happens once it has ended. */
  signal(name: 'SIGTERM' | 'SIGKILL'): void;
}

export interface LocalProcesses {
  /** Output is appended to the log. @throws the system's error when it cannot be started. */
  spawn(argv: readonly string[], logPath: string): Promise<LocalProcess>;
  /** One that an earlier `maya up` started, or null if it no longer runs. */
  adopt(identity: ProcessIdentity): LocalProcess | null;
}

const ADOPTED_POLL_INTERVAL_MS = 100;

export class NodeLocalProcesses implements LocalProcesses {
  readonly #clock: Clock;
  readonly #bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async spawn(argv: readonly string[], logPath: string): Promise<LocalProcess> {
    const [program = '', ...args] = argv;
    const log = openSync(logPath, 'a', 0o600);
    try {
      const child = spawn(program, args, {
        // setsid: a Ctrl-C at the terminal reaches `maya up` alone, which then decides.
        detached: true,
        cwd: '/',
        stdio: ['ignore', log, log],
      });
      const ended = Promise.withResolvers<string>();
      child.on('exit', (status, signal) => ended.resolve(signal ?? `status ${status}`));
      const started = Promise.withResolvers<void>();
      child.on('spawn', started.resolve);
      child.on('error', started.reject);
      await started.promise;
      child.unref();
      const { pid = 0 } = child;
      // Readable even if it has ended already: Node has not reaped it within this turn.
      const startTicks = startTicksOf(pid) ?? 0;
      const identity = { pid, startTicks, bootId: this.#bootId };
      return this.#process(identity, ended.promise);
    } finally {
      closeSync(log);
    }
  }

  adopt(identity: ProcessIdentity): LocalProcess | null {
    if (!this.#isRunning(identity)) return null;
    const ended = Promise.withResolvers<string>();
    const look = () => {
      if (this.#isRunning(identity)) this.#clock.timer(ADOPTED_POLL_INTERVAL_MS, look);
      else ended.resolve('');
    };
    look();
    return this.#process(identity, ended.promise);
  }

  #process(identity: ProcessIdentity, ended: Promise<string>): LocalProcess {
    return {
      identity,
      ended,
      signal: (name) => {
        if (!this.#isRunning(identity)) return;
        try {
          process.kill(identity.pid, name);
        } catch (error) {
          // It ended since we looked.
          if (codeOf(error) !== 'ESRCH') throw error;
        }
      },
    };
  }

  #isRunning({ pid, startTicks, bootId }: ProcessIdentity): boolean {
    return bootId === this.#bootId && startTicksOf(pid) === startTicks;
  }
}

/** Null when there is no such process, or only its zombie. */
function startTicksOf(pid: number): number | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may itself hold blanks and parentheses.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const startTicks = Number(fields[19]);
    return state === 'Z' || state === 'X' || !Number.isSafeInteger(startTicks) ? null : startTicks;
  } catch {
    return null;
  }
}
