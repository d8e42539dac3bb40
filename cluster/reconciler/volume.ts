/**
 * A volume as it is wanted: one document of the store, so that its phase, its replicas and its
 * record change together. All transitions are here; the README has their diagram.
 */

import type { Claim, Door } from '../../core/api/doors.ts';
import type { Problem } from '../../core/api/errors.ts';
import { assert } from '../../core/assert.ts';
import type { FileSystemState, VolumeRecord } from '../../core/volume/record.ts';
import { swapRefusal } from '../../core/volume/swap.ts';

export const VOLUME_FORMAT_VERSION = 1;

export interface VolumeDocument {
  readonly formatVersion: typeof VOLUME_FORMAT_VERSION;
  readonly id: string;
  readonly name: string;
  /** ISO 8601, for people. */
  readonly createdAt: string;
  readonly options: VolumeOptions;
  /** `127.0.0.1:PORT`: chosen once, kept for the volume's life. */
  readonly portal: string;
  /** What a target must show to the replicas. */
  readonly replicaToken: string;
  readonly replicas: readonly PlacedReplica[];
  /** While creating: what the first record will be. It counts from `ready` on. */
  readonly record: VolumeRecord;
  /** Through which the attachment in the record was made; null without one. */
  readonly door: Door | null;
  readonly claim: Claim | null;
  readonly phase: VolumePhase;
}

export interface VolumeOptions {
  readonly sizeBytes: number;
  readonly replicaCount: number;
  /** Nobody asked for that count; the default chose it. */
  readonly hasDefaultReplicaCount: boolean;
  readonly fileSystem: FileSystemState['kind'];
  readonly fileSystemOptions: string;
  readonly pool: string | null;
  /** Replicas only there, sorted; empty: anywhere. */
  readonly nodes: readonly string[];
  readonly zones: readonly string[];
}

export interface PlacedReplica {
  readonly id: string;
  readonly node: string;
  readonly poolId: string;
  /** What is known of its folder: minted and removed once the agent has said so. */
  readonly folder: 'wanted' | 'minted' | 'removed';
}

export type VolumePhase =
  | { readonly kind: 'creating' }
  /** detaching: the target is being released, then the attachment goes. */
  | { readonly kind: 'ready'; readonly detaching: boolean }
  /** The tombstone. With a failure: a creation that is undone, and why. */
  | { readonly kind: 'deleting'; readonly failure: CreateFailure | null };

export type CreateFailure = Pick<Problem, 'code' | 'detail'>;

/** What is left of a deleted volume: only what has one may be removed as an orphan (R7). */
export interface Tombstone {
  readonly volumeId: string;
  readonly name: string;
  readonly deletedAt: string;
}

/** A transition: the changed document, or null where it does not apply (any more). */
export type Change = (volume: VolumeDocument) => VolumeDocument | null;

export function replicaMinted(replicaId: string): Change {
  return (volume) => {
    if (volume.phase.kind !== 'creating') return null;
    return withFolder(volume, replicaId, 'minted');
  };
}

/** R6: the record names a replica only after its folder was minted. */
export const published: Change = (volume) => {
  if (volume.phase.kind !== 'creating') return null;
  if (!volume.replicas.every((replica) => replica.folder === 'minted')) return null;
  return { ...volume, phase: { kind: 'ready', detaching: false } };
};

export function creationFailed(failure: CreateFailure): Change {
  return (volume) => {
    if (volume.phase.kind !== 'creating') return null;
    return { ...volume, phase: { kind: 'deleting', failure } };
  };
}

/** From here on the volume is gone for everybody, whatever happens to its files. */
export const deletionStarted: Change = (volume) => {
  if (volume.phase.kind === 'deleting') return null;
  if (volume.phase.kind === 'ready' && volume.record.attachment !== null) return null;
  if (volume.claim !== null) return null;
  return { ...volume, phase: { kind: 'deleting', failure: null } };
};

export function replicaRemoved(replicaId: string): Change {
  return (volume) => {
    if (volume.phase.kind !== 'deleting') return null;
    return withFolder(volume, replicaId, 'removed');
  };
}

export function hasNoFiles(volume: VolumeDocument): boolean {
  return volume.replicas.every((replica) => replica.folder === 'removed');
}

export const detachingStarted: Change = (volume) => {
  if (volume.phase.kind !== 'ready' || volume.phase.detaching) return null;
  if (volume.record.attachment === null) return null;
  return { ...volume, phase: { kind: 'ready', detaching: true } };
};

/** Only after its target was released. */
export const attachmentCleared: Change = (volume) => {
  if (volume.phase.kind !== 'ready' || !volume.phase.detaching) return null;
  const record = withAttachment(volume.record, null);
  return { ...volume, record, door: null, phase: { kind: 'ready', detaching: false } };
};

export function withAttachment(
  record: VolumeRecord,
  attachment: VolumeRecord['attachment'],
): VolumeRecord {
  const next = { ...record, attachment, generation: record.generation + 1 };
  const refusal = swapRefusal(record, next, { kind: 'controlPlane' });
  assert(refusal === null, 'the control plane may change the attachment');
  return next;
}

function withFolder(
  volume: VolumeDocument,
  replicaId: string,
  folder: PlacedReplica['folder'],
): VolumeDocument | null {
  const before = volume.replicas.find((replica) => replica.id === replicaId);
  if (before === undefined || before.folder === folder) return null;
  const replicas = volume.replicas.map((replica) =>
    replica.id === replicaId ? { ...replica, folder } : replica,
  );
  return { ...volume, replicas };
}

/** RFC 7143 §4.2.7.4: the naming authority's domain, and when it was its own. */
export function iqnOf(volumeId: string): string {
  return `iqn.2016-09.com.openebs:${volumeId}`;
}
