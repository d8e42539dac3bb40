import {
  type AgentAttach,
  type AgentAttachAnswer,
  ApiError,
  apiError,
  type ShutdownAnswer,
} from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import { Turns } from '../host/turns.ts';
import type { Attachment, Consumer, KnownVolume } from '../state/schemas.ts';
import { recoverAttachments } from './recovery.ts';
import type { AttachSteps, StepsDependencies } from './steps.ts';

export interface AttachmentsDependencies
  extends Pick<
    StepsDependencies,
    'store' | 'known' | 'initiatorName' | 'log' | 'paths' | 'fileSystems' | 'attacher' | 'system'
  > {
  readonly steps: AttachSteps;
  readonly bootId: string;
  /** @throws ApiError notFound, or unavailable when neither apiserver nor own record knows it. */
  readonly resolve: (reference: string) => Promise<KnownVolume>;
}

export interface DetachRequest {
  readonly consumer?: string | undefined;
  readonly all?: boolean | undefined;
}

/** dockerd and others have a file open for a moment after the container has ended. */
const PATIENCE_MS = 3_000;

/** How the one reference without an id is shown; no mount id is empty. */
const NAMELESS = '(no id)';

/**
 * Who holds which volume on this node. One operation per volume at a time; every call idempotent;
 * counted by consumer; everything durable before it is answered.
 */
export class Attachments {
  readonly #dependencies: AttachmentsDependencies;
  readonly #turns = new Turns();
  /** By volume id: what is wrong with an attachment. */
  readonly #problems = new Map<string, string>();
  /** By volume id: who still has a mount that is on its way out. */
  readonly #holders = new Map<string, readonly string[]>();
  #isClosing = false;

  constructor(dependencies: AttachmentsDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * After a start: takes over what is in order, undoes what is not. Calls that come meanwhile wait
   * for the recovery of their own volume only.
   */
  async recover(): Promise<void> {
    await recoverAttachments(this.#dependencies, this.#problems, this.#turns);
  }

  /** @param reference id or name of the volume. @throws ApiError */
  async attach(reference: string, request: AgentAttach): Promise<AgentAttachAnswer> {
    const initiatorNames = this.#initiatorNames(request);
    const volume = await this.#dependencies.resolve(reference);
    return this.#turns.take(volume.id, async () => {
      if (this.#isClosing) throw closing(volume);
      this.#requireReadable(volume);
      const consumer = { id: request.consumer ?? null, readOnly: request.readOnly ?? false };
      const present = this.#dependencies.store.get(volume.id);
      if (present !== null && isUp(present)) {
        requireSameUse(present, request.as, initiatorNames);
        if (await this.#isInOrder(present)) return this.#join(present, consumer);
      }
      // Consumers that are already there keep their places in the new attachment.
      const others = present?.phase === 'attached' ? present.consumers : [];
      if (present !== null) await this.#dependencies.steps.takeDown(present, PATIENCE_MS);
      const draft = this.#draft(volume, request.as, initiatorNames);
      const consumers = withConsumer(others, consumer);
      return this.#bringUp(volume, { ...draft, consumers });
    });
  }

  /** Drops one consumer, or all; with the last one the volume is unmounted and detached. */
  async detach(reference: string, request: DetachRequest): Promise<void> {
    const volumeId = await this.#volumeIdOf(reference);
    await this.#turns.take(volumeId, async () => {
      const { store } = this.#dependencies;
      this.#requireReadable({ id: volumeId, name: reference });
      const present = store.get(volumeId);
      if (present === null) return;
      const wanted = request.consumer ?? null;
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
      await this.#leave(leaving, PATIENCE_MS);
    });
  }

  /** Tries again what could not be finished: the apiserver was away, or something was busy. */
  async retryPending(): Promise<void> {
    const { store, log } = this.#dependencies;
    for (const { volumeId, volumeName } of store.values()) {
      try {
        await this.#turns.take(volumeId, async () => {
          const present = store.get(volumeId);
          if (present?.phase === 'detaching' && !this.#isClosing) await this.#leave(present, 0);
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
    await this.#turns.take(volumeId, async () => {
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

  local(volumeId: string): { mountpoint: string; consumers: string[]; message: string } {
    const attachment = this.#dependencies.store.get(volumeId);
    const consumers = attachment === null ? [] : this.#users(attachment);
    const isThere = attachment?.phase === 'attached' || consumers.length > 0;
    return {
      mountpoint: isThere ? (attachment?.mountpoint ?? '') : '',
      consumers,
      message: this.#problems.get(volumeId) ?? '',
    };
  }

  consumers(): { volumeId: string; ids: string[] }[] {
    return this.#dependencies.store
      .values()
      .map((attachment) => ({ volumeId: attachment.volumeId, ids: this.#users(attachment) }))
      .filter(({ ids }) => ids.length > 0);
  }

  /** The consumers; of what is on its way out, those who keep it from going. */
  #users({ volumeId, phase, consumers }: Attachment): string[] {
    if (phase === 'attached') return namesOf(consumers);
    return [...(this.#holders.get(volumeId) ?? [])];
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
      const consumers = namesOf(attachment.consumers);
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
        this.#turns.take(volumeId, async () => {
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
    await this.#turns.settled();
  }

  async #bringUp(volume: KnownVolume, draft: Attachment): Promise<AgentAttachAnswer> {
    const { steps, log } = this.#dependencies;
    try {
      const attachment = await steps.bringUp(volume, draft);
      this.#problems.delete(volume.id);
      log.info('volume attached', { volume: volume.name, device: attachment.device });
      return answer(attachment);
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
      await store.put(volumeId, { ...half, phase: 'detaching', consumers: [] });
    }
  }

  /** @throws ApiError inUse: still mounted, to be tried again. */
  async #leave(leaving: Attachment, patienceMs: number): Promise<void> {
    try {
      await this.#dependencies.steps.takeDown(leaving, patienceMs);
    } catch (error) {
      this.#problems.set(leaving.volumeId, `not detached yet: ${messageOf(error)}`);
      const isInUse = error instanceof ApiError && error.code === 'inUse';
      this.#holders.set(leaving.volumeId, isInUse ? await this.#holdersOf(leaving) : []);
      throw error;
    }
    await this.#finish(leaving);
  }

  /** Local things are gone; now the record. Until the apiserver was told the file stays. */
  async #finish(attachment: Attachment): Promise<void> {
    const { store, steps, log } = this.#dependencies;
    const gone = { ...attachment, phase: 'detaching', device: null, mountpoint: null } as const;
    await store.put(attachment.volumeId, { ...gone, processes: [], consumers: [] });
    this.#problems.delete(attachment.volumeId);
    this.#holders.delete(attachment.volumeId);
    await steps.letGo(gone);
    log.info('volume detached', { volume: attachment.volumeName });
  }

  /** One more consumer of what is attached already. */
  async #join(present: Attachment, consumer: Consumer): Promise<AgentAttachAnswer> {
    const { store, fileSystems } = this.#dependencies;
    const wasReadOnly = present.consumers.every(({ readOnly }) => readOnly);
    const consumers = withConsumer(present.consumers, consumer);
    const next: Attachment = { ...present, phase: 'attached', consumers };
    await store.put(present.volumeId, next);
    this.#problems.delete(present.volumeId);
    this.#holders.delete(present.volumeId);
    if (wasReadOnly && !consumer.readOnly && present.mountpoint !== null) {
      await fileSystems.remountWritable(present.mountpoint);
    }
    return answer(next);
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
  async #volumeIdOf(reference: string): Promise<string> {
    return this.#hereAs(reference) ?? (await this.#dependencies.resolve(reference)).id;
  }

  #hereAs(reference: string): string | null {
    const here = this.#dependencies.store
      .values()
      .find(({ volumeId, volumeName }) => volumeId === reference || volumeName === reference);
    return here?.volumeId ?? null;
  }

  #draft(volume: KnownVolume, kind: Attachment['kind'], initiatorNames: string[]): Attachment {
    return {
      volumeId: volume.id,
      volumeName: volume.name,
      kind,
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

  #requireReadable({ id, name }: { id: string; name: string }): void {
    const damage = this.#dependencies.store.damage(id);
    if (damage !== null) throw apiError('internal', damage, { volume: name });
  }
}

function closing({ name }: KnownVolume): ApiError {
  const detail = `volume "${name}" cannot be attached: the agent of this node is shutting down`;
  return apiError('unavailable', `${detail}; try again when it is back`, { volume: name });
}

/** Attached, or on its way out and still as it was. */
function isUp({ phase, kind, device }: Attachment): boolean {
  return phase === 'attached' || (phase === 'detaching' && kind !== 'portal' && device !== null);
}

/** Nothing of it is left on this node: only the record has to be told. */
function isDown({ phase, device }: Attachment): boolean {
  return phase === 'detaching' && device === null;
}

function answer(attachment: Attachment): AgentAttachAnswer {
  const { volumeId, mountpoint, device } = attachment;
  const iqn = attachment.iqn ?? '';
  const portal = attachment.portal ?? '';
  return { volumeId, mountpoint, device, portal, iqn, url: `iscsi://${portal}/${iqn}/0` };
}

function namesOf(consumers: readonly Consumer[]): string[] {
  return consumers.map(({ id }) => id ?? NAMELESS);
}

function withConsumer(consumers: readonly Consumer[], consumer: Consumer): Consumer[] {
  return [...consumers.filter(({ id }) => id !== consumer.id), consumer];
}

/** Two ways of using one volume at a time would be two writers that do not know of each other. */
function requireSameUse(
  present: Attachment,
  kind: Attachment['kind'],
  initiatorNames: readonly string[],
): void {
  const isSame =
    present.kind === kind && present.initiatorNames.join(' ') === initiatorNames.join(' ');
  if (isSame) return;
  const holders = namesOf(present.consumers).join(', ');
  const use = { mount: 'mounted', device: 'attached as a device', portal: 'open to initiators' };
  throw apiError(
    'inUse',
    `volume "${present.volumeName}" is ${use[present.kind]} on this node for ${holders}: ` +
      'detach it there first',
    { volume: present.volumeName, holder: holders },
  );
}
