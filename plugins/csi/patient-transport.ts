import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from '../../core/errors.ts';
import type { HttpRequest, HttpResponse, HttpTransport } from '../../core/platform/index.ts';

/**
 * Mesos waits a minute for a call and asks the node service never twice: what was not unstaged then
 * stays staged. So it is for the plugin to get over a restart of the agent.
 */
export const MESOS_PATIENCE_MS = 50_000;
const RETRY_INTERVAL_MS = 250;

export interface Patience {
  readonly patienceMs: number;
  readonly retryIntervalMs?: number;
}

/**
 * Asks again while the agent cannot be reached or dies over its answer; every call of a CSI plugin
 * to the agent is idempotent. Within the deadline of the request, and while somebody waits.
 */
export class PatientTransport implements HttpTransport {
  readonly #inner: HttpTransport;
  readonly #patienceMs: number;
  readonly #retryIntervalMs: number;

  constructor(inner: HttpTransport, patience: Patience) {
    this.#inner = inner;
    this.#patienceMs = patience.patienceMs;
    this.#retryIntervalMs = patience.retryIntervalMs ?? RETRY_INTERVAL_MS;
  }

  async request(request: HttpRequest): Promise<HttpResponse> {
    const startMs = performance.now();
    for (;;) {
      const waitedMs = performance.now() - startMs;
      try {
        return await this.#inner.request({ ...request, timeoutMs: request.timeoutMs - waitedMs });
      } catch (error) {
        const nextMs = performance.now() - startMs + this.#retryIntervalMs;
        const isLate = nextMs >= Math.min(this.#patienceMs, request.timeoutMs);
        if (codeOf(error) !== 'unreachable' || isLate || isAborted(request)) throw error;
      }
      await this.#pause(request);
    }
  }

  /** Ends at once when nobody waits any more; the next attempt then says so. */
  async #pause({ signal }: HttpRequest): Promise<void> {
    const options = signal === undefined ? {} : { signal };
    await delay(this.#retryIntervalMs, undefined, options).catch(() => undefined);
  }
}

function isAborted({ signal }: HttpRequest): boolean {
  return signal?.aborted === true;
}
