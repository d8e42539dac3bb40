/** Objects that a user of Kubernetes would write. */
import { BUSYBOX_IMAGE } from '../fixtures/rigs/kubernetes/images.ts';

export type ClaimOptions = {
  readonly storageClass: string;
  readonly size?: string;
  readonly accessMode?: string;
  readonly block?: boolean;
};

export function claim(name: string, options: ClaimOptions): object {
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: {
      storageClassName: options.storageClass,
      accessModes: [options.accessMode ?? 'ReadWriteOnce'],
      volumeMode: options.block === true ? 'Block' : 'Filesystem',
      resources: { requests: { storage: options.size ?? '128Mi' } },
    },
  };
}

/** Where a Pod finds its volume. */
export const DATA = '/data';
export const DEVICE = '/dev/data';

/** A Pod that runs one shell script on one claim, at DATA or as DEVICE. */
export function pod(
  name: string,
  script: string,
  on: { readonly claim: string; readonly block?: boolean },
): object {
  const where =
    on.block === true
      ? { volumeDevices: [{ name: 'data', devicePath: DEVICE }] }
      : { volumeMounts: [{ name: 'data', mountPath: DATA }] };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      containers: [
        {
          name: 'main',
          image: BUSYBOX_IMAGE,
          imagePullPolicy: 'Never',
          command: ['sh', '-c', script],
          ...where,
        },
      ],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: on.claim } }],
    },
  };
}

export function storageClass(name: string, more: Readonly<Record<string, unknown>>): object {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name },
    provisioner: 'maya.csi.openebs.io',
    ...more,
  };
}
