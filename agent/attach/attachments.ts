import {
  type AgentAttach,
  type AgentAttachAnswer,
  type AgentDetach,
  ApiError,
  apiError,
  DEFAULT_DOOR,
  type Door,
  type Holder,
  holderText,
  NAMELESS_CONSUMER,
  type ShutdownAnswer,
  type Stage,
} from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import { parseMountOptions } from '../filesystem/mount-options.ts';
import type { Turns } from '../host/turns.ts';
import type { Attachment, Consumer, KnownVolume } from '../state/schemas.ts';
import { recoverAttachments } from './recovery.ts';
import type { AttachSteps, StepsDependencies } from './steps.ts';
import {
  answer,
  attachedAs,
  isDown,
  isOfAnother,
  isUp,
  requireNothingShown,
  requireSameOptions,
  requireSameStaging,
  requireSameUse,
  requireUnpublished,
  withConsumer,
} from './uses.ts';

export interface AttachmentsDependencies
  extends Pick<
    StepsDependencies,
    | 'node'
    | 'store'
    | 'known'
    | 'initiatorName'
    | 'log'
    | 'paths'
    | 'fileSystems'
    | 'attacher'
    | 'system'
  > {
  readonly steps: AttachSteps;
  /** One operation per volume at a time, with whoever else works on attachments. */
  readonly turns: Turns;
  readonly bootId: string;
  /** @throws ApiError notFound, or unavailable when neither apiserver nor own record knows it. */
  readonly resolve: (reference: string) => Promise<KnownVolume>;
}

/** What is attached on this node, as the answers about volumes tell it. */
export interface LocalAttachment {
  readonly mountpoint: string;
  readonly holders: readonly Holder[];
  /** What is wrong with it here; empty when all is well. */
  readonly message: string;
}

interface Attaching {
  readonly kind: Attachment['kind'];
  readonly door: Door;
  readonly initiatorNames: string[];
  readonly consumer: Consumer;
  readonly isStaging?: boolean;
}

/** dockerd and others have a file open for a moment after the container has ended. */
const PATIENCE_MS = 3_000;

/**
 * Who holds which volume on this node. One operation per volume at a time; every call idempotent;
 * counted by consumer; everything durable before it is answered.
 */
export class Attachments {
  readonly #dependencies: AttachmentsDependencies;
  /** By volume id: what is wrong with an attachment. */
  readonly #problems = new Map<string, string>();
  /** By volume id: who still has a mount that is on its way out. */
  readonly #stayers = new Map<string, readonly string[]>();
  /** By volume id: whose last use it was that is on its way out; not known after a restart. */
  readonly #leavers = new Map<string, ReadonlySet<string | null>>();
  #isClosing = false;

  constructor(dependencies: AttachmentsDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * After a start: takes over what is in order, undoes what is not. Calls that come meanwhile wait
   * for the recovery of their own volume only.
   */
  async recover(): Promise<void> {
    const { turns } = this.#dependencies;
    await recoverAttachments(this.#dependencies, this.#problems, turns);
  }

  /** @param reference id or name of the volume. @throws ApiError */
  async attach(reference: string, request: AgentAttach): Promise<AgentAttachAnswer> {
    const initiatorNames = this.#initiatorNames(request);
    const volume = await this.#dependencies.resolve(reference);
    const { consumer: id = null, readOnly = false, door = DEFAULT_DOOR, label = '' } = request;
    const consumer: Consumer = { id, readOnly, label, mountOptions: [] };
    return this.#attach(volume, { kind: request.as, door, initiatorNames, consumer });
  }

  /** An attach whose consumer is a staging path (CSI NodeStageVolume). @throws ApiError */
  async stage(reference: string, request: Stage): Promise<AgentAttachAnswer> {
    const { stagingPath: id, door, as: kind, readOnly = false, label = '' } = request;
    const volume = await this.#dependencies.resolve(reference);
    const { ofMount, ofFileSystem } = parseMountOptions(volume.name, request.mountOptions ?? []);
    if (request.fileSystem !== undefined && volume.fileSystem !== request.fileSystem) {
      const has = volume.fileSystem === 'none' ? 'no file system' : volume.fileSystem;
      const detail = `volume "${volume.name}" has ${has}, not ${request.fileSystem}`;
      throw apiError('badRequest', detail, { volume: volume.name });
    }
    if (kind === 'device' && volume.fileSystem !== 'none') {
      const detail =
        `volume "${volume.name}" has the file system ${volume.fileSystem}: stage it as a mount; ` +
        'a raw device is made with fs=none';
      throw apiError('badRequest', detail, { volume: volume.name });
    }
    const isReadOnly = readOnly || ofMount.includes('ro');
    const consumer = { id, readOnly: isReadOnly, label, mountOptions: [...ofFileSystem] };
    const initiatorNames = [this.#dependencies.initiatorName];
    return this.#attach(volume, { kind, door, initiatorNames, consumer, isStaging: true });
  }

  async #attach(volume: KnownVolume, request: Attaching): Promise<AgentAttachAnswer> {
    const { kind, door, initiatorNames, consumer, isStaging = false } = request;
    return this.#dependencies.turns.take(volume.id, async () => {
      if (this.#isClosing) throw closing(volume);
      this.#requireReadable(volume);
      const present = this.#dependencies.store.get(volume.id);
      if (present !== null && isUp(present)) {
        this.#requireDoor(present, door);
        requireSameUse(present, kind, initiatorNames);
        requireSameOptions(present, consumer);
        if (isStaging) requireSameStaging(present, consumer);
        if (await this.#isInOrder(present)) return this.#join({ ...present, door }, consumer);
      }
      if (present !== null) requireNothingShown(present);
      // Consumers that are already there keep their places in the new attachment.
      const others = present?.phase === 'attached' ? present.consumers : [];
      if (present !== null) await this.#dependencies.steps.takeDown(present, PATIENCE_MS);
      this.#leavers.delete(volume.id);
      const draft = this.#draft(volume, request);
      const consumers = withConsumer(others, consumer);
      return this.#bringUp(volume, { ...draft, consumers });
    });
  }

  /** Drops one consumer, or all; with the last one the volume is unmounted and detached. */
  async detach(reference: string, request: AgentDetach): Promise<void> {
    const volumeId = await this.volumeIdOf(reference);
    await this.#dependencies.turns.take(volumeId, async () => {
      const { store } = this.#dependencies;
      this.#requireReadable({ id: volumeId, name: reference });
      const present = store.get(volumeId);
      if (present === null || isOfAnother(present, request)) return;
      const wanted = request.consumer ?? null;
      if (request.all !== true) requireUnpublished(present, wanted);
      const leavers = this.#leavers.get(volumeId);
      // A late clean-up of who never had it must not fail because of those who have.
      const isOthers = leavers !== undefined && !leavers.has(wanted) && request.all !== true;
      if (present.phase === 'detaching' && isOthers) return;
      const consumers =
        request.all === true ? [] : present.consumers.filter(({ id }) => id !== wanted);
      if (present.phase === 'attached' && consumers.length > 0) {
        if (consumers.length < present.consumers.length) {
          await store.put(volumeId, { ...present, consumers });
        }
        return;
      }
      // The consumer has let go, whatever comes: nobody will say so a second time. A mount that
      // is still busy then is unmounted as soon as it is not, or taken up again by an attach.
      const leaving: Attachment = { ...present, phase: 'detaching', consumers: [] };
      await store.put(volumeId, leaving);
      if (present.phase === 'attached') {
        this.#leavers.set(volumeId, new Set(present.consumers.map(({ id }) => id)));
      }
      await this.#leave(leaving, PATIENCE_MS);
    });
  }

  /** Tries again what could not be finished: the apiserver was away, or something was busy. */
  async retryPending(): Promise<void> {
    const { store, log } = this.#dependencies;
    for (const { volumeId, volumeName } of store.values()) {
      try {
        await this.#dependencies.turns.take(volumeId, async () => {
          const present = store.get(volumeId);
          // In nobody's turn a half attached one is what could not be undone, nor written down.
          if (present === null || present.phase === 'attached' || this.#isClosing) return;
          await this.#leave({ ...present, phase: 'detaching', consumers: [] }, 0);
        });
      } catch (error) {
        log.debug('detach still pending', { volume: volumeName, error });
      }
    }
  }

  /**
   * Before a deletion: what was busy when its last consumer left may be free by now.
   * @throws ApiError inUse
   */
  async finishDetach(reference: string): Promise<void> {
    const volumeId = this.#hereAs(reference);
    if (volumeId === null) return;
    await this.#dependencies.turns.take(volumeId, async () => {
      const present = this.#dependencies.store.get(volumeId);
      if (present?.phase === 'detaching') await this.#leave(present, PATIENCE_MS);
    });
  }

  /** Looks whether what is attached still is, for the messages about volumes. */
  async inspect(): Promise<void> {
    for (const attachment of this.#dependencies.store.values()) {
      const { volumeId } = attachment;
      if (attachment.phase !== 'attached') continue;
      const damage = await this.#dependencies.steps.damage(attachment);
      if (damage === null) this.#problems.delete(volumeId);
      else this.#problems.set(volumeId, `${damage}: stop what uses it, it is attached anew then`);
    }
  }

  /** Whether a device of this node hangs on the target that serves this attachment token. */
  usesTarget(volumeId: string, token: string): boolean {
    const attachment = this.#dependencies.store.get(volumeId);
    if (attachment === null || attachment.kind === 'portal') return false;
    return attachment.token === token && !isDown(attachment);
  }

  local(volumeId: string): LocalAttachment {
    const attachment = this.#dependencies.store.get(volumeId);
    const holders = attachment === null ? [] : this.#users(attachment);
    const isThere = attachment?.phase === 'attached' || holders.length > 0;
    return {
      mountpoint: isThere ? (attachment?.mountpoint ?? '') : '',
      holders,
      message: this.#problems.get(volumeId) ?? '',
    };
  }

  consumers(): { volumeId: string; holders: Holder[] }[] {
    return this.#dependencies.store
      .values()
      .map((attachment) => ({
        volumeId: attachment.volumeId,
        holders: this.#users(attachment),
      }))
      .filter(({ holders }) => holders.length > 0);
  }

  /** The consumers; of what is on its way out, those who keep it from going. */
  #users(attachment: Attachment): Holder[] {
    if (attachment.phase === 'attached') return this.#consumersOf(attachment);
    const { node } = this.#dependencies;
    const { door, volumeId } = attachment;
    const stayers = this.#stayers.get(volumeId) ?? [];
    return stayers.map((id) => ({ node, door, id, label: '', paths: [] }));
  }

  problems(): readonly string[] {
    const { known, store } = this.#dependencies;
    const named = [...this.#problems].map(([id, text]) => `volume "${known.nameOf(id)}": ${text}`);
    return [...named, ...store.damages()];
  }

  /** What is in use now, with the names of those who use it. Mounted volumes are synced. */
  async inUse(): Promise<ShutdownAnswer['inUse']> {
    const uses = this.#dependencies.store.values().map(async (attachment) => {
      const holders = await this.#holdersOf(attachment);
      // On its way out: in use only as long as somebody keeps it from going.
      if (attachment.phase !== 'attached' && holders.length === 0) return [];
      await this.#sync(attachment);
      const mountpoint = attachment.mountpoint ?? attachment.device ?? attachment.portal ?? '';
      const consumers = this.#consumersOf(attachment).map(holderText);
      return [{ volume: attachment.volumeName, mountpoint, consumers, holders }];
    });
    return (await Promise.all(uses)).flat();
  }

  async #holdersOf(attachment: Attachment): Promise<string[]> {
    if (attachment.kind !== 'mount') return [];
    const holders = await this.#dependencies.steps.holders(attachment, 'all');
    return holders.map(({ name }) => name);
  }

  /** For a shutdown: everything is detached; by force also what is in use. */
  async detachAll(force: boolean): Promise<void> {
    this.#isClosing = true;
    const { store, steps } = this.#dependencies;
    await Promise.all(
      store.ids().map((volumeId) =>
        this.#dependencies.turns.take(volumeId, async () => {
          const present = store.get(volumeId);
          if (present === null) return;
          if (force) await steps.tearDown(present);
          else await steps.takeDown(present, PATIENCE_MS);
          await this.#finish(present);
        }),
      ),
    );
  }

  reopen(): void {
    this.#isClosing = false;
  }

  async settled(): Promise<void> {
    this.#isClosing = true;
    await this.#dependencies.turns.settled();
  }

  async #bringUp(volume: KnownVolume, draft: Attachment): Promise<AgentAttachAnswer> {
    const { steps, log } = this.#dependencies;
    try {
      const attachment = await steps.bringUp(volume, draft);
      this.#problems.delete(volume.id);
      log.info('volume attached', { volume: volume.name, device: attachment.device });
      return answer(attachment, this.#consumersOf(attachment));
    } catch (error) {
      await this.#undo(volume.id);
      throw error;
    }
  }

  /** After a failed attach nothing is left; what cannot be undone now is tried again later. */
  async #undo(volumeId: string): Promise<void> {
    const { store, steps, log } = this.#dependencies;
    const half = store.get(volumeId);
    if (half === null) return;
    try {
      await steps.takeDown(half, PATIENCE_MS);
      await this.#finish(half);
    } catch (error) {
      log.error('a failed attach is not undone yet', { volume: half.volumeName, error });
      const leaving: Attachment = { ...half, phase: 'detaching', consumers: [] };
      // Not even written down: the retries find it half attached.
      await store.put(volumeId, leaving).catch(() => undefined);
    }
  }

  /** @throws ApiError inUse: still mounted, to be tried again. */
  async #leave(leaving: Attachment, patienceMs: number): Promise<void> {
    try {
      await this.#dependencies.steps.takeDown(leaving, patienceMs);
    } catch (error) {
      const isInUse = error instanceof ApiError && error.code === 'inUse';
      const holders = isInUse ? await this.#holdersOf(leaving) : [];
      this.#stayers.set(leaving.volumeId, holders);
      const why = holders.length > 0 ? `in use by ${holders.join(', ')}` : messageOf(error);
      this.#problems.set(leaving.volumeId, `detached as soon as possible: ${why}`);
      throw error;
    }
    await this.#finish(leaving);
  }

  /** Local things are gone; now the record. Until the apiserver was told the file stays. */
  async #finish(attachment: Attachment): Promise<void> {
    const { store, steps, log } = this.#dependencies;
    const gone = { ...attachment, phase: 'detaching', device: null, mountpoint: null } as const;
    await store.put(attachment.volumeId, {
      ...gone,
      processes: [],
      consumers: [],
      published: [],
    });
    this.#problems.delete(attachment.volumeId);
    this.#stayers.delete(attachment.volumeId);
    this.#leavers.delete(attachment.volumeId);
    await steps.letGo(gone);
    log.info('volume detached', { volume: attachment.volumeName });
  }

  /** One more consumer of what is attached already. */
  async #join(present: Attachment, consumer: Consumer): Promise<AgentAttachAnswer> {
    const { store, fileSystems } = this.#dependencies;
    const wasReadOnly = present.consumers.every(({ readOnly }) => readOnly);
    const consumers = withConsumer(present.consumers, consumer);
    const next: Attachment = { ...present, phase: 'attached', consumers };
    // First: a writer is never written down over a mount that cannot be written.
    if (wasReadOnly && !consumer.readOnly && present.mountpoint !== null) {
      await fileSystems.remountWritable(present.mountpoint);
    }
    await store.put(present.volumeId, next);
    this.#problems.delete(present.volumeId);
    this.#stayers.delete(present.volumeId);
    return answer(next, this.#consumersOf(next));
  }

  async #isInOrder(present: Attachment): Promise<boolean> {
    const { steps, fileSystems } = this.#dependencies;
    if ((await steps.damage(present)) !== null) return false;
    if (present.mountpoint === null) return true;
    return (await fileSystems.mounted(present.mountpoint)) !== null;
  }

  async #sync(attachment: Attachment): Promise<void> {
    const { fileSystems, log } = this.#dependencies;
    if (attachment.mountpoint === null) return;
    try {
      await fileSystems.sync(attachment.mountpoint);
    } catch (error) {
      log.warn('sync failed', { volume: attachment.volumeName, error });
    }
  }

  /** Without the apiserver, and of a volume that is gone: what is attached here is known here. */
  async volumeIdOf(reference: string): Promise<string> {
    return this.#hereAs(reference) ?? (await this.#dependencies.resolve(reference)).id;
  }

  #hereAs(reference: string): string | null {
    return attachedAs(this.#dependencies.store.values(), reference)?.volumeId ?? null;
  }

  #draft(volume: KnownVolume, { kind, door, initiatorNames }: Attaching): Attachment {
    return {
      volumeId: volume.id,
      volumeName: volume.name,
      kind,
      door,
      initiatorNames,
      phase: 'attaching',
      bootId: this.#dependencies.bootId,
      token: null,
      iqn: null,
      portal: null,
      device: null,
      mountpoint: null,
      processes: [],
      consumers: [],
      published: [],
    };
  }

  #initiatorNames(request: AgentAttach): string[] {
    const names = request.initiatorNames ?? [];
    if (request.as !== 'portal') {
      if (names.length === 0) return [this.#dependencies.initiatorName];
      throw apiError('badRequest', 'initiatorNames go with as=portal only');
    }
    if (names.includes('any')) {
      if (names.length === 1) return ['*'];
      throw apiError('badRequest', 'initiatorNames: any stands alone');
    }
    if (names.length > 0) return [...names].sort();
    throw apiError('badRequest', 'initiatorNames: name the initiators that may log in, or any');
  }

  #consumersOf({ door, consumers, published }: Attachment): Holder[] {
    const { node } = this.#dependencies;
    return consumers.map(({ id, label }) => {
      const own = published.filter(({ stagingPath }) => stagingPath === id);
      const labels = [...new Set([label, ...own.map((entry) => entry.label)])];
      return {
        node,
        door,
        id: id ?? NAMELESS_CONSUMER,
        label: labels.filter((text) => text !== '').join(', '),
        paths: own.map(({ targetPath }) => targetPath),
      };
    });
  }

  /** Two orchestrators do not know of each other: one at a time, also on one node. */
  #requireDoor(present: Attachment, door: Door): void {
    if (present.door === door) return;
    const users = this.#users(present).map(holderText);
    // On its way out, and nobody keeps it: it may go on as somebody else's.
    if (present.phase !== 'attached' && users.length === 0) return;
    const holder = users.join(', ');
    const { node } = this.#dependencies;
    throw apiError(
      'inUse',
      `volume "${present.volumeName}" is in use by ${holder} on node ${node}, and cannot be used ` +
        `through ${door}: stop that first`,
      { volume: present.volumeName, holder: `${holder} on node ${node}` },
    );
  }

  #requireReadable({ id, name }: { id: string; name: string }): void {
    const damage = this.#dependencies.store.damage(id);
    if (damage !== null) throw apiError('internal', damage, { volume: name });
  }
}

function closing({ name }: KnownVolume): ApiError {
  const detail = `volume "${name}" cannot be attached: the agent of this node is shutting down`;
  return apiError('unavailable', `${detail}; try again when it is back`, { volume: name });
}
