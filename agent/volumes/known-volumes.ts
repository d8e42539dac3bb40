import type { VolumeView } from '../../core/api/index.ts';
import type { Files } from '../../core/platform/index.ts';
import type { FileSystemState } from '../../core/volume/record.ts';
import { readJsonFile, writeJsonFile } from '../state/json-file.ts';
import { type KnownVolume, volumesFileSchema } from '../state/schemas.ts';
import { StateError } from '../state/state-error.ts';

/** The agent's own record of volumes: Get and List answer from it while the apiserver is away. */
export class KnownVolumes {
  readonly #files: Files;
  readonly #path: string;
  #volumes: ReadonlyMap<string, KnownVolume>;

  private constructor(files: Files, path: string, volumes: readonly KnownVolume[]) {
    this.#files = files;
    this.#path = path;
    this.#volumes = new Map(volumes.map((volume) => [volume.id, volume]));
  }

  /**
   * A damaged file is as good as none: the apiserver's next list has it all. It must not keep a
   * node from starting, whose replicas others wait for.
   */
  static async open(files: Files, path: string): Promise<KnownVolumes> {
    const found = await readJsonFile(files, path, volumesFileSchema).catch((error: unknown) => {
      if (error instanceof StateError && error.code === 'stateDamaged') return null;
      throw error;
    });
    return new KnownVolumes(files, path, found?.volumes ?? []);
  }

  all(): readonly KnownVolume[] {
    return [...this.#volumes.values()];
  }

  /** @param reference id or name. */
  find(reference: string): KnownVolume | null {
    const named = this.all().find(({ name }) => name === reference);
    return this.#volumes.get(reference) ?? named ?? null;
  }

  nameOf(volumeId: string): string {
    return this.#volumes.get(volumeId)?.name ?? volumeId;
  }

  /** What the apiserver tells of one volume. */
  async remember(view: VolumeView): Promise<KnownVolume> {
    const volume = { ...fromView(view), state: this.#volumes.get(view.id)?.state ?? null };
    const others = this.all().filter(({ id, name }) => id !== view.id && name !== view.name);
    await this.#replace([...others, volume]);
    return volume;
  }

  /** All that the apiserver has: what is not in it is gone. */
  async rememberAll(views: readonly VolumeView[]): Promise<void> {
    await this.#replace(
      views.map((view) => ({
        ...fromView(view),
        state: this.#volumes.get(view.id)?.state ?? null,
      })),
    );
  }

  async rememberState(volumeId: string, state: FileSystemState): Promise<void> {
    await this.#replace(
      this.all().map((volume) => (volume.id === volumeId ? { ...volume, state } : volume)),
    );
  }

  async forget(reference: string): Promise<void> {
    const gone = this.find(reference);
    await this.#replace(this.all().filter(({ id }) => id !== gone?.id));
  }

  /** Memory first: a second change while the file is written must build on the first. */
  async #replace(volumes: readonly KnownVolume[]): Promise<void> {
    const sorted = volumes.toSorted((one, other) => (one.name < other.name ? -1 : 1));
    if (JSON.stringify(sorted) === JSON.stringify(this.all())) return;
    this.#volumes = new Map(sorted.map((volume) => [volume.id, volume]));
    await writeJsonFile(this.#files, this.#path, { volumes: sorted });
  }
}

function fromView(view: VolumeView): Omit<KnownVolume, 'state'> {
  return {
    id: view.id,
    name: view.name,
    sizeBytes: view.sizeBytes,
    replicas: view.replicas,
    fileSystem: view.fileSystem,
    fileSystemOptions: view.fileSystemOptions,
    createdAt: view.createdAt,
  };
}
