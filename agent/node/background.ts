import type { Clock, Logger } from '../../core/platform/index.ts';
import { delay } from '../host/time.ts';

export interface Chore {
  readonly name: string;
  readonly intervalMs: number;
  readonly run: () => Promise<void>;
}

/** What is looked after from time to time; one chore never overlaps itself. */
export class Background {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #quit = new AbortController();
  readonly #loops: Promise<void>[] = [];

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock;
    this.#log = log;
  }

  start(chore: Chore): void {
    this.#loops.push(this.#repeat(chore));
  }

  async stop(): Promise<void> {
    this.#quit.abort();
    await Promise.all(this.#loops);
  }

  async #repeat({ name, intervalMs, run }: Chore): Promise<void> {
    const { signal } = this.#quit;
    for (;;) {
      await delay(this.#clock, intervalMs, signal);
      if (signal.aborted) return;
      try {
        await run();
      } catch (error) {
        this.#log.warn('chore failed', { name, error });
      }
    }
  }
}
