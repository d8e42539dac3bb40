/** The objects of the Kubernetes API that the provisioner reads, as far as it reads them. */

export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  /** Set when somebody has deleted it; it is gone when its last finalizer is. */
  readonly deletionTimestamp?: unknown;
}

export interface PersistentVolumeClaim {
  readonly metadata: Metadata;
  readonly spec?: {
    readonly accessModes?: readonly string[];
    readonly resources?: {
      readonly requests?: Readonly<Record<string, string>>;
      readonly limits?: Readonly<Record<string, string>>;
    };
    readonly selector?: unknown;
    readonly dataSource?: { readonly kind: string; readonly name: string } | null;
    readonly dataSourceRef?: { readonly kind: string; readonly name: string } | null;
    readonly storageClassName?: string;
    readonly volumeMode?: string;
    /** Of the PersistentVolume that it is bound to, or shall be. */
    readonly volumeName?: string;
  };
}

export interface TopologyTerm {
  readonly matchLabelExpressions?: readonly {
    readonly key: string;
    readonly values: readonly string[];
  }[];
}

export interface StorageClass {
  readonly metadata: Metadata;
  readonly provisioner: string;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly reclaimPolicy?: string;
  readonly volumeBindingMode?: string;
  readonly mountOptions?: readonly string[];
  readonly allowedTopologies?: readonly TopologyTerm[];
}

export interface PersistentVolume {
  readonly metadata: Metadata;
  readonly spec?: {
    readonly capacity?: Readonly<Record<string, string>>;
    readonly accessModes?: readonly string[];
    readonly claimRef?: {
      readonly apiVersion?: string;
      readonly kind?: string;
      readonly namespace?: string;
      readonly name?: string;
      readonly uid?: string;
      readonly resourceVersion?: string;
    };
    readonly persistentVolumeReclaimPolicy?: string;
    readonly storageClassName?: string;
    readonly mountOptions?: readonly string[];
    readonly volumeMode?: string;
    readonly csi?: {
      readonly driver: string;
      readonly volumeHandle: string;
      readonly fsType?: string;
      readonly volumeAttributes?: Readonly<Record<string, string>>;
    };
  };
  readonly status?: { readonly phase?: string };
}

/** Which CSI drivers run on a node, and how each one calls the node. */
export interface CsiNode {
  readonly metadata: Metadata;
  readonly spec?: {
    readonly drivers?: readonly { readonly name: string; readonly nodeID: string }[] | null;
  };
}

/** coordination.k8s.io/v1 Lease, with its times as text (RFC 3339). */
export interface Lease {
  readonly resourceVersion: string;
  /** Empty: nobody's. */
  readonly holder: string;
  readonly durationSeconds: number;
  readonly transitions: number;
  readonly acquiredAt: string;
  readonly renewedAt: string;
}

/** Of whom an event tells. */
export interface EventSubject {
  readonly apiVersion: 'v1';
  readonly kind: 'PersistentVolumeClaim' | 'PersistentVolume';
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion?: string;
}
