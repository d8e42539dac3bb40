/** What the provisioner needs of the Kubernetes API; client/ has the real one. */
import { CodedError } from '../../core/errors.ts';
import type {
  CsiNode,
  EventSubject,
  Lease,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
} from './objects.ts';

export class KubernetesError extends CodedError<{
  readonly code: 'notFound' | 'exists' | 'conflict' | 'forbidden' | 'unreachable' | 'refused';
}> {
  override readonly name = 'KubernetesError';
}

/** Writes are guarded by the version that was read: `conflict` when somebody was quicker. */
export interface KubernetesApi {
  getClaim(namespace: string, name: string): Promise<PersistentVolumeClaim | null>;
  setClaimFinalizers(
    claim: PersistentVolumeClaim,
    finalizers: readonly string[],
  ): Promise<PersistentVolumeClaim>;
  /** Asks the scheduler to choose again. */
  clearSelectedNode(claim: PersistentVolumeClaim): Promise<void>;

  getVolume(name: string): Promise<PersistentVolume | null>;
  /** @throws KubernetesError `exists` */
  createVolume(volume: PersistentVolume): Promise<void>;
  setVolumeFinalizers(volume: PersistentVolume, finalizers: readonly string[]): Promise<void>;
  /** Gone already: fine. */
  deleteVolume(volume: PersistentVolume): Promise<void>;

  getCsiNode(name: string): Promise<CsiNode | null>;
  hasNode(name: string): Promise<boolean>;

  createEvent(event: EventRecord): Promise<void>;
  updateEvent(event: EventRecord): Promise<void>;

  getLease(): Promise<Lease | null>;
  /** @throws KubernetesError `exists` */
  createLease(lease: Omit<Lease, 'resourceVersion'>): Promise<void>;
  replaceLease(lease: Lease): Promise<void>;
}

/** What is there now, as far as it has been told. */
export interface KubernetesView {
  claim(namespace: string, name: string): PersistentVolumeClaim | undefined;
  claims(): readonly PersistentVolumeClaim[];
  volume(name: string): PersistentVolume | undefined;
  volumes(): readonly PersistentVolume[];
  storageClass(name: string): StorageClass | undefined;
}

export interface EventRecord {
  readonly name: string;
  readonly subject: EventSubject;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}
