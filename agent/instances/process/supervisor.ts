import { assert } from '../../../core/assert.ts';
import { messageOf } from '../../../core/errors.ts';
import type { Clock, Logger } from '../../../core/platform/index.ts';
import type {
  ProcessExit,
  Processes,
  ProcessIdentity,
  RunningProcess,
} from '../../host/processes.ts';
import { delay, until, within } from '../../host/time.ts';
import { type LogFiles, reasonFrom } from './log-file.ts';
import { failuresAfter, restartDelayMs } from './restart-policy.ts';

/** What is kept running, and what its owner does at each turn of its life. */
export interface Supervised {
  /** `replica 1b2c…`, for logs and reasons. */
  readonly name: string;
  readonly logPath: string;
  /** Writes what the process needs, durably, and gives its argv. To throw is a failed start. */
  prepare(): Promise<readonly string[]>;
  /** Makes durable which process it is, before anything relies on it. */
  started(identity: ProcessIdentity): Promise<void>;
  /** Does it answer already? */
  isReady(): Promise<boolean>;
  /** What its exit means. hold: not to be started again by itself; done: it has finished. */
  verdict(exit: ProcessExit, reason: string): Promise<'restart' | 'hold' | 'done'>;
}

/**
 *        start()            spawn              ready
 *     stopped ──→ waiting ────────→ starting ────────→ running
 *                   ↑  back-off        │ exit            │ exit
 *                   └──── restart ─────┴─────────────────┤
 *     held ←───────────── hold ──────────────────────────┤
 *     stopped ←────────── done, stop() ──────────────────┘
 */
export type SupervisorState =
  | { readonly kind: 'stopped'; readonly reason: string }
  /** Started again after the back-off. `reason` is empty before the first start. */
  | { readonly kind: 'waiting'; readonly reason: string }
  | { readonly kind: 'starting'; readonly process: RunningProcess }
  | { readonly kind: 'running'; readonly process: RunningProcess }
  | { readonly kind: 'held'; readonly reason: string };

export interface SupervisorDependencies {
  readonly clock: Clock;
  readonly processes: Processes;
  readonly logFiles: LogFiles;
  readonly log: Logger;
}

const READY_POLL_INTERVAL_MS = 50;
const KILL_TIMEOUT_MS = 10_000;

/** Keeps one process running, adopts it after an agent restart, and ends it when told. */
export class Supervisor {
  readonly #supervised: Supervised;
  readonly #dependencies: SupervisorDependencies;
  #state: SupervisorState = { kind: 'stopped', reason: '' };
  /** Aborted: the loop ends at its next step; null: there is no loop. */
  #quit: AbortController | null = null;
  #loop: Promise<void> = Promise.resolve();
  #failureCount = 0;

  constructor(supervised: Supervised, dependencies: SupervisorDependencies) {
    this.#supervised = supervised;
    this.#dependencies = dependencies;
  }

  get state(): SupervisorState {
    return this.#state;
  }

  /** How often in a row it ended before it was healthy. */
  get failureCount(): number {
    return this.#failureCount;
  }

  /**
   * Keeps it running from now on; nothing happens if it does already.
   * @param earlier what an earlier agent started: taken over if it still lives.
   */
  start(earlier: ProcessIdentity | null = null): void {
    if (this.#quit !== null) return;
    const { processes } = this.#dependencies;
    // One that could not be killed comes before what is written down.
    const known = this.#process()?.identity ?? earlier;
    const adopted = known === null ? null : processes.adopt(known);
    const quit = new AbortController();
    this.#quit = quit;
    this.#failureCount = 0;
    this.#state =
      adopted === null ? { kind: 'waiting', reason: '' } : { kind: 'starting', process: adopted };
    this.#loop = this.#run(quit.signal, adopted).finally(() => {
      if (this.#quit === quit) this.#quit = null;
    });
  }

  /**
   * Ends the process and returns when it is certain that none of it runs any more.
   * @param ask a kinder way than SIGTERM to make it end; null: SIGTERM.
   * @throws Error when the kernel does not let it die.
   */
  async stop(graceMs: number, ask: (() => Promise<void>) | null = null): Promise<void> {
    const { clock, processes } = this.#dependencies;
    this.#quit?.abort();
    // A spawn under way is waited for: its process must not be missed.
    await within(clock, KILL_TIMEOUT_MS, this.#loop);
    const process = this.#process();
    if (process !== null) {
      const asked = ask === null ? null : await within(clock, graceMs, settled(ask()));
      if (asked !== true) processes.signal(process.identity, 'SIGTERM');
      const ended = await within(clock, graceMs, process.exited);
      if (ended === null) {
        processes.signal(process.identity, 'SIGKILL');
        const killed = await within(clock, KILL_TIMEOUT_MS, process.exited);
        if (killed === null) throw new Error(`${this.#supervised.name} cannot be killed`);
      }
    }
    this.#state = { kind: 'stopped', reason: '' };
  }

  /** The agent ends, the process lives on: nothing is watched any more. */
  async abandon(): Promise<void> {
    this.#quit?.abort();
    await this.#loop;
  }

  #process(): RunningProcess | null {
    const state = this.#state;
    return state.kind === 'starting' || state.kind === 'running' ? state.process : null;
  }

  async #run(signal: AbortSignal, adopted: RunningProcess | null): Promise<void> {
    let process = adopted;
    while (!signal.aborted) {
      const startMs = this.#dependencies.clock.nowMs();
      const fromBytes = await this.#rotate(process === null);
      process ??= await this.#spawn();
      if (process === null) {
        await this.#backOff(startMs, signal);
        continue;
      }
      const exit = await this.#watch(process, signal);
      if (exit === null) return;
      const { clock, logFiles } = this.#dependencies;
      const { logPath, name } = this.#supervised;
      const reason = describeExit(exit, reasonFrom(await logFiles.tail(logPath, fromBytes)));
      this.#dependencies.log.warn('instance ended', { name, reason });
      process = null;
      const verdict = await this.#verdict(exit, reason);
      if (verdict !== 'restart') {
        this.#state = { kind: verdict === 'hold' ? 'held' : 'stopped', reason };
        return;
      }
      this.#state = { kind: 'waiting', reason };
      this.#failureCount = failuresAfter(this.#failureCount, clock.nowMs() - startMs);
      await delay(clock, restartDelayMs(this.#failureCount), signal);
    }
  }

  async #rotate(isStart: boolean): Promise<number> {
    const { logFiles } = this.#dependencies;
    return isStart ? logFiles.rotate(this.#supervised.logPath) : 0;
  }

  /** Null: it could not be started; the state says why. */
  async #spawn(): Promise<RunningProcess | null> {
    const { processes, log } = this.#dependencies;
    const { name, logPath } = this.#supervised;
    try {
      const argv = await this.#supervised.prepare();
      const process = await processes.spawn(argv, { logPath });
      this.#state = { kind: 'starting', process };
      await processes.protect(process.identity);
      await this.#supervised.started(process.identity);
      log.info('instance started', { name, pid: process.identity.pid });
      return process;
    } catch (error) {
      const reason = `cannot be started: ${messageOf(error)}`;
      log.warn('instance not started', { name, error });
      const process = this.#process();
      // Started, but not written down: it must not run on unknown to the next agent.
      if (process !== null) {
        processes.signal(process.identity, 'SIGKILL');
        await process.exited;
      }
      this.#state = { kind: 'waiting', reason };
      return null;
    }
  }

  async #backOff(startMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#dependencies;
    this.#failureCount = failuresAfter(this.#failureCount, clock.nowMs() - startMs);
    await delay(clock, restartDelayMs(this.#failureCount), signal);
  }

  /** Null: told to quit while it runs. */
  async #watch(process: RunningProcess, signal: AbortSignal): Promise<ProcessExit | null> {
    this.#state = { kind: 'starting', process };
    const over = new AbortController();
    const end = process.exited.then((exit) => {
      over.abort();
      return exit;
    });
    const aborted = new Promise<null>((resolve) => {
      if (signal.aborted) resolve(null);
      else signal.addEventListener('abort', () => resolve(null), { once: true });
    });
    const stopAsking = AbortSignal.any([signal, over.signal]);
    const ready = this.#becomeReady(process, stopAsking);
    const exit = await Promise.race([end, aborted]);
    over.abort();
    await ready;
    return exit;
  }

  async #becomeReady(process: RunningProcess, signal: AbortSignal): Promise<void> {
    const { clock } = this.#dependencies;
    const ask = async () => ((await answered(this.#supervised)) ? true : null);
    const patience = { clock, timeoutMs: Infinity, intervalMs: READY_POLL_INTERVAL_MS, signal };
    const isReady = await until(ask, patience);
    if (isReady === null || signal.aborted) return;
    assert(this.#process() === process, 'only the present process becomes ready');
    this.#state = { kind: 'running', process };
  }

  async #verdict(exit: ProcessExit, reason: string): Promise<'restart' | 'hold' | 'done'> {
    try {
      return await this.#supervised.verdict(exit, reason);
    } catch (error) {
      this.#dependencies.log.error('verdict not written down', { error });
      return 'restart';
    }
  }
}

async function settled(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch {
    return false;
  }
}

async function answered(supervised: Supervised): Promise<boolean> {
  try {
    return await supervised.isReady();
  } catch {
    return false;
  }
}

function describeExit({ exitCode, signal }: ProcessExit, said: string): string {
  const how =
    signal !== null
      ? `ended by ${signal}`
      : exitCode === null
        ? 'ended'
        : `ended with status ${exitCode}`;
  return said === '' ? how : `${how}: ${said}`;
}
