/** What the reconciler acts through; cluster/runtime/* and cluster/apiserver implement it. */
import type { ReplicaOrder, TargetOrder } from './actions.ts';
import type { Change } from './volume.ts';

export interface NodeReference {
  readonly name: string;
  /** `unix:/path` or `http://127.0.0.1:PORT`. */
  readonly agentAddress: string;
}

export interface CallLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** The node's instances. All calls are idempotent. They throw ApiError. */
export interface Runtime {
  /** @returns where it listens. */
  runReplica(node: NodeReference, order: ReplicaOrder, limits: CallLimits): Promise<string>;
  /** Stops it and removes its files; nothing there: fine. */
  removeReplica(
    node: NodeReference,
    replica: { readonly replicaId: string; readonly volumeId: string },
    limits: CallLimits,
  ): Promise<void>;
  runTarget(
    node: NodeReference,
    order: TargetOrder & { readonly storeAddress: string },
    limits: CallLimits,
  ): Promise<void>;
  /** Flushes, releases the record, stops; nothing there: fine. */
  stopTarget(node: NodeReference, volumeId: string, limits: CallLimits): Promise<void>;
}

/** The wanted volumes. They throw StoreError. */
export interface Volumes {
  /** Swaps until it fits; false when the volume is gone or the change does not apply. */
  change(volumeId: string, change: Change): Promise<boolean>;
  /** Leaves a tombstone and frees the name. */
  bury(volumeId: string): Promise<void>;
}
