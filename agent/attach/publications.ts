/** Volumes that are staged here, shown where a caller wants them (CSI NodePublishVolume). */
import {
  apiError,
  type Publish,
  type Stats,
  type StatsRequest,
  type Unpublish,
} from '../../core/api/index.ts';
import type { Clock, Logger } from '../../core/platform/index.ts';
import type { BindMounts, BindRequest } from '../filesystem/bind-mounts.ts';
import { parseMountOptions } from '../filesystem/mount-options.ts';
import type { MountEntry } from '../host/mount-table.ts';
import type { Places } from '../host/places.ts';
import { until } from '../host/time.ts';
import type { Turns } from '../host/turns.ts';
import type { JsonFolder } from '../state/json-folder.ts';
import type { Attachment, Published } from '../state/schemas.ts';
import type { AttachSteps } from './steps.ts';
import { attachedAs } from './uses.ts';

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
    // Nothing is awaited before the turn: an unpublish that comes after is after it.
    const volumeId = this.#attached(reference)?.volumeId ?? (await volumeIdOf(reference));
    await turns.take(volumeId, async () => {
      const present = this.#staged(volumeId, reference, request);
      const { ofMount } = parseMountOptions(present.volumeName, request.mountOptions ?? []);
      const { targetPath } = request;
      const place = await binds.place(present.volumeName, targetPath);
      this.#requireOutside(present.volumeName, place);
      const entry: Published = {
        targetPath,
        place,
        stagingPath: request.stagingPath,
        readOnly: request.readOnly === true || ofMount.includes('ro'),
        mountOptions: ofMount.filter((word) => word !== 'ro' && word !== 'rw'),
        label: request.label ?? '',
      };
      const before = present.published.find((other) => other.targetPath === targetPath);
      if (before !== undefined) requireSameWords(present, before, entry);
      requireStagedWritable(present, entry);
      requireOneMode(present, entry);
      await this.#dependencies.steps.restore(present);
      const others = present.published.filter((other) => other.targetPath !== targetPath);
      const next: Attachment = { ...present, published: [...others, entry] };
      // Once it is written down others see it: two volumes never end up on one place.
      const isMade = await this.#turnOfPlace(place, async () => {
        this.#requireFree(volumeId, entry);
        const isMissing = await binds.requireUsable(
          this.#bindRequest(next, entry),
          await this.#ours(next),
        );
        await store.put(volumeId, next);
        return isMissing;
      });
      try {
        await this.#bind(next, entry);
      } catch (error) {
        if (before === undefined) await this.#takeBack(next, entry, !isMade);
        throw error;
      }
    });
  }

  /**
   * Idempotent; a path that nothing of ours is on is published nowhere. In the volume's turn also
   * when nothing is known of the path: a publish whose caller is gone may be under way.
   * @throws ApiError
   */
  async unpublish(reference: string, { targetPath }: Unpublish): Promise<void> {
    const { turns, store } = this.#dependencies;
    const named = this.#attached(reference);
    const owner = store
      .values()
      .find(({ published }) => published.some((entry) => entry.targetPath === targetPath));
    if (owner !== undefined && owner.volumeId !== named?.volumeId) {
      const { volumeName } = owner;
      const detail = `${targetPath} is published for volume "${volumeName}", not for ${reference}`;
      throw apiError('badRequest', detail, { volume: volumeName });
    }
    // Not on this node at all: so it is published nowhere.
    if (named === undefined) return;
    const { volumeId } = named;
    await turns.take(volumeId, async () => {
      const present = store.get(volumeId);
      if (present === null) return;
      const entry = present.published.find((other) => other.targetPath === targetPath);
      if (entry === undefined) await this.#clear(present, targetPath);
      else await this.#unbind(present, entry);
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

  /** By id or name, when it is attached on this node. */
  #attached(reference: string): Attachment | undefined {
    return attachedAs(this.#dependencies.store.values(), reference);
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
    const other = this.#publishedOn(place, { volumeId, targetPath });
    if (other === undefined) return;
    const { volumeName, holder } = other;
    const detail = `volume "${volumeName}" is published on ${holder}: unpublish it first`;
    throw apiError('inUse', detail, { volume: volumeName, holder });
  }

  /** @param except the entry that may be there. */
  #publishedOn(
    place: string,
    except?: { readonly volumeId: string; readonly targetPath: string },
  ): { readonly volumeName: string; readonly holder: string } | undefined {
    for (const { volumeId, volumeName, published } of this.#dependencies.store.values()) {
      const other = published.find(
        (entry) =>
          entry.place === place &&
          (volumeId !== except?.volumeId || entry.targetPath !== except.targetPath),
      );
      if (other !== undefined) return { volumeName, holder: other.targetPath };
    }
    return undefined;
  }

  /** The agent's own mounts come and go there: one over the other would be anybody's. */
  #requireOutside(volumeName: string, place: string): void {
    if (!this.#dependencies.steps.isOwnPlace(place)) return;
    const detail =
      `volume "${volumeName}" is not published on ${place}: that is in the agent's own folder; ` +
      'choose a path outside of it';
    throw apiError('badRequest', detail, { volume: volumeName });
  }

  async #bind(present: Attachment, entry: Published): Promise<void> {
    const { binds, steps, log } = this.#dependencies;
    const request = this.#bindRequest(present, entry);
    if (present.kind !== 'mount') await steps.setWritable(request.source, !entry.readOnly);
    await binds.bind(request, await this.#ours(present));
    log.info('volume published', { volume: present.volumeName, path: entry.targetPath });
  }

  #bindRequest(present: Attachment, entry: Published): BindRequest {
    const { volumeName, device } = present;
    const isMount = present.kind === 'mount';
    return {
      volumeName,
      source: isMount ? this.#dependencies.steps.mountpointOf(present) : (device ?? ''),
      target: entry.place,
      readOnly: isMount && entry.readOnly,
      options: isMount ? entry.mountOptions : [],
    };
  }

  async #takeBack(present: Attachment, entry: Published, keepsPlace: boolean): Promise<void> {
    try {
      await this.#unbind(present, entry, keepsPlace);
    } catch (error) {
      const fields = { volume: present.volumeName, path: entry.targetPath, error };
      this.#dependencies.log.error('a failed publish is not undone yet', fields);
    }
  }

  /** First the mount, then what is written about it. @throws ApiError inUse */
  async #unbind(present: Attachment, entry: Published, keepsPlace = false): Promise<void> {
    const { store, clock, binds, log } = this.#dependencies;
    const { volumeId, volumeName } = present;
    const isOurs = await this.#ours(present);
    const isGone = await until(
      async () =>
        (await binds.unbind(volumeName, entry.place, { isOurs, keepsPlace })) ? true : null,
      { clock, timeoutMs: PATIENCE_MS, intervalMs: POLL_INTERVAL_MS },
    );
    if (isGone !== true) {
      throw await binds.stillInUse(volumeName, entry.place, entry.targetPath);
    }
    const published = present.published.filter(({ targetPath }) => targetPath !== entry.targetPath);
    await store.put(volumeId, { ...present, published });
    log.info('volume unpublished', { volume: volumeName, path: entry.targetPath });
  }

  /**
   * Nothing is known of the path: a mount of this volume on it goes, nothing else. What the path
   * itself is, a folder or a file, is whose it was.
   */
  async #clear(present: Attachment, targetPath: string): Promise<void> {
    const { binds, steps } = this.#dependencies;
    const { volumeName } = present;
    let place: string;
    try {
      place = await binds.place(volumeName, targetPath);
    } catch {
      // Without its folder nothing can be mounted there.
      return;
    }
    if (steps.isOwnPlace(place)) return;
    await this.#turnOfPlace(place, async () => {
      if (this.#publishedOn(place) !== undefined) return;
      if ((await binds.mounted(place)) === null) return;
      const isOurs = await this.#ours(present);
      if (await binds.unbind(volumeName, place, { isOurs })) return;
      throw await binds.stillInUse(volumeName, place, targetPath);
    });
  }

  /** Within the turn of a volume, never the other way round. */
  #turnOfPlace<Answer>(place: string, work: () => Promise<Answer>): Promise<Answer> {
    return this.#dependencies.turns.take(`place ${place}`, work);
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
  const { volumeName } = present;
  const where = `volume "${volumeName}" is published on ${before.targetPath} already`;
  if (before.place !== entry.place) {
    // A link on the way was changed: what is mounted would be forgotten.
    const detail = `${where}, which then was ${before.place}: unpublish it first`;
    throw apiError('exists', detail, { volume: volumeName });
  }
  if (words(before) === words(entry)) return;
  const how = before.readOnly ? 'read-only' : 'read-write';
  const detail = `${where}, ${how} and with other words: unpublish it first`;
  throw apiError('exists', detail, { volume: volumeName });
}

/** What is staged read-only would be shown as if it could be written. */
function requireStagedWritable(present: Attachment, { stagingPath, readOnly }: Published): void {
  const consumer = present.consumers.find(({ id }) => id === stagingPath);
  if (readOnly || consumer?.readOnly !== true) return;
  const { volumeName } = present;
  const detail = `volume "${volumeName}" is staged read-only on ${stagingPath}: publish it so, too`;
  throw apiError('badRequest', detail, { volume: volumeName });
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
