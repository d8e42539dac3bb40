export interface Timer {
  /** Idempotent. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since boot, never going back, counting while suspended (CLOCK_BOOTTIME). */
  nowMs(): number;
  /** Milliseconds since 1970, for people only: never compared with another machine's. */
  wallMs(): number;
  /** Calls `fire` once, not before `delayMs` have passed. */
  timer(delayMs: number, fire: () => void): Timer;
}
