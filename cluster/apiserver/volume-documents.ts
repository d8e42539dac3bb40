import { codeOf } from '../../core/errors.ts';
import type { Clock } from '../../core/platform/clock.ts';
import { parseVolume } from '../reconciler/parse-volume.ts';
import type { Volumes } from '../reconciler/ports.ts';
import type { Change, Tombstone, VolumeDocument } from '../reconciler/volume.ts';
import type { Store, StoredDocument } from '../store/store.ts';
import { type Changes, volumeTopic } from './changes.ts';

const VOLUME = 'volume';
const TOMBSTONE = 'tombstone';

export interface VersionedVolume {
  readonly version: number;
  readonly volume: VolumeDocument;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What has the form of a volume id is never taken for a name. */
export function isVolumeId(reference: string): boolean {
  return UUID.test(reference);
}

/** The volumes in the store, by name; all methods throw StoreError. */
export class VolumeDocuments implements Volumes {
  readonly #store: Store;
  readonly #changes: Changes;
  readonly #clock: Clock;
  /** Name by id: complete, because this process alone makes volumes. */
  readonly #names = new Map<string, string>();
  #listed: { readonly revision: number; readonly volumes: readonly VolumeDocument[] } | null = null;

  private constructor(store: Store, changes: Changes, clock: Clock) {
    this.#store = store;
    this.#changes = changes;
    this.#clock = clock;
  }

  /** @throws VolumeFormatError when a document is of a newer version. */
  static async open(store: Store, changes: Changes, clock: Clock): Promise<VolumeDocuments> {
    const documents = new VolumeDocuments(store, changes, clock);
    for (const { id, name } of await documents.list()) documents.#names.set(id, name);
    return documents;
  }

  /** As long as the store's revision is the same, so is the list. */
  async list(): Promise<readonly VolumeDocument[]> {
    if (this.#listed?.revision === (await this.#store.revision())) return this.#listed.volumes;
    const { revision, documents } = await this.#store.list(VOLUME);
    const volumes = documents.map(({ id, value }) => parseVolume(id, value));
    this.#listed = { revision, volumes };
    return volumes;
  }

  /** By id, or by name. */
  async find(reference: string): Promise<VersionedVolume | null> {
    const name = isVolumeId(reference) ? this.#names.get(reference) : reference;
    if (name === undefined) return null;
    const document = await this.#store.get(VOLUME, name);
    const found = document === null ? null : versioned(document);
    return isVolumeId(reference) && found?.volume.id !== reference ? null : found;
  }

  /** @returns false when the name is taken. */
  async create(volume: VolumeDocument): Promise<boolean> {
    try {
      this.#names.set(volume.id, volume.name);
      await this.#store.create(VOLUME, volume.name, volume);
    } catch (error) {
      if (codeOf(error) !== 'exists') throw error;
      this.#names.delete(volume.id);
      return false;
    }
    this.#changes.notify(volumeTopic(volume.name));
    return true;
  }

  /** @returns the new version, or null when the volume no longer has the version given. */
  async swap(version: number, next: VolumeDocument): Promise<number | null> {
    try {
      const swapped = await this.#store.swap({ kind: VOLUME, id: next.name, version }, next);
      this.#changes.notify(volumeTopic(next.name));
      return swapped.version;
    } catch (error) {
      if (codeOf(error) === 'conflict') return null;
      throw error;
    }
  }

  async change(volumeId: string, change: Change): Promise<boolean> {
    for (;;) {
      const found = await this.find(volumeId);
      const next = found === null ? null : change(found.volume);
      if (found === null || next === null) return false;
      if ((await this.swap(found.version, next)) !== null) return true;
    }
  }

  /** First the tombstone, then the document: a crash in between repeats both. */
  async bury(volumeId: string): Promise<void> {
    const found = await this.find(volumeId);
    if (found === null || found.volume.phase.kind !== 'deleting') return;
    const { name } = found.volume;
    const deletedAt = new Date(this.#clock.wallMs()).toISOString();
    const tombstone: Tombstone = { volumeId, name, deletedAt };
    await this.#store.create(TOMBSTONE, volumeId, tombstone).catch(unlessExists);
    await this.#store.remove({ kind: VOLUME, id: name, version: found.version });
    this.#names.delete(volumeId);
    this.#changes.notify(volumeTopic(name));
  }

  /** Those of the ids that have a tombstone and no volume any more. */
  async buried(ids: readonly string[]): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for (const id of ids) {
      if ((await this.#store.get(TOMBSTONE, id)) !== null) found.add(id);
    }
    return found;
  }
}

function unlessExists(error: unknown): void {
  if (codeOf(error) !== 'exists') throw error;
}

function versioned({ id, version, value }: StoredDocument): VersionedVolume {
  return { version, volume: parseVolume(id, value) };
}
