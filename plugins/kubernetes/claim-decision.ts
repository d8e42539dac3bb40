/** What is to be done about one claim, from the objects alone. */
import { apiError } from '../../core/api/index.ts';
import {
  CLAIM_FINALIZER,
  SELECTED_NODE,
  STORAGE_CLASS_BETA,
  STORAGE_PROVISIONER,
  STORAGE_PROVISIONER_BETA,
  volumeNameOf,
} from './names.ts';
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from './objects.ts';

export interface ClaimWorld {
  /** Of the class that the claim names; undefined when there is none. */
  readonly storageClass: StorageClass | undefined;
  /** The one that would be made for this claim. */
  readonly volume: PersistentVolume | undefined;
  readonly provisioners: readonly string[];
}

export type ClaimDecision =
  /** Not ours, or not yet. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'provision'; readonly storageClass: StorageClass }
  /** It has its volume; our finalizer goes. */
  | { readonly kind: 'release' }
  /** Nobody wants the volume any more that may have been made: it goes, then our finalizer. */
  | { readonly kind: 'undo' };

const NOTHING = { kind: 'nothing' } as const;

/** @throws ApiError badRequest: what stands against it, for an event. */
export function decideClaim(claim: PersistentVolumeClaim, world: ClaimWorld): ClaimDecision {
  const { metadata, spec = {} } = claim;
  const isHeld = metadata.finalizers?.includes(CLAIM_FINALIZER) ?? false;
  if (metadata.uid === undefined) return NOTHING;
  if (world.volume !== undefined) return isHeld ? { kind: 'release' } : NOTHING;
  const isLeaving = metadata.deletionTimestamp !== undefined;
  // Bound to another volume in the meantime.
  const hasOther = spec.volumeName !== undefined && spec.volumeName !== '';
  if (isLeaving || hasOther) return isHeld ? { kind: 'undo' } : NOTHING;

  const annotations = metadata.annotations ?? {};
  const asked = annotations[STORAGE_PROVISIONER] ?? annotations[STORAGE_PROVISIONER_BETA] ?? '';
  if (!world.provisioners.includes(asked)) return NOTHING;
  const { storageClass } = world;
  if (storageClass === undefined) {
    const name = JSON.stringify(classNameOf(claim));
    throw apiError('badRequest', `there is no StorageClass ${name}: create it, or name another`);
  }
  if (storageClass.provisioner !== asked) return NOTHING;
  const waits = storageClass.volumeBindingMode === 'WaitForFirstConsumer';
  if (waits && (annotations[SELECTED_NODE] ?? '') === '') return NOTHING;
  return { kind: 'provision', storageClass };
}

export function classNameOf({ metadata, spec }: PersistentVolumeClaim): string {
  return metadata.annotations?.[STORAGE_CLASS_BETA] ?? spec?.storageClassName ?? '';
}

/** The name of the volume that is made for a claim, in OpenEBS and in Kubernetes. */
export function volumeNameFor({ metadata }: PersistentVolumeClaim): string {
  return volumeNameOf(metadata.uid ?? '');
}
