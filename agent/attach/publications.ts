/** Volumes that are staged here, shown where a caller wants them (CSI NodePublishVolume). */
import {
  apiError,
  type Publish,
  type Stats,
  type StatsRequest,
  type Unpublish,
} from '../../core/api/index.ts';
import type { Clock, Logger } from '../../core/platform/index.ts';
import type { BindMounts } from '../filesystem/bind-mounts.ts';
import { parseMountOptions } from '../filesystem/mount-options.ts';
import type { MountEntry } from '../host/mount-table.ts';
import type { Places } from '../host/places.ts';
import { until } from '../host/time.ts';
import type { Turns } from '../host/turns.ts';
import type { JsonFolder } from '../state/json-folder.ts';
import type { Attachment, Published } from '../state/schemas.ts';
import type { AttachSteps } from './steps.ts';

export interface PublicationsDependencies {
  readonly store: JsonFolder<Attachment>;
  readonly steps: AttachSteps;
  readonly binds: BindMounts;
  readonly places: Places;
  readonly clock: Clock;
  readonly log: Logger;
  /** Shared with the attachments: one operation per volume at a time. */
  readonly turns: Turns;
  /** The volume's id, from what is attached here, else from the apiserver. @throws ApiError */
  readonly volumeIdOf: (reference: string) => Promise<string>;
  /** Of a volume: size, condition and message. @throws ApiError notFound */
  readonly look: (
    reference: string,
  ) => Promise<Pick<Stats, 'sizeBytes' | 'condition' | 'message'> & { readonly id: string }>;
}

/** The last user of a mount has a file open for a moment after it has ended. */
const PATIENCE_MS = 3_000;
const POLL_INTERVAL_MS = 100;

export class Publications {
  readonly #dependencies: PublicationsDependencies;

  constructor(dependencies: PublicationsDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Idempotent for equal words. Written down first, so that a crash in between is finished by the
   * next publish or undone by the next unpublish. @throws ApiError
   */
  async publish(reference: string, request: Publish): Promise<void> {
    const { turns, volumeIdOf, store, binds } = this.#dependencies;
    const volumeId = await volumeIdOf(reference);
    await turns.take(volumeId, async () => {
      const present = this.#staged(volumeId, reference, request);
      const { ofMount } = parseMountOptions(present.volumeName, request.mountOptions ?? []);
      const { targetPath } = request;
      const entry: Published = {
        targetPath,
        place: await binds.place(present.volumeName, targetPath),
        stagingPath: request.stagingPath,
        readOnly: request.readOnly === true || ofMount.includes('ro'),
        mountOptions: ofMount.filter((word) => word !== 'ro' && word !== 'rw'),
        label: request.label ?? '',
      };
      const before = present.published.find((other) => other.targetPath === targetPath);
      if (before !== undefined) requireSameWords(present, before, entry);
      this.#requireFree(volumeId, entry);
      requireOneMode(present, entry);
      await this.#dependencies.steps.restore(present);
      const others = present.published.filter((other) => other.targetPath !== targetPath);
      const next: Attachment = { ...present, published: [...others, entry] };
      await store.put(volumeId, next);
      try {
        await this.#bind(next, entry);
      } catch (error) {
        if (before === undefined) await this.#takeBack(next, entry);
        throw error;
      }
    });
  }

  /** Idempotent; a path that nothing of ours is on is published nowhere. @throws ApiError */
  async unpublish(reference: string, { targetPath }: Unpublish): Promise<void> {
    const { turns, store } = this.#dependencies;
    const owner = store
      .values()
      .find(({ published }) => published.some((entry) => entry.targetPath === targetPath));
    if (owner === undefined) {
      await this.#clear(reference, targetPath);
      return;
    }
    const { volumeId, volumeName } = owner;
    if (volumeId !== reference && volumeName !== reference) {
      const detail = `${targetPath} is published for volume "${volumeName}", not for ${reference}`;
      throw apiError('badRequest', detail, { volume: volumeName });
    }
    await turns.take(volumeId, async () => {
      const present = store.get(volumeId);
      const entry = present?.published.find((other) => other.targetPath === targetPath);
      if (present === null || entry === undefined) return;
      await this.#unbind(present, entry);
    });
  }

  /** @throws ApiError notFound when the path is neither staged nor published for the volume. */
  async stats(reference: string, { path }: StatsRequest): Promise<Stats> {
    const { store, look, places, steps } = this.#dependencies;
    const { id, sizeBytes, condition, message } = await look(reference);
    const present = store.get(id);
    const isStaged = present?.consumers.some((consumer) => consumer.id === path) ?? false;
    const entry = present?.published.find(({ targetPath }) => targetPath === path);
    if (present?.phase !== 'attached' || (!isStaged && entry === undefined)) {
      const detail = `volume "${reference}" is neither staged nor published on ${path}`;
      throw apiError('notFound', detail, { volume: reference });
    }
    const health = { sizeBytes, condition, message };
    const damage = await this.#damage(present, entry);
    if (damage !== null) return { bytes: null, inodes: null, sizeBytes, ...faulted(damage) };
    if (present.kind !== 'mount') return { bytes: null, inodes: null, ...health };
    return { ...(await places.usage(steps.mountpointOf(present))), ...health };
  }

  async #damage(present: Attachment, entry: Published | undefined): Promise<string | null> {
    const { steps, binds } = this.#dependencies;
    const damage = await steps.damage(present);
    if (damage !== null || entry === undefined) return damage;
    const isThere = (await binds.mounted(entry.place)) !== null;
    return isThere ? null : `it is not mounted on ${entry.targetPath} any more`;
  }

  #staged(volumeId: string, reference: string, request: Publish): Attachment {
    const present = this.#dependencies.store.get(volumeId);
    const isStaged = present?.consumers.some(({ id }) => id === request.stagingPath) ?? false;
    if (present?.phase !== 'attached' || !isStaged) {
      const { stagingPath } = request;
      const detail = `volume "${reference}" is not staged on ${stagingPath}: stage it first`;
      throw apiError('notStaged', detail, { volume: reference });
    }
    if (present.kind === request.as) return present;
    const { volumeName, kind } = present;
    const detail = `volume "${volumeName}" is staged as a ${kind}, not as a ${request.as}`;
    throw apiError('badRequest', detail, { volume: volumeName });
  }

  /** One place shows one thing. */
  #requireFree(volumeId: string, { place, targetPath }: Published): void {
    for (const { volumeId: id, volumeName, published } of this.#dependencies.store.values()) {
      const other = published.find(
        (entry) => entry.place === place && (id !== volumeId || entry.targetPath !== targetPath),
      );
      if (other === undefined) continue;
      const holder = other.targetPath;
      const detail = `volume "${volumeName}" is published on ${holder}: unpublish it first`;
      throw apiError('inUse', detail, { volume: volumeName, holder });
    }
  }

  async #bind(present: Attachment, entry: Published): Promise<void> {
    const { binds, steps, log } = this.#dependencies;
    const { volumeName, device } = present;
    const isMount = present.kind === 'mount';
    const source = isMount ? steps.mountpointOf(present) : (device ?? '');
    if (!isMount) await steps.setWritable(source, !entry.readOnly);
    await binds.bind(
      {
        volumeName,
        source,
        target: entry.place,
        readOnly: isMount && entry.readOnly,
        options: isMount ? entry.mountOptions : [],
      },
      await this.#ours(present),
    );
    log.info('volume published', { volume: volumeName, path: entry.targetPath });
  }

  async #takeBack(present: Attachment, entry: Published): Promise<void> {
    try {
      await this.#unbind(present, entry);
    } catch (error) {
      const fields = { volume: present.volumeName, path: entry.targetPath, error };
      this.#dependencies.log.error('a failed publish is not undone yet', fields);
    }
  }

  /** First the mount, then what is written about it. @throws ApiError inUse */
  async #unbind(present: Attachment, entry: Published): Promise<void> {
    const { store, clock, binds, log } = this.#dependencies;
    const { volumeId, volumeName } = present;
    const isOurs = await this.#ours(present);
    const isGone = await until(
      async () => ((await binds.unbind(volumeName, entry.place, { isOurs })) ? true : null),
      { clock, timeoutMs: PATIENCE_MS, intervalMs: POLL_INTERVAL_MS },
    );
    if (isGone !== true) {
      throw await binds.stillInUse(volumeName, entry.place, entry.targetPath);
    }
    const published = present.published.filter(({ targetPath }) => targetPath !== entry.targetPath);
    await store.put(volumeId, { ...present, published });
    log.info('volume unpublished', { volume: volumeName, path: entry.targetPath });
  }

  /** Nothing is known of the path: what is left of a mount of ours goes, nothing else. */
  async #clear(reference: string, targetPath: string): Promise<void> {
    const { binds, store } = this.#dependencies;
    let place: string;
    try {
      place = await binds.place(reference, targetPath);
    } catch {
      // Without its folder nothing can be mounted there.
      return;
    }
    const checks = await Promise.all(store.values().map((present) => this.#ours(present)));
    const isOurs = (mount: MountEntry) => checks.some((check) => check(mount));
    if (await binds.unbind(reference, place, { isOurs })) return;
    throw await binds.stillInUse(reference, place, targetPath);
  }

  #ours(present: Attachment): Promise<(mount: MountEntry) => boolean> {
    return this.#dependencies.steps.ours(present);
  }
}

function faulted(message: string): Pick<Stats, 'condition' | 'message'> {
  return { condition: 'faulted', message };
}

function requireSameWords(present: Attachment, before: Published, entry: Published): void {
  const words = ({ stagingPath, readOnly, mountOptions }: Published) =>
    JSON.stringify([stagingPath, readOnly, mountOptions.toSorted()]);
  if (words(before) === words(entry)) return;
  const { volumeName } = present;
  const how = before.readOnly ? 'read-only' : 'read-write';
  const detail =
    `volume "${volumeName}" is published on ${before.targetPath} already, ${how} and with other ` +
    'words: unpublish it first';
  throw apiError('exists', detail, { volume: volumeName });
}

/** A device is writable or not for all who have it open: the kernel has one flag. */
function requireOneMode(present: Attachment, entry: Published): void {
  if (present.kind === 'mount') return;
  const other = present.published.find(
    ({ targetPath, readOnly }) => targetPath !== entry.targetPath && readOnly !== entry.readOnly,
  );
  if (other === undefined) return;
  const { volumeName } = present;
  const detail =
    `volume "${volumeName}" is a raw device and published on ${other.targetPath} ` +
    `${other.readOnly ? 'read-only' : 'read-write'}: all of its users have the same mode`;
  throw apiError('inUse', detail, { volume: volumeName, holder: other.targetPath });
}
