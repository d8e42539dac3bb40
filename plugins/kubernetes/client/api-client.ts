import {
  ApiException,
  CoordinationV1Api,
  CoreV1Api,
  type KubeConfig,
  PatchStrategy,
  StorageV1Api,
  setHeaderOptions,
  V1MicroTime,
  type CoreV1Event as WireEvent,
  type V1Lease as WireLease,
} from '@kubernetes/client-node';
import { messageOf } from '../../../core/errors.ts';
import { type EventRecord, type KubernetesApi, KubernetesError } from '../api.ts';
import { SELECTED_NODE } from '../names.ts';
import type { CsiNode, Lease, PersistentVolume, PersistentVolumeClaim } from '../objects.ts';

export interface LeasePlace {
  readonly namespace: string;
  readonly name: string;
}

const COMPONENT = 'openebs-provisioner';
/** Events of objects without a namespace are kept there. */
const DEFAULT_NAMESPACE = 'default';
const MERGE = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

const CODES: Readonly<Record<number, KubernetesError['code']>> = {
  401: 'forbidden',
  403: 'forbidden',
  404: 'notFound',
};

/** The Kubernetes API through @kubernetes/client-node. */
export class KubernetesApiClient implements KubernetesApi {
  readonly #core: CoreV1Api;
  readonly #storage: StorageV1Api;
  readonly #coordination: CoordinationV1Api;
  readonly #lease: LeasePlace;

  constructor(config: KubeConfig, lease: LeasePlace) {
    this.#core = config.makeApiClient(CoreV1Api);
    this.#storage = config.makeApiClient(StorageV1Api);
    this.#coordination = config.makeApiClient(CoordinationV1Api);
    this.#lease = lease;
  }

  getClaim(namespace: string, name: string): Promise<PersistentVolumeClaim | null> {
    const asked = this.#core.readNamespacedPersistentVolumeClaim({ namespace, name });
    return orNull<PersistentVolumeClaim>(asked);
  }

  async setClaimFinalizers(
    claim: PersistentVolumeClaim,
    finalizers: readonly string[],
  ): Promise<PersistentVolumeClaim> {
    return this.#patchClaim(claim, { finalizers });
  }

  async clearSelectedNode(claim: PersistentVolumeClaim): Promise<void> {
    await this.#patchClaim(claim, { annotations: { [SELECTED_NODE]: null } });
  }

  getVolume(name: string): Promise<PersistentVolume | null> {
    return orNull<PersistentVolume>(this.#core.readPersistentVolume({ name }));
  }

  async createVolume(volume: PersistentVolume): Promise<void> {
    const body = { apiVersion: 'v1', kind: 'PersistentVolume', ...volume } as never;
    await coded(this.#core.createPersistentVolume({ body }), 'exists');
  }

  async setVolumeFinalizers(volume: PersistentVolume, finalizers: readonly string[]) {
    const { name, resourceVersion } = volume.metadata;
    const body = { metadata: { resourceVersion, finalizers } };
    await coded(this.#core.patchPersistentVolume({ name, body }, MERGE));
  }

  async deleteVolume({ metadata: { name, uid } }: PersistentVolume): Promise<void> {
    const body = { preconditions: uid === undefined ? {} : { uid } };
    // The same name with another uid is another volume: ours is gone.
    await coded(this.#core.deletePersistentVolume({ name, body })).catch(unless('notFound'));
  }

  getCsiNode(name: string): Promise<CsiNode | null> {
    return orNull<CsiNode>(this.#storage.readCSINode({ name }));
  }

  async hasNode(name: string): Promise<boolean> {
    return (await orNull(this.#core.readNode({ name }))) !== null;
  }

  async createEvent(event: EventRecord): Promise<void> {
    const namespace = event.subject.namespace ?? DEFAULT_NAMESPACE;
    await coded(this.#core.createNamespacedEvent({ namespace, body: wireEvent(event) }), 'exists');
  }

  async updateEvent({ subject, name, count, lastAtMs }: EventRecord): Promise<void> {
    const namespace = subject.namespace ?? DEFAULT_NAMESPACE;
    const body = { count, lastTimestamp: new Date(lastAtMs).toISOString() };
    await coded(this.#core.patchNamespacedEvent({ namespace, name, body }, MERGE));
  }

  async getLease(): Promise<Lease | null> {
    const found = await orNull<WireLease>(this.#coordination.readNamespacedLease(this.#lease));
    return found === null ? null : leaseOf(found);
  }

  async createLease(lease: Omit<Lease, 'resourceVersion'>): Promise<void> {
    const { namespace, name } = this.#lease;
    const body = { metadata: { namespace, name }, spec: wireLeaseSpec(lease) };
    await coded(this.#coordination.createNamespacedLease({ namespace, body }), 'exists');
  }

  async replaceLease(lease: Lease): Promise<void> {
    const { namespace, name } = this.#lease;
    const metadata = { namespace, name, resourceVersion: lease.resourceVersion };
    const body = { metadata, spec: wireLeaseSpec(lease) };
    await coded(this.#coordination.replaceNamespacedLease({ namespace, name, body }));
  }

  async #patchClaim(
    { metadata }: PersistentVolumeClaim,
    change: Readonly<Record<string, unknown>>,
  ): Promise<PersistentVolumeClaim> {
    const { namespace = DEFAULT_NAMESPACE, name, resourceVersion } = metadata;
    const body = { metadata: { resourceVersion, ...change } };
    const asked = this.#core.patchNamespacedPersistentVolumeClaim({ namespace, name, body }, MERGE);
    return (await coded(asked)) as PersistentVolumeClaim;
  }
}

function wireEvent(event: EventRecord): WireEvent {
  const { name, subject, type, reason, message, count } = event;
  return {
    metadata: { name, namespace: subject.namespace ?? DEFAULT_NAMESPACE },
    involvedObject: subject,
    type,
    reason,
    message,
    count,
    firstTimestamp: new Date(event.firstAtMs),
    lastTimestamp: new Date(event.lastAtMs),
    source: { component: COMPONENT },
    reportingComponent: COMPONENT,
    // Both or none, says the API.
    reportingInstance: COMPONENT,
  };
}

function leaseOf({ metadata, spec = {} }: WireLease): Lease {
  // The library says Date, and gives the text that the API has sent.
  const text = (time: Date | string | undefined) =>
    time === undefined ? '' : new Date(time).toISOString();
  return {
    resourceVersion: metadata?.resourceVersion ?? '',
    holder: spec.holderIdentity ?? '',
    durationSeconds: spec.leaseDurationSeconds ?? 0,
    transitions: spec.leaseTransitions ?? 0,
    acquiredAt: text(spec.acquireTime),
    renewedAt: text(spec.renewTime),
  };
}

function wireLeaseSpec(lease: Omit<Lease, 'resourceVersion'>): NonNullable<WireLease['spec']> {
  return {
    holderIdentity: lease.holder,
    leaseDurationSeconds: lease.durationSeconds,
    leaseTransitions: lease.transitions,
    ...(lease.acquiredAt === '' ? {} : { acquireTime: new V1MicroTime(lease.acquiredAt) }),
    ...(lease.renewedAt === '' ? {} : { renewTime: new V1MicroTime(lease.renewedAt) }),
  };
}

async function orNull<Found>(asked: Promise<unknown>): Promise<Found | null> {
  try {
    return (await coded(asked)) as Found;
  } catch (error) {
    if (error instanceof KubernetesError && error.code === 'notFound') return null;
    throw error;
  }
}

function unless(code: KubernetesError['code']): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof KubernetesError && error.code === code)) throw error;
  };
}

/** @param onConflict what 409 means: the object exists, or it was changed by somebody else. */
async function coded<Answer>(
  asked: Promise<Answer>,
  onConflict: 'exists' | 'conflict' = 'conflict',
): Promise<Answer> {
  try {
    return await asked;
  } catch (cause) {
    if (!(cause instanceof ApiException)) {
      const sentence = `the Kubernetes API cannot be reached: ${messageOf(cause)}`;
      throw new KubernetesError({ code: 'unreachable' }, sentence, cause);
    }
    const status: number = cause.code;
    const code = status === 409 ? onConflict : (CODES[status] ?? 'refused');
    const sentence = `the Kubernetes API answered ${status}: ${detailOf(cause.body)}`;
    throw new KubernetesError({ code }, sentence, cause);
  }
}

/** `message` of a Status object, which is JSON in the body. */
function detailOf(body: unknown): string {
  const status: unknown = typeof body === 'string' ? parsedJson(body) : body;
  if (typeof status === 'object' && status !== null && 'message' in status) {
    if (typeof status.message === 'string') return status.message;
  }
  return typeof body === 'string' ? body.slice(0, 256) : 'no reason given';
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
