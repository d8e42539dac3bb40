/** Bringing one volume up on this node and taking it down again, step by step. */
import { ApiError, type ApiserverClient, apiError } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import type { Clock, Logger } from '../../core/platform/index.ts';
import type { FileSystemState } from '../../core/volume/record.ts';
import type { BindMounts } from '../filesystem/bind-mounts.ts';
import type { FileSystems } from '../filesystem/file-systems.ts';
import { findHolders, type Holder } from '../filesystem/holders.ts';
import { recordAccess } from '../filesystem/record-access.ts';
import { type Commands, runOk } from '../host/commands.ts';
import { isBelow, type MountEntry, mountedOn, readMounts } from '../host/mount-table.ts';
import type { SystemFiles } from '../host/system-files.ts';
import { until } from '../host/time.ts';
import type { StoreGuard } from '../node/store-guard.ts';
import type { JsonFolder } from '../state/json-folder.ts';
import type { Attachment, KnownVolume } from '../state/schemas.ts';
import type { StatePaths } from '../state/state-folder.ts';
import type { KnownVolumes } from '../volumes/known-volumes.ts';
import type { DeviceAttacher, DeviceRequest } from './device.ts';

/** What the attachment needs of the targets of this node. */
export interface LocalTargets {
  attachmentOf(volumeId: string): { token: string; iqn: string; portal: string } | null;
  waitServing(volumeId: string, token: string, timeoutMs: number): Promise<void>;
}

export interface StepsDependencies {
  readonly node: string;
  /** Under which this node's own devices log in. */
  readonly initiatorName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly paths: StatePaths;
  readonly system: SystemFiles;
  readonly store: JsonFolder<Attachment>;
  readonly apiserver: ApiserverClient;
  readonly guard: StoreGuard;
  readonly known: KnownVolumes;
  readonly targets: LocalTargets;
  readonly fileSystems: FileSystems;
  readonly binds: BindMounts;
  readonly commands: Commands;
  /** Null: this node cannot attach; then `attacherLack` says why. */
  readonly attacher: DeviceAttacher | null;
  readonly attacherLack: string;
}

/** A booting cluster's target waits up to 60 s for replicas (R10), and 4.4 s for a lease (R11). */
const SERVING_TIMEOUT_MS = 75_000;
const BUSY_POLL_INTERVAL_MS = 100;
/**
 * A container that ends takes its mounts with it before anybody hears of its end. One that has them
 * for longer goes on: dockerd unmounts after each `docker cp`, also while the container runs.
 */
const OWN_MOUNT_PATIENCE_MS = 500;
const BLOCKDEV_TIMEOUT_MS = 10_000;
const FORCED_SYNC_TIMEOUT_MS = 10_000;

export class AttachSteps {
  readonly #dependencies: StepsDependencies;

  constructor(dependencies: StepsDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * From nothing to attached. Each step is written down before the next, so that a crash leaves
   * nothing that is not known. @throws ApiError; the caller undoes.
   */
  async bringUp(volume: KnownVolume, draft: Attachment): Promise<Attachment> {
    const { store, targets } = this.#dependencies;
    let attachment = draft;
    const save = async (change: Partial<Attachment>) => {
      attachment = { ...attachment, ...change };
      await store.put(volume.id, attachment);
    };
    if (draft.kind !== 'portal') this.#requireAttacher();
    if (draft.kind === 'mount' && volume.fileSystem === 'none') throw noFileSystem(volume);
    await save({});
    const grant = await this.#grant(volume, draft);
    await save(grant);
    await targets.waitServing(volume.id, grant.token, SERVING_TIMEOUT_MS);
    if (draft.kind !== 'portal') {
      const request = this.deviceRequest(volume.id, grant);
      const attached = await this.#device(volume, request);
      await save({ device: attached.device, processes: [...attached.processes] });
      // The kernel keeps the flag of a loop device for whoever comes next.
      await this.setWritable(attached.device, true);
      if (draft.kind === 'mount') await save(await this.#mount(volume, attachment));
    }
    await save({ phase: 'attached' });
    return attachment;
  }

  /** Mounts what is attached: file system made, checked, mounted. @throws ApiError */
  async #mount(volume: KnownVolume, attachment: Attachment): Promise<{ mountpoint: string }> {
    const { fileSystems, paths, known } = this.#dependencies;
    const device = attachment.device ?? '';
    const state = await this.#fileSystem(volume, device);
    if (state.kind === 'none') throw noFileSystem(volume);
    await known.rememberState(volume.id, state);
    const mountpoint = paths.mountpoint(volume.id);
    await fileSystems.mount({
      volumeName: volume.name,
      device,
      kind: state.kind,
      mountpoint,
      readOnly: attachment.consumers.every(({ readOnly }) => readOnly),
      mountOptions: attachment.consumers[0]?.mountOptions ?? [],
    });
    return { mountpoint };
  }

  mountpointOf({ volumeId }: Attachment): string {
    return this.#dependencies.paths.mountpoint(volumeId);
  }

  /** Whether a path is, or lies in, the agent's own folder. */
  isOwnPlace(place: string): boolean {
    const { root } = this.#dependencies.paths;
    return place === root || isBelow(place, root);
  }

  /** Before it is shown somewhere: the device in order, and mounted. @throws ApiError */
  async restore(attachment: Attachment): Promise<void> {
    const { fileSystems, known } = this.#dependencies;
    const { volumeName, volumeId, kind } = attachment;
    const damage = await this.damage(attachment);
    if (damage !== null) {
      const detail = `volume "${volumeName}" cannot be used here now: ${damage}`;
      throw apiError('unavailable', detail, { volume: volumeName });
    }
    if (kind !== 'mount') return;
    if ((await fileSystems.mounted(this.mountpointOf(attachment))) !== null) return;
    const volume = known.find(volumeId);
    if (volume === null) {
      // What is bound then would be an empty folder of this node.
      const detail = `volume "${volumeName}" is not mounted here, and nothing is known of it`;
      throw apiError('unavailable', detail, { volume: volumeName });
    }
    await this.remount(volume, attachment);
  }

  /** The kernel's one flag of a block device (BLKROSET). */
  async setWritable(device: string, writable: boolean): Promise<void> {
    const line = ['blockdev', writable ? '--setrw' : '--setro', device] as const;
    await runOk(this.#dependencies.commands, line, { timeoutMs: BLOCKDEV_TIMEOUT_MS });
  }

  /** Its number may be somebody else's device next. */
  async #leaveWritable({ kind, device, volumeName }: Attachment): Promise<void> {
    if (kind !== 'device' || device === null) return;
    try {
      await this.setWritable(device, true);
    } catch (error) {
      this.#dependencies.log.warn('device not set writable', { volume: volumeName, error });
    }
  }

  /** Whether a mount shows this volume: its file system, or its device node. */
  async ours(attachment: Attachment): Promise<(mount: MountEntry) => boolean> {
    const { device, kind } = attachment;
    if (kind === 'device') {
      const node = device?.slice(device.lastIndexOf('/')) ?? null;
      return ({ root, fileSystem }) => root === node && fileSystem === 'devtmpfs';
    }
    const mounts = await readMounts(this.#dependencies.system);
    const own = mountedOn(mounts, this.mountpointOf(attachment));
    return ({ device: number, source }) =>
      (own !== null && number === own.device) || (device !== null && source === device);
  }

  /** Takes away what is shown elsewhere. @throws ApiError inUse */
  async #unpublish(attachment: Attachment, patienceMs: number): Promise<void> {
    const { binds, clock } = this.#dependencies;
    const { volumeName, published } = attachment;
    const isOurs = await this.ours(attachment);
    for (const { place, targetPath } of published) {
      const isGone = await until(
        async () => ((await binds.unbind(volumeName, place, { isOurs })) ? true : null),
        { clock, timeoutMs: patienceMs, intervalMs: BUSY_POLL_INTERVAL_MS },
      );
      if (isGone === true) continue;
      throw await binds.stillInUse(volumeName, place, targetPath);
    }
  }

  /** Mounts again what was unmounted behind the agent's back. @throws ApiError */
  async remount(volume: KnownVolume, attachment: Attachment): Promise<void> {
    await this.#mount(volume, attachment);
  }

  /**
   * Unmounts and detaches. What is already gone is fine. @throws ApiError inUse, with the names of
   * those who use it, and then it is still mounted as before.
   * @param patienceMs how long to wait for them to finish.
   */
  async takeDown(attachment: Attachment, patienceMs: number): Promise<void> {
    const { fileSystems, paths, attacher } = this.#dependencies;
    const mountpoint = paths.mountpoint(attachment.volumeId);
    await this.#unpublish(attachment, patienceMs);
    await this.#leaveWritable(attachment);
    if (attachment.kind === 'mount' && (await fileSystems.mounted(mountpoint)) !== null) {
      await this.#unmount(attachment, mountpoint, patienceMs);
    }
    if (attachment.kind !== 'portal') await attacher?.detach(deviceName(attachment));
  }

  /**
   * As `takeDown`, but those who use it lose it, and a target that does not answer keeps nobody
   * waiting. Errors are logged: the rest must go on.
   */
  async tearDown(attachment: Attachment): Promise<void> {
    const { fileSystems, paths, attacher, log } = this.#dependencies;
    const mountpoint = paths.mountpoint(attachment.volumeId);
    if (attachment.kind === 'portal') return;
    try {
      if (attachment.kind === 'mount') {
        await fileSystems.sync(mountpoint, FORCED_SYNC_TIMEOUT_MS);
      }
      await this.takeDown(attachment, 0);
      return;
    } catch (error) {
      log.warn('detaching by force', { volume: attachment.volumeName, error });
    }
    const isOurs = await this.ours(attachment);
    const { binds } = this.#dependencies;
    const { volumeName } = attachment;
    for (const step of [
      ...attachment.published.map(
        ({ place }) =>
          async () =>
            void (await binds.unbind(volumeName, place, { isOurs, lazily: true })),
      ),
      () => fileSystems.unmountLazily(mountpoint),
      async () => attacher?.destroy(deviceName(attachment)),
    ]) {
      try {
        await step();
      } catch (error) {
        log.error('forced detach', { volume: attachment.volumeName, error });
      }
    }
  }

  /** Clears the attachment in the record. False: the apiserver is away, to be told later. */
  async letGo(attachment: Attachment): Promise<boolean> {
    const { apiserver, node, store, guard } = this.#dependencies;
    try {
      guard.requireTrust();
      await apiserver.detach(attachment.volumeId, node);
    } catch (error) {
      // Somebody else's by now, or no such volume: either way it is not ours any more.
      const isSettled =
        error instanceof ApiError && (error.code === 'inUse' || error.code === 'notFound');
      if (!isSettled) {
        this.#dependencies.log.warn('detach not told', { volume: attachment.volumeName, error });
        return false;
      }
    }
    await store.remove(attachment.volumeId);
    return true;
  }

  /** Null: in order; else what is broken about its device. */
  async damage(attachment: Attachment): Promise<string | null> {
    const { attacher } = this.#dependencies;
    const { device, iqn, portal, processes } = attachment;
    if (attachment.kind === 'portal') return null;
    if (attacher === null) return this.#dependencies.attacherLack;
    if (device === null || iqn === null || portal === null) return 'it was never whole';
    const request = this.deviceRequest(attachment.volumeId, { iqn, portal });
    return attacher.damage(request, { device, processes });
  }

  /** Who uses the mounted volume; nobody where nothing is mounted. */
  async holders(attachment: Attachment, depth: 'mounts' | 'all'): Promise<readonly Holder[]> {
    const { system, paths } = this.#dependencies;
    return findHolders(system, paths.mountpoint(attachment.volumeId), depth);
  }

  deviceRequest(volumeId: string, grant: { iqn: string; portal: string }): DeviceRequest {
    const { initiatorName } = this.#dependencies;
    return { volumeId, iqn: grant.iqn, portal: grant.portal, initiatorName };
  }

  /** Writes the attachment into the record, or finds it there (R4). */
  async #grant(volume: KnownVolume, draft: Attachment) {
    const { apiserver, node, guard, known, targets } = this.#dependencies;
    try {
      guard.requireTrust();
      const body = { node, door: draft.door, initiatorNames: [...draft.initiatorNames] };
      const { volume: view, token, iqn, portal } = await apiserver.attach(volume.id, body);
      await known.remember(view);
      return { token, iqn, portal };
    } catch (error) {
      const isAway = error instanceof ApiError && error.code === 'unavailable';
      const running = targets.attachmentOf(volume.id);
      // R4: with the apiserver away the target that still runs may be used; none is started.
      if (!isAway || running === null) throw error;
      return running;
    }
  }

  async #device(volume: KnownVolume, request: DeviceRequest) {
    try {
      return await this.#requireAttacher().attach(request);
    } catch (cause) {
      if (cause instanceof ApiError) throw cause;
      const detail = `volume "${volume.name}" cannot be attached: ${messageOf(cause)}`;
      throw apiError('internal', detail, { volume: volume.name, cause });
    }
  }

  async #fileSystem(volume: KnownVolume, device: string): Promise<FileSystemState> {
    const { fileSystems, apiserver, guard, known } = this.#dependencies;
    const record = recordAccess(volume.id, apiserver, (revision) => {
      guard.saw(revision);
    });
    const { name: volumeName, fileSystemOptions: options } = volume;
    try {
      guard.requireTrust();
      return await fileSystems.prepare({ volumeName, device, options, record });
    } catch (error) {
      const seen = known.find(volume.id)?.state ?? null;
      const isAway = error instanceof ApiError && error.code === 'unavailable';
      if (!isAway || seen === null) throw error;
      await fileSystems.verify(volumeName, device, seen);
      return seen;
    }
  }

  async #unmount(attachment: Attachment, mountpoint: string, patienceMs: number): Promise<void> {
    const { fileSystems, clock } = this.#dependencies;
    const runningAtMs = clock.nowMs() + OWN_MOUNT_PATIENCE_MS;
    const isGone = await until(
      async () => {
        const withOwnMount = await this.holders(attachment, 'mounts');
        if (withOwnMount.length > 0) return clock.nowMs() >= runningAtMs ? false : null;
        return (await fileSystems.unmount(mountpoint)) ? true : null;
      },
      { clock, timeoutMs: patienceMs, intervalMs: BUSY_POLL_INTERVAL_MS },
    );
    if (isGone !== true) throw busy(attachment, await this.holders(attachment, 'all'));
  }

  #requireAttacher(): DeviceAttacher {
    const { attacher, attacherLack, node } = this.#dependencies;
    if (attacher !== null) return attacher;
    throw apiError('unavailable', `node ${node} cannot attach volumes: ${attacherLack}`);
  }
}

/** Without a grant nothing was logged in to: empty names then match nothing. */
function deviceName({ volumeId, iqn, portal }: Attachment) {
  return { volumeId, iqn: iqn ?? '', portal: portal ?? '' };
}

function busy(attachment: Attachment, holders: readonly Holder[]) {
  const names = holders.map(({ name }) => name).join(', ');
  return apiError(
    'inUse',
    `volume "${attachment.volumeName}" is in use by ${names || 'somebody who cannot be named'}: ` +
      'stop that first',
    { volume: attachment.volumeName, holder: names },
  );
}

function noFileSystem({ name }: KnownVolume) {
  return apiError(
    'badRequest',
    `volume "${name}" has no file system (fs=none): attach it as a device`,
    { volume: name },
  );
}
