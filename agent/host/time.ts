import type { Clock } from '../../core/platform/index.ts';

/** Resolves after `delayMs`, or as soon as `signal` is aborted: look at it afterwards. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const stop = () => {
      timer.cancel();
      resolve();
    };
    const timer = clock.timer(delayMs, () => {
      signal?.removeEventListener('abort', stop);
      resolve();
    });
    signal?.addEventListener('abort', stop, { once: true });
  });
}

export interface Patience {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly signal?: AbortSignal;
}

/**
 * Asks until the answer is not null and gives it back. Null: time is up, or aborted. The last
 * question is asked after the deadline, so that a late answer is not missed by a hair.
 */
export async function until<Answer>(
  ask: () => Promise<Answer | null> | Answer | null,
  { clock, timeoutMs, intervalMs, signal }: Patience,
): Promise<Answer | null> {
  const deadlineMs = clock.nowMs() + timeoutMs;
  for (;;) {
    const isLast = clock.nowMs() >= deadlineMs || signal?.aborted === true;
    const answer = await ask();
    if (answer !== null || isLast) return answer;
    await delay(clock, intervalMs, signal);
  }
}

/** What `work` gives, or null when it takes longer than `timeoutMs`; it is not stopped then. */
export async function within<Answer>(
  clock: Clock,
  timeoutMs: number,
  work: Promise<Answer>,
): Promise<Answer | null> {
  const late = new AbortController();
  try {
    return await Promise.race([work, delay(clock, timeoutMs, late.signal).then(() => null)]);
  } finally {
    late.abort();
  }
}
