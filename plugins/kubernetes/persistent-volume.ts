/** The PersistentVolume that is made for a claim. */
import type { AgentVolume } from '../../core/api/index.ts';
import { isBlock } from './claim-request.ts';
import { CSI_DRIVER, PROVISIONED_BY, VOLUME_FINALIZER } from './names.ts';
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from './objects.ts';
import { formatQuantity } from './quantity.ts';

/** Bound to its claim from the start, and served by our CSI driver whatever the class is called. */
export function persistentVolumeFor(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  volume: AgentVolume,
): PersistentVolume {
  const policy = storageClass.reclaimPolicy ?? 'Delete';
  const { metadata, spec } = claim;
  return {
    metadata: {
      name: volume.name,
      annotations: { [PROVISIONED_BY]: storageClass.provisioner },
      ...(policy === 'Delete' ? { finalizers: [VOLUME_FINALIZER] } : {}),
    },
    spec: {
      capacity: { storage: formatQuantity(volume.sizeBytes) },
      accessModes: spec?.accessModes ?? [],
      claimRef: {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        name: metadata.name,
        ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
        ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
        ...(metadata.resourceVersion === undefined
          ? {}
          : { resourceVersion: metadata.resourceVersion }),
      },
      persistentVolumeReclaimPolicy: policy,
      storageClassName: storageClass.metadata.name,
      mountOptions: storageClass.mountOptions ?? [],
      volumeMode: spec?.volumeMode ?? 'Filesystem',
      csi: {
        driver: CSI_DRIVER,
        volumeHandle: volume.id,
        ...(isBlock(claim) ? {} : { fsType: volume.fileSystem }),
        volumeAttributes: { name: volume.name, replicas: `${volume.replicas}` },
      },
    },
  };
}
