import { setTimeout as delay } from 'node:timers/promises';
import type { Door } from '../../core/api/index.ts';
import { grpcError } from './grpc/grpc-error.ts';
import type { GrpcCall } from './grpc/server.ts';

/**
 * How long a second operation waits for the first. Nomad stages and publishes for two allocations
 * of one node at a time, and an allocation that is told ABORTED has failed for good (its csimanager
 * tries again after UNAVAILABLE, RESOURCE_EXHAUSTED and its own two minutes, and nothing else).
 * Mesos gives up a call after a minute and unstages at once, but only once: what was ABORTED then
 * stays staged (v1_volume_manager.cpp).
 */
export const PATIENCE_MS: Readonly<Record<Door, number>> = {
  nomad: 60_000,
  kubernetes: 0,
  mesos: 60_000,
  csi: 0,
  docker: 0,
  mayactl: 0,
};

export interface Operation {
  /** The volume's id or name, as the caller gives it. */
  readonly volume: string;
  readonly method: string;
  /** Aborted when nobody waits for it any more: what has not begun by then never does. */
  readonly abandoned: AbortSignal;
}

export function operationOf({ method, abandoned }: GrpcCall): Omit<Operation, 'volume'> {
  return { method: method.slice(method.lastIndexOf('/') + 1), abandoned };
}

/**
 * One operation per volume at a time; a second is told so ("Operation pending for volume"). A
 * caller that names a volume now by its id and now by its name has the agent to keep its calls
 * apart.
 */
export class PendingOperations {
  readonly #patienceMs: number;
  readonly #pending = new Map<string, { readonly method: string; readonly ended: Promise<void> }>();

  constructor({ patienceMs }: { readonly patienceMs: number }) {
    this.#patienceMs = patienceMs;
  }

  /** @throws GrpcError ABORTED */
  async run<Answer>(operation: Operation, work: () => Promise<Answer>): Promise<Answer> {
    const { volume, method } = operation;
    const lateMs = performance.now() + this.#patienceMs;
    // Between the last look and the entry nothing is awaited, or two would see the same gap.
    while (this.#pending.has(volume)) await this.#wait(operation, lateMs);
    const ended = Promise.withResolvers<void>();
    this.#pending.set(volume, { method, ended: ended.promise });
    try {
      return await work();
    } finally {
      this.#pending.delete(volume);
      ended.resolve();
    }
  }

  async #wait({ volume, abandoned }: Operation, lateMs: number): Promise<void> {
    const pending = this.#pending.get(volume);
    if (pending === undefined) return;
    const leftMs = lateMs - performance.now();
    if (leftMs > 0) {
      const isOver = new AbortController();
      const signal = AbortSignal.any([isOver.signal, abandoned]);
      const late = delay(leftMs, undefined, { signal }).catch(() => undefined);
      await Promise.race([pending.ended, late]);
      isOver.abort();
      if (!abandoned.aborted) return;
    }
    const detail = `volume ${JSON.stringify(volume)}: ${pending.method} is still under way`;
    throw grpcError('ABORTED', `${detail}; try again when it has ended`);
  }
}
