/** What is to be done about one PersistentVolume, from the object alone. */
import { CSI_DRIVER, PROVISIONED_BY, VOLUME_FINALIZER, VOLUME_PROTECTION } from './names.ts';
import type { PersistentVolume } from './objects.ts';

export type VolumeDecision =
  | { readonly kind: 'nothing' }
  /** Its storage goes, then the object. */
  | { readonly kind: 'delete'; readonly volumeId: string }
  /** It is being deleted and its storage stays: our finalizer goes. */
  | { readonly kind: 'release' };

const NOTHING = { kind: 'nothing' } as const;

/**
 * Only volumes that we have made, and only those that no claim has any more. Whoever deletes a
 * volume by hand gets its storage deleted too when it says so, but not while a claim is bound.
 */
export function decideVolume(
  { metadata, spec, status }: PersistentVolume,
  provisioners: readonly string[],
): VolumeDecision {
  const madeBy = metadata.annotations?.[PROVISIONED_BY] ?? '';
  const csi = spec?.csi;
  if (!provisioners.includes(madeBy) || csi?.driver !== CSI_DRIVER) return NOTHING;
  const isHeld = metadata.finalizers?.includes(VOLUME_FINALIZER) ?? false;
  const isLeaving = metadata.deletionTimestamp !== undefined;
  // Its storage was dealt with already, and others have their finalizers on it still.
  if (isLeaving && !isHeld) return NOTHING;
  if (spec?.persistentVolumeReclaimPolicy !== 'Delete') {
    return isLeaving ? { kind: 'release' } : NOTHING;
  }
  const isProtected = metadata.finalizers?.includes(VOLUME_PROTECTION) ?? false;
  const isFree = status?.phase === 'Released' || (isLeaving && isUnbound(status?.phase));
  if (status?.phase !== 'Released' && isProtected) return NOTHING;
  return isFree ? { kind: 'delete', volumeId: csi.volumeHandle } : NOTHING;
}

function isUnbound(phase: string | undefined): boolean {
  return phase === 'Available' || phase === 'Pending' || phase === 'Failed';
}
