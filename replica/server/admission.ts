import { NO_BREAKS, type ReplicaBreak } from '../chain/index.ts';

/**
 * One data session at a time (replication R9): a new hello is answered only after all I/O of older
 * sessions, those of rebuilds included, has completed or been dropped. A write that is stuck in
 * the kernel must not land after one of its successor.
 */
export class Admission {
  /** What was cut and still has something in flight. */
  readonly #draining = new Set<object>();
  readonly #drains: boolean;
  #waiting: { readonly admit: () => void; readonly drop: () => void } | null = null;

  constructor(breaks: ReadonlySet<ReplicaBreak> = NO_BREAKS) {
    this.#drains = !breaks.has('R9-no-drain');
  }

  get idle(): boolean {
    return this.#draining.size === 0;
  }

  /** Nobody is admitted until `ended` is called with the same object. */
  drain(what: object): void {
    if (this.#drains) this.#draining.add(what);
  }

  ended(what: object): void {
    this.#draining.delete(what);
    if (this.#draining.size > 0 || this.#waiting === null) return;
    const { admit } = this.#waiting;
    this.#waiting = null;
    admit();
  }

  /** Until nothing drains. A later one takes the place of one that still waits. */
  wait(admit: () => void, drop: () => void): void {
    this.#waiting?.drop();
    this.#waiting = null;
    if (this.#draining.size === 0) admit();
    else this.#waiting = { admit, drop };
  }

  /** Resolves when nothing drains any more, whoever waits for admission. */
  async drainAll(): Promise<void> {
    while (this.#draining.size > 0) {
      await new Promise<void>((resolve) => {
        this.wait(resolve, resolve);
      });
    }
  }
}
