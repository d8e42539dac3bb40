/** Names that Kubernetes, other provisioners and administrators know, so they never change. */

/** Of our CSI driver, and of classes served by it. */
export const CSI_DRIVER = 'maya.csi.openebs.io';
/** What classes of OpenEBS named before there was CSI. */
export const HISTORICAL_PROVISIONER = 'openebs.io/provisioner-iscsi';
export const PROVISIONERS = [CSI_DRIVER, HISTORICAL_PROVISIONER] as const;

/** On a claim: who shall make its volume; the volume controller of Kubernetes writes it. */
export const STORAGE_PROVISIONER = 'volume.kubernetes.io/storage-provisioner';
export const STORAGE_PROVISIONER_BETA = 'volume.beta.kubernetes.io/storage-provisioner';
export const STORAGE_CLASS_BETA = 'volume.beta.kubernetes.io/storage-class';
/** On a claim: the node that the scheduler has chosen for its first consumer. */
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';
/** On a volume: whose it is. */
export const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';

/** On a claim while its volume is made: whoever deletes it then waits until that is undone. */
export const CLAIM_FINALIZER = 'provisioner.openebs.io/volume';
/**
 * On a volume whose reclaim policy is Delete, so that it is not forgotten before its storage is
 * gone. The official provisioner uses the same name: a cluster may change from one to the other.
 */
export const VOLUME_FINALIZER = 'external-provisioner.volume.kubernetes.io/finalizer';
/** Kubernetes' own, as long as a claim is bound to the volume. */
export const VOLUME_PROTECTION = 'kubernetes.io/pv-protection';

/** On a class or claim of OpenEBS 0.7 and later: policies as YAML. */
export const HISTORICAL_CONFIGURATION = 'cas.openebs.io/config';

export const TOPOLOGY_NODE = 'topology.openebs.io/node';
export const TOPOLOGY_ZONE = 'topology.openebs.io/zone';

/** The official provisioner gives its volumes the same name. */
export function volumeNameOf(claimUid: string): string {
  return `pvc-${claimUid}`;
}
