import type { Clock } from '../../core/platform/clock.ts';

/** Who waits for something is woken when it may have come. */
export class Changes {
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #listener: () => void;

  /** @param listener called at every change. */
  constructor(listener: () => void) {
    this.#listener = listener;
  }

  /** Topics that somebody waits for. */
  get topicCount(): number {
    return this.#waiting.size;
  }

  notify(topic: string): void {
    for (const wake of this.#waiting.get(topic) ?? []) wake();
    this.#listener();
  }

  /** Wakes at every change of a topic until disposed. */
  subscribe(topics: readonly string[], wake: () => void): Disposable {
    for (const topic of topics) {
      const waiting = this.#waiting.get(topic) ?? new Set();
      this.#waiting.set(topic, waiting.add(wake));
    }
    return {
      [Symbol.dispose]: () => {
        for (const topic of topics) {
          const waiting = this.#waiting.get(topic);
          waiting?.delete(wake);
          if (waiting?.size === 0) this.#waiting.delete(topic);
        }
      },
    };
  }
}

/** Topic of what nodes report. */
export const NODES = 'nodes';
export const volumeTopic = (name: string): string => `volume ${name}`;

/** Some things come without a change, such as a node being lost. */
const LOOK_INTERVAL_MS = 1_000;

export interface Wait {
  readonly changes: Changes;
  readonly topics: readonly string[];
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/**
 * Looks until there is an answer.
 *
 * @returns null when the deadline has passed first.
 * @throws the reason of `signal`, and whatever `look` throws.
 */
export async function waitFor<Answer>(
  { changes, topics, clock, deadlineMs, signal }: Wait,
  look: () => Promise<Answer | undefined>,
): Promise<Answer | null> {
  let wake = () => undefined as void;
  using _subscription = changes.subscribe(topics, () => wake());
  for (;;) {
    signal.throwIfAborted();
    // Before looking, so that no change is missed.
    const { promise, resolve } = Promise.withResolvers<void>();
    wake = resolve;
    const answer = await look();
    if (answer !== undefined) return answer;
    const leftMs = deadlineMs - clock.nowMs();
    if (leftMs <= 0) return null;
    const timer = clock.timer(Math.min(leftMs, LOOK_INTERVAL_MS), resolve);
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    signal.removeEventListener('abort', wake);
    timer.cancel();
  }
}
