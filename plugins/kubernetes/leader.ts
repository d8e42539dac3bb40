/**
 * One of several provisioners works: the one whose name is in a Lease that it keeps renewing.
 * Clocks of different machines are not compared: a lease is dead when it has not changed for its
 * own duration, as the one who watches it measures.
 */
import { messageOf } from '../../core/errors.ts';
import type { Clock, Logger } from '../../core/platform/index.ts';
import { type KubernetesApi, KubernetesError } from './api.ts';
import type { Lease } from './objects.ts';

const LEASE_SECONDS = 15;
/** Who could not renew for so long stops working, well before anybody else starts. */
const RENEW_DEADLINE_MS = 10_000;
const RETRY_MS = 2_000;

export type LeaderStep = 'create' | 'take' | 'renew' | 'wait';

/** A lease as it was first seen in this form. */
export interface Observation {
  readonly lease: Lease;
  readonly sinceMs: number;
}

export function leaderStep(observed: Observation | null, self: string, nowMs: number): LeaderStep {
  if (observed === null) return 'create';
  const { lease, sinceMs } = observed;
  if (lease.holder === self) return 'renew';
  if (lease.holder === '') return 'take';
  return nowMs - sinceMs > lease.durationSeconds * 1_000 ? 'take' : 'wait';
}

/** The same lease keeps the time since when it was seen. */
export function observe(
  before: Observation | null,
  lease: Lease | null,
  nowMs: number,
): Observation | null {
  if (lease === null) return null;
  const isSame = before?.lease.resourceVersion === lease.resourceVersion;
  return { lease, sinceMs: before !== null && isSame ? before.sinceMs : nowMs };
}

export interface LeaderParts {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly log: Logger;
  /** Unlike any other provisioner's, and unlike an earlier run's. */
  readonly self: string;
}

export class Leader {
  readonly #parts: LeaderParts;
  #observed: Observation | null = null;
  #renewedMs = 0;

  constructor(parts: LeaderParts) {
    this.#parts = parts;
  }

  /** Until the lease is ours; `signal` gives up. */
  async acquire(signal: AbortSignal): Promise<void> {
    while (!(await this.#tryOnce())) await this.#pause(signal);
    this.#parts.log.info('this provisioner leads', { self: this.#parts.self });
  }

  /**
   * Keeps it. Resolves when it is lost, and then nothing may be done any more; or when `signal`
   * comes, and then it is still ours.
   */
  async keep(signal: AbortSignal): Promise<'lost' | 'stopped'> {
    for (;;) {
      try {
        await this.#pause(signal);
      } catch {
        return 'stopped';
      }
      if (await this.#tryOnce()) continue;
      const isOthers = this.#observed?.lease.holder !== this.#parts.self;
      const isLate = this.#parts.clock.nowMs() - this.#renewedMs >= RENEW_DEADLINE_MS;
      if (isOthers || isLate) return 'lost';
    }
  }

  /** So that the next one need not wait; only once nothing is done any more. */
  async release(): Promise<void> {
    try {
      const lease = await this.#parts.api.getLease();
      if (lease?.holder !== this.#parts.self) return;
      await this.#parts.api.replaceLease({ ...lease, holder: '', durationSeconds: 1 });
    } catch (error) {
      this.#parts.log.warn('the lease could not be released', { error: messageOf(error) });
    }
  }

  /** Whether the lease is ours, as of now. Never rejects. */
  async #tryOnce(): Promise<boolean> {
    const { api, clock, log, self } = this.#parts;
    // The deadline counts from before the request: it may be answered late.
    const startedMs = clock.nowMs();
    try {
      this.#observed = observe(this.#observed, await api.getLease(), clock.nowMs());
      const step = leaderStep(this.#observed, self, clock.nowMs());
      if (step === 'wait') return false;
      await this.#write(step);
      this.#renewedMs = startedMs;
      return true;
    } catch (error) {
      const isRace = error instanceof KubernetesError && isLostRace(error);
      if (!isRace) log.warn('the lease could not be read or written', { error: messageOf(error) });
      return false;
    }
  }

  async #write(step: Exclude<LeaderStep, 'wait'>): Promise<void> {
    const { api, clock, self } = this.#parts;
    const now = new Date(clock.wallMs()).toISOString();
    const ours = { holder: self, durationSeconds: LEASE_SECONDS, renewedAt: now };
    const before = this.#observed?.lease;
    if (step === 'create' || before === undefined) {
      await api.createLease({ ...ours, transitions: 0, acquiredAt: now });
    } else if (step === 'renew') {
      await api.replaceLease({ ...before, ...ours });
    } else {
      const transitions = before.transitions + 1;
      await api.replaceLease({ ...before, ...ours, transitions, acquiredAt: now });
    }
  }

  async #pause(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const passed = Promise.withResolvers<void>();
    const timer = this.#parts.clock.timer(RETRY_MS, passed.resolve);
    const stop = () => passed.reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    try {
      await passed.promise;
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', stop);
    }
  }
}

function isLostRace(error: KubernetesError): boolean {
  return error.code === 'conflict' || error.code === 'exists';
}
