import type { ApiserverClient, Heartbeat } from '../../core/api/index.ts';
import { HEARTBEAT_INTERVAL_MS, HEARTBEAT_LOST_MS } from '../../core/limits.ts';
import type { Clock, Logger } from '../../core/platform/index.ts';
import { delay } from '../host/time.ts';
import type { StoreGuard } from './store-guard.ts';

export interface HeartbeatDependencies {
  readonly apiserver: ApiserverClient;
  readonly guard: StoreGuard;
  readonly clock: Clock;
  readonly log: Logger;
  /** What the node tells about itself now. */
  readonly compose: () => Promise<Heartbeat>;
}

const TIMEOUT_MS = 5_000;
/** Well below the time after which the node counts as lost: a restarted apiserver hears it soon. */
const BACKOFF_MS_MAX = HEARTBEAT_LOST_MS / 4;

/** Tells the apiserver once a second that this node lives, and what is on it. */
export class HeartbeatLoop {
  readonly #dependencies: HeartbeatDependencies;
  readonly #quit = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  #isReachable = false;
  #failureCount = 0;

  constructor(dependencies: HeartbeatDependencies) {
    this.#dependencies = dependencies;
  }

  get isReachable(): boolean {
    return this.#isReachable;
  }

  start(): void {
    this.#loop = this.#run();
  }

  async stop(): Promise<void> {
    this.#quit.abort();
    await this.#loop;
  }

  /** One heartbeat now, and its answer checked (R5). @throws ApiError when there is no answer. */
  async beat(): Promise<void> {
    const { apiserver, guard, compose } = this.#dependencies;
    const report = await compose();
    const highestWhenAsked = guard.highest;
    const signal = this.#quit.signal;
    const { revision } = await apiserver.heartbeat(report, { timeoutMs: TIMEOUT_MS, signal });
    await guard.note(revision, highestWhenAsked);
  }

  async #run(): Promise<void> {
    const { clock } = this.#dependencies;
    const { signal } = this.#quit;
    while (!signal.aborted) {
      const startMs = clock.nowMs();
      await this.#attempt();
      const backoffMs = HEARTBEAT_INTERVAL_MS * 2 ** Math.min(this.#failureCount, 8);
      const intervalMs = Math.min(backoffMs, Math.max(BACKOFF_MS_MAX, HEARTBEAT_INTERVAL_MS));
      const restMs = intervalMs - (clock.nowMs() - startMs);
      await delay(clock, Math.max(0, restMs), signal);
    }
  }

  async #attempt(): Promise<void> {
    const { log } = this.#dependencies;
    try {
      await this.beat();
      if (!this.#isReachable) log.info('apiserver reached');
      this.#isReachable = true;
      this.#failureCount = 0;
    } catch (error) {
      if (this.#quit.signal.aborted) return;
      // Said once, not every second.
      if (this.#isReachable || this.#failureCount === 0) {
        log.warn('apiserver cannot be reached', { error });
      }
      this.#isReachable = false;
      this.#failureCount += 1;
    }
  }
}
