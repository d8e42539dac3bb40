import { readFileSync } from 'node:fs';
import type { Clock, Timer } from '../clock.ts';
import type { Libc } from './libc.ts';

/** setTimeout takes a signed 32-bit number of milliseconds and fires at once above it. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

class NodeTimer implements Timer {
  readonly #dueMs: number;
  readonly #nowMs: () => number;
  #fire: (() => void) | null;
  #timeout: NodeJS.Timeout;

  constructor(delayMs: number, nowMs: () => number, fire: () => void) {
    this.#nowMs = nowMs;
    this.#dueMs = nowMs() + delayMs;
    this.#fire = fire;
    this.#timeout = this.#arm(delayMs);
  }

  cancel(): void {
    clearTimeout(this.#timeout);
    this.#fire = null;
  }

  #arm(delayMs: number): NodeJS.Timeout {
    const timeoutMs = Math.min(Math.max(Math.ceil(delayMs), 0), TIMEOUT_MS_MAX);
    return setTimeout(() => this.#elapsed(), timeoutMs);
  }

  #elapsed(): void {
    // libuv truncates its clock to milliseconds, so a timer may come up to 1 ms early.
    const remainingMs = this.#dueMs - this.#nowMs();
    if (remainingMs > 0) {
      this.#timeout = this.#arm(remainingMs);
      return;
    }
    const fire = this.#fire;
    this.#fire = null;
    fire?.();
  }
}

export class NodeClock implements Clock {
  readonly #bootTimeMs: () => number;

  constructor(libc: Libc | null) {
    this.#bootTimeMs = libc === null ? uptimeClock() : () => libc.bootTimeMs();
  }

  nowMs(): number {
    return this.#bootTimeMs();
  }

  wallMs(): number {
    return Date.now();
  }

  timer(delayMs: number, fire: () => void): Timer {
    return new NodeTimer(delayMs, this.#bootTimeMs, fire);
  }
}

/** Boot time without libc: /proc/uptime counts suspended time too, in steps of 10 ms. */
function uptimeClock(): () => number {
  return () => Number(readFileSync('/proc/uptime', 'latin1').split(' ', 1)[0]) * 1_000;
}
