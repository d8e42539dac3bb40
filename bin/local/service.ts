import { messageOf } from '../../core/errors.ts';
import type { Clock, Timer } from '../../core/platform/index.ts';
import type { LocalProcess, LocalProcesses } from './processes.ts';
import type { RunRecord } from './run-record.ts';

export interface ServiceSpec {
  readonly name: string;
  readonly argv: readonly string[];
  readonly logPath: string;
}

export interface ServiceDependencies {
  readonly processes: LocalProcesses;
  readonly clock: Clock;
  readonly record: RunRecord;
  /** One line for the person at the terminal. */
  readonly say: (line: string) => void;
}

const RESTART_DELAY_MS_MIN = 200;
const RESTART_DELAY_MS_MAX = 10_000;
/**
 * One that ran for so long had no bad start: it is started again at once, and that is no more often
 * than with the longest delay.
 */
const SETTLED_MS = RESTART_DELAY_MS_MAX;
/** A process that was asked to end and did not is killed. */
const END_TIMEOUT_MS = 20_000;

/** What is known of the process behind a service. */
type State =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'running'; readonly process: LocalProcess; readonly sinceMs: number }
  | { readonly kind: 'waiting'; readonly timer: Timer };

/**
 * Keeps one program running: takes over one that still runs, starts it again with a growing delay
 * when it ends, ends it when told to.
 *
 *     stopped → running ⇄ waiting        stop, or an end that was expected → stopped
 */
export class Service {
  readonly name: string;
  readonly #spec: ServiceSpec;
  readonly #dependencies: ServiceDependencies;
  #state: State = { kind: 'stopped' };
  #isWanted = false;
  #delayMs = RESTART_DELAY_MS_MIN;
  #failureCount = 0;

  constructor(spec: ServiceSpec, dependencies: ServiceDependencies) {
    this.name = spec.name;
    this.#spec = spec;
    this.#dependencies = dependencies;
  }

  get pid(): number | null {
    return this.#state.kind === 'running' ? this.#state.process.identity.pid : null;
  }

  get logPath(): string {
    return this.#spec.logPath;
  }

  /** Ends since it last ran for a while. */
  get failureCount(): number {
    return this.#failureCount;
  }

  async start(): Promise<void> {
    this.#isWanted = true;
    const { processes, record, say } = this.#dependencies;
    const found = record.read(this.name);
    const running = found === null ? null : processes.adopt(found.identity);
    if (found === null || running === null) {
      await this.#spawn();
      return;
    }
    if (JSON.stringify(found.argv) === JSON.stringify(this.#spec.argv)) {
      say(`${this.name} still runs (pid ${running.identity.pid}) and is taken over`);
      this.#watch(running);
      return;
    }
    say(`${this.name} runs with other options (pid ${running.identity.pid}) and is started anew`);
    await this.#end(running);
    await this.#spawn();
  }

  /** From now on it may end by itself without being started again. */
  expectEnd(): void {
    this.#isWanted = false;
    if (this.#state.kind !== 'waiting') return;
    this.#state.timer.cancel();
    this.#state = { kind: 'stopped' };
  }

  /** Resolves to whether it has ended within `timeoutMs`. */
  async ended(timeoutMs: number): Promise<boolean> {
    if (this.#state.kind !== 'running') return true;
    return this.#endsWithin(this.#state.process, timeoutMs);
  }

  /** Asks it to end; kills it when it does not. */
  async stop(): Promise<void> {
    this.expectEnd();
    if (this.#state.kind === 'running') await this.#end(this.#state.process);
  }

  async #end(process: LocalProcess): Promise<void> {
    process.signal('SIGTERM');
    if (await this.#endsWithin(process, END_TIMEOUT_MS)) return;
    this.#dependencies.say(`${this.name} did not end in ${END_TIMEOUT_MS / 1_000} s: killed`);
    process.signal('SIGKILL');
    await process.ended;
  }

  async #endsWithin(process: LocalProcess, timeoutMs: number): Promise<boolean> {
    const late = Promise.withResolvers<false>();
    const timer = this.#dependencies.clock.timer(timeoutMs, () => late.resolve(false));
    const ended = await Promise.race([process.ended.then(() => true), late.promise]);
    timer.cancel();
    return ended;
  }

  async #spawn(): Promise<void> {
    const { processes, record } = this.#dependencies;
    const { argv, logPath } = this.#spec;
    const process = await processes.spawn(argv, logPath);
    record.write(this.name, { identity: process.identity, argv });
    this.#watch(process);
  }

  #watch(process: LocalProcess): void {
    this.#state = { kind: 'running', process, sinceMs: this.#dependencies.clock.nowMs() };
    void process.ended.then((how) => this.#onEnd(process, how));
  }

  #onEnd(process: LocalProcess, how: string): void {
    // A process that was replaced since is no longer ours to judge.
    if (this.#state.kind !== 'running' || this.#state.process !== process) return;
    const { clock, record, say } = this.#dependencies;
    const ranMs = clock.nowMs() - this.#state.sinceMs;
    this.#state = { kind: 'stopped' };
    record.remove(this.name);
    if (!this.#isWanted) return;
    const hasSettled = ranMs >= SETTLED_MS;
    this.#failureCount = hasSettled ? 1 : this.#failureCount + 1;
    const delayMs = hasSettled ? RESTART_DELAY_MS_MIN : this.#delayMs;
    this.#delayMs = Math.min(delayMs * 2, RESTART_DELAY_MS_MAX);
    const ending = how === '' ? 'ended' : `ended (${how})`;
    say(`${this.name} ${ending}; it starts again in ${delayMs / 1_000} s; log: ${this.logPath}`);
    this.#restartAfter(delayMs);
  }

  #restartAfter(delayMs: number): void {
    const timer = this.#dependencies.clock.timer(delayMs, () => {
      if (!this.#isWanted) return;
      this.#spawn().catch((error: unknown) => {
        this.#dependencies.say(`${this.name} cannot be started: ${messageOf(error)}`);
        if (this.#isWanted) this.#restartAfter(RESTART_DELAY_MS_MAX);
      });
    });
    this.#state = { kind: 'waiting', timer };
  }
}
