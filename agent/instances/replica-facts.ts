import type { HttpTransport } from '../../core/platform/index.ts';
import type { Pools } from '../pools/pools.ts';
import type { ReplicaSpec } from '../state/schemas.ts';
import type { InstanceDependencies } from './dependencies.ts';
import { allocatedBytes, replicaFolder } from './replica-program.ts';

export interface ReplicaFact {
  readonly allocatedBytes: number;
  /** Why it runs and yet is no use (identity lost, ...); empty when all is well. */
  readonly reason: string;
}

export interface ReplicaFactsDependencies extends InstanceDependencies {
  readonly pools: Pools;
}

/** A heartbeat comes every second; these cost a walk over files and a question each. */
const FRESH_MS = 3_000;
const STATUS_TIMEOUT_MS = 1_000;

/** What is known of a replica beside its process: looked at anew when older than three seconds. */
export class ReplicaFacts {
  readonly #dependencies: ReplicaFactsDependencies;
  readonly #seen = new Map<
    string,
    { readonly atMs: number; readonly fact: Promise<ReplicaFact> }
  >();

  constructor(dependencies: ReplicaFactsDependencies) {
    this.#dependencies = dependencies;
  }

  of(spec: ReplicaSpec): Promise<ReplicaFact> {
    const nowMs = this.#dependencies.clock.nowMs();
    const seen = this.#seen.get(spec.replicaId);
    if (seen !== undefined && nowMs - seen.atMs < FRESH_MS) return seen.fact;
    const fact = this.#look(spec);
    this.#seen.set(spec.replicaId, { atMs: nowMs, fact });
    return fact;
  }

  forget(replicaId: string): void {
    this.#seen.delete(replicaId);
  }

  async #look(spec: ReplicaSpec): Promise<ReplicaFact> {
    const { files, pools, transport, paths } = this.#dependencies;
    const path = pools.path(spec.poolId);
    const folder = path === null ? null : replicaFolder(path, spec.replicaId);
    const address = `unix:${paths.replicaAdminSocket(spec.replicaId)}`;
    return {
      allocatedBytes: folder === null ? 0 : await allocatedBytes(files, folder),
      reason: await lossOf(transport(address)),
    };
  }
}

/** A process that does not answer is the supervisor's to tell about. */
async function lossOf(transport: HttpTransport): Promise<string> {
  try {
    const request = { method: 'GET', path: '/status', timeoutMs: STATUS_TIMEOUT_MS } as const;
    const { body } = await transport.request(request);
    if (typeof body !== 'object' || body === null || !('state' in body)) return '';
    if (body.state !== 'lost') return '';
    return 'detail' in body && typeof body.detail === 'string' ? body.detail : 'it is lost';
  } catch {
    return '';
  }
}
