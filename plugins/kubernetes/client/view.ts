import {
  ADD,
  CoreV1Api,
  DELETE,
  ERROR,
  type KubeConfig,
  type KubernetesListObject,
  type KubernetesObject,
  ListWatch,
  StorageV1Api,
  UPDATE,
  Watch,
} from '@kubernetes/client-node';
import { messageOf } from '../../../core/errors.ts';
import type { Clock, Logger } from '../../../core/platform/index.ts';
import type { KubernetesView } from '../api.ts';
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '../objects.ts';

/** Called for every object that is new, has changed or is gone. */
export interface Changed {
  claim(claim: PersistentVolumeClaim): void;
  volume(volume: PersistentVolume): void;
  storageClass(storageClass: StorageClass): void;
}

export interface ViewParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly changed: Changed;
}

type Watched = ListWatch<KubernetesObject>;

const RESTART_MS = 2_000;

/** Lists and watches what the provisioner needs to see; watches that break are begun again. */
export class WatchedView implements KubernetesView, AsyncDisposable {
  readonly #parts: ViewParts;
  readonly #claims: Watched;
  readonly #volumes: Watched;
  readonly #classes: Watched;
  readonly #seen = new Map<Watched, PromiseWithResolvers<void>>();
  #closed = false;

  /** Resolves when everything has been seen once, however often it must be asked for. */
  static async open(config: KubeConfig, parts: ViewParts): Promise<WatchedView> {
    const view = new WatchedView(config, parts);
    for (const watched of view.#seen.keys()) void view.#start(watched);
    await Promise.all([...view.#seen.values()].map(({ promise }) => promise));
    return view;
  }

  private constructor(config: KubeConfig, parts: ViewParts) {
    this.#parts = parts;
    const core = config.makeApiClient(CoreV1Api);
    const storage = config.makeApiClient(StorageV1Api);
    const { changed } = parts;
    this.#claims = this.#watch<PersistentVolumeClaim>(config, {
      path: '/api/v1/persistentvolumeclaims',
      list: () => core.listPersistentVolumeClaimForAllNamespaces(),
      changed: (claim) => changed.claim(claim),
    });
    this.#volumes = this.#watch<PersistentVolume>(config, {
      path: '/api/v1/persistentvolumes',
      list: () => core.listPersistentVolume(),
      changed: (volume) => changed.volume(volume),
    });
    this.#classes = this.#watch<StorageClass>(config, {
      path: '/apis/storage.k8s.io/v1/storageclasses',
      list: () => storage.listStorageClass(),
      changed: (storageClass) => changed.storageClass(storageClass),
    });
  }

  claim(namespace: string, name: string): PersistentVolumeClaim | undefined {
    return this.#claims.get(name, namespace) as PersistentVolumeClaim | undefined;
  }
  claims(): readonly PersistentVolumeClaim[] {
    return this.#claims.list() as readonly PersistentVolumeClaim[];
  }
  volume(name: string): PersistentVolume | undefined {
    return this.#volumes.get(name) as PersistentVolume | undefined;
  }
  volumes(): readonly PersistentVolume[] {
    return this.#volumes.list() as readonly PersistentVolume[];
  }
  storageClass(name: string): StorageClass | undefined {
    return this.#classes.get(name) as StorageClass | undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#seen.keys()].map((watched) => watched.stop()));
  }

  /** Lists, and then watches from there; what fails is told to the watch's ERROR. */
  async #start(watched: Watched): Promise<void> {
    await watched.start();
    if (watched.latestResourceVersion() !== '') this.#seen.get(watched)?.resolve();
  }

  #watch<Kind>(
    config: KubeConfig,
    of: {
      readonly path: string;
      readonly list: () => Promise<KubernetesListObject<KubernetesObject>>;
      readonly changed: (object: Kind) => void;
    },
  ): Watched {
    const watched = new ListWatch<KubernetesObject>(of.path, new Watch(config), of.list, false);
    for (const verb of [ADD, UPDATE, DELETE] as const) {
      watched.on(verb, (object) => of.changed(object as Kind));
    }
    watched.on(ERROR, (error: unknown) => {
      if (this.#closed) return;
      const fields = { path: of.path, error: messageOf(error) };
      this.#parts.log.warn('a watch broke and is begun again', fields);
      this.#parts.clock.timer(RESTART_MS, () => {
        if (!this.#closed) void this.#start(watched);
      });
    });
    this.#seen.set(watched, Promise.withResolvers());
    return watched;
  }
}
