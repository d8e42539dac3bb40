/** How long to wait before a process that ended is started again. */
export const RESTART_DELAY_MS_MIN = 200;
export const RESTART_DELAY_MS_MAX = 10_000;
/** One that ran so long was healthy: the next failure counts as the first. */
export const HEALTHY_AFTER_MS = 30_000;

/** @param failureCount how often it ended early in a row, this time included (≥ 1). */
export function restartDelayMs(failureCount: number): number {
  const doubled = RESTART_DELAY_MS_MIN * 2 ** Math.min(failureCount - 1, 16);
  return Math.min(doubled, RESTART_DELAY_MS_MAX);
}

export function failuresAfter(failureCount: number, ranForMs: number): number {
  return ranForMs >= HEALTHY_AFTER_MS ? 1 : failureCount + 1;
}
