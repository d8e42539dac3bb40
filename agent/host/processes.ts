/** Processes that outlive the agent: started apart from it, known by pid, start time and boot. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { Clock, Host } from '../../core/platform/index.ts';
import { systemEnvironment } from './environment.ts';
import type { SystemFiles } from './system-files.ts';

/** Survives in files; never mistakes another process that got the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks since boot (proc(5)). */
  readonly startTicks: number;
  readonly bootId: string;
}

/** `exitCode` is null when it is not known: ended by a signal, or not our child. */
export interface ProcessExit {
  readonly exitCode: number | null;
  readonly signal: string | null;
}

export interface RunningProcess {
  readonly identity: ProcessIdentity;
  /** Never rejects. */
  readonly exited: Promise<ProcessExit>;
}

export interface ListedProcess {
  readonly identity: ProcessIdentity;
  readonly argv: readonly string[];
}

export interface Processes {
  /** In a session of its own, working folder `/`, output appended to a file of mode 0600. */
  spawn(argv: readonly string[], options: { readonly logPath: string }): Promise<RunningProcess>;
  /** Takes over one that an earlier agent started; null if it no longer lives. */
  adopt(identity: ProcessIdentity): RunningProcess | null;
  /** False only when not one of its threads runs any more. */
  isAlive(identity: ProcessIdentity): boolean;
  /** Nothing happens if it is gone. */
  signal(identity: ProcessIdentity, name: 'SIGTERM' | 'SIGKILL'): void;
  /** Out of the out-of-memory killer's first choice; false where not permitted. */
  protect(identity: ProcessIdentity): Promise<boolean>;
  list(): Promise<readonly ListedProcess[]>;
  /** Protection was asked for and not permitted. */
  readonly lacksProtection: boolean;
}

interface ProcessStat {
  readonly isDead: boolean;
  readonly startTicks: number;
}

/**
 * Reads /proc/PID/stat. The name in parentheses may hold blanks and parentheses itself. A zombie
 * counts as dead only when its last other thread is gone: a thread stuck in the kernel may hold
 * sockets and files open after the leader has ended.
 */
export function parseProcessStat(text: string): ProcessStat | null {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  const threadCount = Number(fields[17]);
  const startTicks = Number(fields[19]);
  if (state === undefined || !Number.isSafeInteger(startTicks)) return null;
  return { isDead: (state === 'Z' || state === 'X') && !(threadCount > 1), startTicks };
}

/** The kernel killed what the page cache waits for last (data-path: memory pressure). */
const OOM_SCORE_ADJUSTMENT = '-900';
const ADOPTED_POLL_INTERVAL_MS = 250;

export class NodeProcesses implements Processes {
  readonly #clock: Clock;
  readonly #system: SystemFiles;
  readonly #bootId: string;
  readonly #ioFlusher: (on: boolean) => string | null;
  #lacksProtection = false;

  constructor(dependencies: {
    readonly clock: Clock;
    readonly host: Host;
    readonly system: SystemFiles;
    /** Marks this thread, whose children inherit it: see core/platform/node/io-flusher.ts. */
    readonly ioFlusher: (on: boolean) => string | null;
  }) {
    this.#ioFlusher = dependencies.ioFlusher;
    this.#clock = dependencies.clock;
    this.#system = dependencies.system;
    this.#bootId = dependencies.host.bootId();
  }

  spawn(argv: readonly string[], { logPath }: { readonly logPath: string }) {
    const [program = '', ...args] = argv;
    return new Promise<RunningProcess>((resolve, reject) => {
      const log = openSync(logPath, 'a', 0o600);
      const child = this.#spawnFlusher(program, args, log);
      closeSync(log);
      const exited = new Promise<ProcessExit>((settle) => {
        child.on('exit', (exitCode, signal) => settle({ exitCode, signal }));
      });
      child.on('error', reject);
      child.on('spawn', () => {
        const { pid } = child;
        // Still there even if it has ended: a child is not reaped within this call.
        const stat = pid === undefined ? null : this.#stat(pid);
        child.unref();
        if (pid === undefined || stat === null) {
          reject(new Error(`${program}: started, but not found in /proc`));
          return;
        }
        const identity = { pid, startTicks: stat.startTicks, bootId: this.#bootId };
        resolve({ identity, exited: this.#wholeEnd(identity, exited) });
      });
    });
  }

  adopt(identity: ProcessIdentity): RunningProcess | null {
    if (!this.isAlive(identity)) return null;
    const unknown = { exitCode: null, signal: null };
    return { identity, exited: this.#wholeEnd(identity, Promise.resolve(unknown)) };
  }

  isAlive({ pid, startTicks, bootId }: ProcessIdentity): boolean {
    if (bootId !== this.#bootId) return false;
    const stat = this.#stat(pid);
    return stat !== null && stat.startTicks === startTicks && !stat.isDead;
  }

  signal(identity: ProcessIdentity, name: 'SIGTERM' | 'SIGKILL'): void {
    if (!this.isAlive(identity)) return;
    try {
      process.kill(identity.pid, name);
    } catch (error) {
      // It ended between the two lines above.
      if (this.isAlive(identity)) throw error;
    }
  }

  /** Also for programs that cannot say it themselves: those of an attachment in user space. */
  #spawnFlusher(program: string, args: readonly string[], log: number): ChildProcess {
    if (this.#ioFlusher(true) !== null) this.#lacksProtection = true;
    try {
      return spawn(program, args, {
        cwd: '/',
        detached: true,
        stdio: ['ignore', log, log],
        env: systemEnvironment(process.env),
      });
    } finally {
      this.#ioFlusher(false);
    }
  }

  async protect({ pid }: ProcessIdentity): Promise<boolean> {
    const isDone = await this.#system.write(`/proc/${pid}/oom_score_adj`, OOM_SCORE_ADJUSTMENT);
    if (!isDone) this.#lacksProtection = true;
    return isDone;
  }

  get lacksProtection(): boolean {
    return this.#lacksProtection;
  }

  async list(): Promise<readonly ListedProcess[]> {
    const names = await this.#system.names('/proc');
    const pids = names.filter((name) => /^[0-9]+$/.test(name)).map(Number);
    const found = await Promise.all(pids.map((pid) => this.#listed(pid)));
    return found.filter((process) => process !== null);
  }

  async #listed(pid: number): Promise<ListedProcess | null> {
    const stat = this.#stat(pid);
    const commandLine = await this.#system.text(`/proc/${pid}/cmdline`);
    if (stat === null || stat.isDead || commandLine === null || commandLine === '') return null;
    const argv = commandLine.split('\0').slice(0, -1);
    return { identity: { pid, startTicks: stat.startTicks, bootId: this.#bootId }, argv };
  }

  /** Waits for the exit, then until no thread is left. */
  async #wholeEnd(identity: ProcessIdentity, exited: Promise<ProcessExit>): Promise<ProcessExit> {
    const exit = await exited;
    while (this.isAlive(identity)) {
      await new Promise<void>((resolve) => {
        this.#clock.timer(ADOPTED_POLL_INTERVAL_MS, resolve);
      });
    }
    return exit;
  }

  #stat(pid: number): ProcessStat | null {
    try {
      return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    } catch {
      return null;
    }
  }
}
