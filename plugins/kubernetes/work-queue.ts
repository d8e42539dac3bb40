import type { Clock, Timer } from '../../core/platform/index.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  readonly concurrencyMax: number;
  /** Of a key that has just failed for the first time; doubles with each failure. */
  readonly retryMsMin: number;
  readonly retryMsMax: number;
  /** A rejection asks for another try later. */
  readonly handle: (key: string) => Promise<void>;
}

/**
 * Runs keys: one at a time each, a few at a time together. A key that is added while it runs runs
 * once more; how often does not matter, for a run looks at the world as it is then. The number of
 * keys is that of the objects watched.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  /** In the order in which they came. */
  readonly #waiting = new Set<string>();
  /** The value: whether it is to run once more. */
  readonly #running = new Map<string, boolean>();
  readonly #retries = new Map<string, Timer>();
  readonly #failureCounts = new Map<string, number>();
  readonly #idle: (() => void)[] = [];
  #stopped = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
  }

  /** Soon, whenever it has failed before. */
  add(key: string): void {
    if (this.#stopped) return;
    this.#retries.get(key)?.cancel();
    this.#retries.delete(key);
    if (this.#running.has(key)) this.#running.set(key, true);
    else this.#waiting.add(key);
    this.#startSome();
  }

  /** Starts nothing more, and resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    for (const retry of this.#retries.values()) retry.cancel();
    this.#retries.clear();
    if (this.#running.size === 0) return;
    const idle = Promise.withResolvers<void>();
    this.#idle.push(idle.resolve);
    await idle.promise;
  }

  #startSome(): void {
    for (const key of this.#waiting) {
      if (this.#stopped || this.#running.size >= this.#options.concurrencyMax) return;
      this.#waiting.delete(key);
      this.#running.set(key, false);
      void this.#run(key);
    }
  }

  /** Never rejects. */
  async #run(key: string): Promise<void> {
    const failed = await this.#options.handle(key).then(
      () => false,
      () => true,
    );
    const again = this.#running.get(key) ?? false;
    this.#running.delete(key);
    if (failed) this.#retryLater(key);
    else this.#failureCounts.delete(key);
    if (again) this.add(key);
    this.#startSome();
    if (this.#running.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #retryLater(key: string): void {
    if (this.#stopped) return;
    const count = this.#failureCounts.get(key) ?? 0;
    this.#failureCounts.set(key, count + 1);
    const { clock, retryMsMin, retryMsMax } = this.#options;
    // 2^30 retries will not happen; the shift stays a number.
    const delayMs = Math.min(retryMsMin * 2 ** Math.min(count, 30), retryMsMax);
    this.#retries.set(
      key,
      clock.timer(delayMs, () => this.add(key)),
    );
  }
}
