/** What the reconciler may do: plain data, with all that is needed to do it. */
import type { VolumeRecord } from '../../core/volume/record.ts';
import type { VolumeDocument } from './volume.ts';

export type Action =
  /** With `mint`: the first one, which makes the folder. */
  | NodeAction<'runReplica', { readonly order: ReplicaOrder }>
  | NodeAction<'removeReplica', { readonly replicaId: string }>
  | NodeAction<'runTarget', { readonly order: TargetOrder }>
  /** `detaches`: its attachment goes when it has been released. */
  | NodeAction<'stopTarget', { readonly detaches: boolean }>
  | StoreAction<'publish'>
  | StoreAction<'bury'>;

type NodeAction<Kind extends string, More> = {
  readonly kind: Kind;
  readonly node: string;
  readonly volumeId: string;
  readonly volumeName: string;
} & More;

interface StoreAction<Kind extends string> {
  readonly kind: Kind;
  readonly node: null;
  readonly volumeId: string;
  readonly volumeName: string;
}

export interface ReplicaOrder {
  readonly replicaId: string;
  readonly volumeId: string;
  readonly incarnation: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly poolId: string;
  readonly token: string;
  readonly mint: boolean;
  /** The first copy of the record, when minted. */
  readonly record: VolumeRecord | null;
}

export interface TargetOrder {
  readonly volumeId: string;
  readonly attachmentToken: string;
  readonly iqn: string;
  readonly portal: string;
  readonly replicaToken: string;
}

/** One action in flight per object: what has the same name never overlaps. */
export function objectOf(action: Action): string {
  switch (action.kind) {
    case 'runReplica':
      return `replica ${action.order.replicaId}`;
    case 'removeReplica':
      return `replica ${action.replicaId}`;
    case 'runTarget':
    case 'stopTarget':
      return `target ${action.volumeId}`;
    case 'publish':
    case 'bury':
      return `volume ${action.volumeId}`;
  }
}

/** @param mint only while no record names the replica (R6). */
export function replicaOrder(
  volume: VolumeDocument,
  replica: VolumeDocument['replicas'][number],
  mint: boolean,
): ReplicaOrder {
  const { record } = volume;
  return {
    replicaId: replica.id,
    volumeId: volume.id,
    incarnation: record.incarnation,
    sizeBytes: record.sizeBytes,
    blockSizeBytes: record.blockSizeBytes,
    poolId: replica.poolId,
    token: volume.replicaToken,
    mint,
    record: mint ? record : null,
  };
}
