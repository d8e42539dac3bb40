import {
  type AgentVolume,
  ApiError,
  type ApiserverClient,
  apiError,
  type ClaimVolume,
  type CreateVolume,
  type Holder,
  type UnclaimVolume,
  type VolumeView,
} from '../../core/api/index.ts';
import { parseMkfsOptions } from '../filesystem/mkfs-options.ts';
import type { StoreGuard } from '../node/store-guard.ts';
import type { KnownVolume } from '../state/schemas.ts';
import type { KnownVolumes } from './known-volumes.ts';

/** What is attached on this node, as the answers about volumes tell it. */
export interface LocalView {
  readonly mountpoint: string;
  readonly holders: readonly Holder[];
  /** What is wrong with it here; empty when all is well. */
  readonly message: string;
}

export interface VolumesDependencies {
  readonly apiserver: ApiserverClient;
  readonly guard: StoreGuard;
  readonly known: KnownVolumes;
  /** Of this node. */
  readonly node: string;
  readonly local: (volumeId: string) => LocalView;
}

/** An apiserver that does not answer must not eat up the front door's own time limit. */
const LOOK_TIMEOUT_MS = 10_000;

/** Volumes for the front doors of this node: the apiserver's word, else the agent's own record. */
export class Volumes {
  readonly #dependencies: VolumesDependencies;

  constructor(dependencies: VolumesDependencies) {
    this.#dependencies = dependencies;
  }

  /** Returns when it is ready. Equal options again: the same volume. @throws ApiError */
  async create(request: CreateVolume): Promise<AgentVolume> {
    const { apiserver, guard, known } = this.#dependencies;
    const { fileSystem = 'ext4', fileSystemOptions = '' } = request;
    if (fileSystem !== 'none') parseMkfsOptions(fileSystem, fileSystemOptions);
    else if (fileSystemOptions.trim() !== '') throw contradiction(request.name);
    guard.requireTrust();
    const view = await apiserver.createVolume(request);
    await known.remember(view);
    return this.#fromView(view);
  }

  async list(): Promise<{ volumes: AgentVolume[]; cached: boolean }> {
    const { apiserver, guard, known } = this.#dependencies;
    try {
      guard.requireTrust();
      const { volumes } = await apiserver.listVolumes({ timeoutMs: LOOK_TIMEOUT_MS });
      await known.rememberAll(volumes);
      return { volumes: volumes.map((view) => this.#fromView(view)), cached: false };
    } catch (error) {
      if (!isAway(error)) throw error;
      return { volumes: known.all().map((volume) => this.#fromKnown(volume)), cached: true };
    }
  }

  /** @param reference id or name. @throws ApiError */
  async get(reference: string): Promise<AgentVolume> {
    const found = await this.#look(reference);
    return found.view === null ? this.#fromKnown(found.volume) : this.#fromView(found.view);
  }

  /** As `get`, for the agent itself. @throws ApiError */
  async resolve(reference: string): Promise<KnownVolume> {
    return (await this.#look(reference)).volume;
  }

  /** @throws ApiError */
  async claim(reference: string, request: ClaimVolume): Promise<AgentVolume> {
    const { apiserver, guard, known } = this.#dependencies;
    guard.requireTrust();
    const view = await apiserver.claim(reference, request);
    await known.remember(view);
    return this.#fromView(view);
  }

  /** No claim, or no such volume: fine. @throws ApiError */
  async unclaim(reference: string, request: UnclaimVolume): Promise<void> {
    const { apiserver, guard } = this.#dependencies;
    guard.requireTrust();
    await apiserver.unclaim(reference, request);
  }

  /** Not there: fine. Attached anywhere: inUse. @throws ApiError */
  async remove(reference: string): Promise<void> {
    const { apiserver, guard, known } = this.#dependencies;
    guard.requireTrust();
    await apiserver.deleteVolume(reference);
    await known.forget(reference);
  }

  /** @throws ApiError notFound only when the apiserver itself says so. */
  async #look(reference: string): Promise<{ view: VolumeView | null; volume: KnownVolume }> {
    const { apiserver, guard, known } = this.#dependencies;
    try {
      guard.requireTrust();
      const view = await apiserver.getVolume(reference, { timeoutMs: LOOK_TIMEOUT_MS });
      return { view, volume: await known.remember(view) };
    } catch (error) {
      if (error instanceof ApiError && error.code === 'notFound') await known.forget(reference);
      if (!isAway(error)) throw error;
      const volume = known.find(reference);
      if (volume === null) throw error;
      return { view: null, volume };
    }
  }

  #fromView(view: VolumeView): AgentVolume {
    const { id, name, sizeBytes, replicas, fileSystem, createdAt, condition } = view;
    const { node } = this.#dependencies;
    const { mountpoint, holders, message } = this.#dependencies.local(id);
    // Of this node the agent knows more than the last heartbeat told.
    const others = view.consumers.filter((holder) => holder.node !== node);
    return {
      id,
      name,
      sizeBytes,
      replicas,
      fileSystem,
      fileSystemOptions: view.fileSystemOptions,
      createdAt,
      condition,
      message: message === '' ? view.message : message,
      mountpoint,
      consumers: holders.map((holder) => holder.id),
      holders: [...holders, ...others],
      claim: view.claim,
      attachedTo: view.attachment?.node ?? null,
      placement: {
        pool: view.pool,
        nodes: view.nodes,
        zones: view.zones,
        replicaNodes: view.members.map((member) => member.node),
      },
    };
  }

  #fromKnown(volume: KnownVolume): AgentVolume {
    const { id, name, sizeBytes, replicas, fileSystem, fileSystemOptions, createdAt } = volume;
    const { mountpoint, holders, message } = this.#dependencies.local(id);
    return {
      id,
      name,
      sizeBytes,
      replicas,
      fileSystem,
      fileSystemOptions,
      createdAt,
      condition: 'unknown',
      message: message === '' ? 'the apiserver cannot be reached' : message,
      mountpoint,
      consumers: holders.map((holder) => holder.id),
      holders: [...holders],
      claim: null,
      attachedTo: holders.length > 0 ? this.#dependencies.node : null,
      placement: null,
    };
  }
}

function isAway(error: unknown): boolean {
  return error instanceof ApiError && (error.code === 'unavailable' || error.code === 'timeout');
}

function contradiction(volume: string) {
  return apiError(
    'badRequest',
    `volume "${volume}": fileSystem none and fileSystemOptions contradict each other`,
    { volume },
  );
}
