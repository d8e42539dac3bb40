import { type BlockDone, type BlockError, blockError } from '../../core/block/block-device.ts';
import { NO_BREAKS, type ReplicaBreak } from './chain-parts.ts';

/**
 * One flush at a time, each for all that wait when it starts. A running fdatasync may have passed
 * the pages of a write that was answered since, so it never counts for a flush that arrived after
 * it began. A failed one is never tried again: Linux has dropped the pages, and the next
 * fdatasync would succeed without them (replication R14). One that was refused for want of space
 * before that may be.
 */
export class FlushGate {
  readonly #sync: (done: BlockDone) => void;
  #waiting: BlockDone[] = [];
  #running = false;
  #failure: BlockError | null = null;
  readonly #joins: boolean;
  #batch: BlockDone[] = [];

  /** @param sync starts one flush. */
  constructor(sync: (done: BlockDone) => void, breaks: ReadonlySet<ReplicaBreak> = NO_BREAKS) {
    this.#sync = sync;
    this.#joins = breaks.has('R14-running-sync-counts');
  }

  get failure(): BlockError | null {
    return this.#failure;
  }

  /** From now on every flush fails. */
  fail(detail: string): void {
    this.#failure ??= blockError('mediumError', detail);
  }

  flush(done: BlockDone): void {
    if (this.#joins && this.#running) {
      this.#batch.push(done);
      return;
    }
    this.#waiting.push(done);
    if (!this.#running) this.#start();
  }

  #start(): void {
    const batch = this.#waiting;
    this.#waiting = [];
    this.#batch = batch;
    this.#running = true;
    const finish: BlockDone = (error) => {
      // Without space nothing was forgotten.
      if (error !== null && error.code !== 'noSpace') this.#failure ??= error;
      this.#running = false;
      // Also when `fail` was called while it ran: what it covers is not known then.
      for (const done of batch) done(this.#failure ?? error);
      if (this.#waiting.length > 0 && !this.#running) this.#start();
    };
    if (this.#failure === null) this.#sync(finish);
    else queueMicrotask(() => finish(null));
  }
}
