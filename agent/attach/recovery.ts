/** What an agent finds when it starts: what its durable state says against what is really there. */
import { messageOf } from '../../core/errors.ts';
import { isBelow, readMounts } from '../host/mount-table.ts';
import type { Attachment } from '../state/schemas.ts';
import type { AttachmentsDependencies } from './attachments.ts';

/**
 *     in the file                on the machine              then
 *     attached, same boot        device and mount in order   taken over
 *     attached, same boot        device in order, no mount   mounted again
 *     attached, same boot        device broken               told; the next attach renews it
 *     attached, earlier boot     nothing can be              consumers dropped, record told
 *     attaching, detaching       whatever is left            undone, record told
 *     no file                    a mount of ours             unmounted
 *
 * @param problems by volume id, for what cannot be put in order now.
 */
export async function recoverAttachments(
  dependencies: AttachmentsDependencies,
  problems: Map<string, string>,
): Promise<void> {
  for (const attachment of dependencies.store.values()) {
    try {
      await recoverOne(dependencies, attachment, problems);
    } catch (error) {
      dependencies.log.error('attachment not recovered', {
        volume: attachment.volumeName,
        error,
      });
      problems.set(attachment.volumeId, messageOf(error));
    }
  }
  await removeStale(dependencies);
}

async function recoverOne(
  dependencies: AttachmentsDependencies,
  attachment: Attachment,
  problems: Map<string, string>,
): Promise<void> {
  const { store, steps, bootId, log } = dependencies;
  const { volumeId, volumeName } = attachment;
  if (attachment.phase === 'attached' && attachment.bootId === bootId) {
    await takeOver(dependencies, attachment, problems);
    return;
  }
  log.info('undoing an attachment', { volume: volumeName, phase: attachment.phase });
  // Whatever happens next, the retries find it as something on its way out.
  const leaving = { ...attachment, phase: 'detaching', consumers: [] } as const;
  await store.put(volumeId, { ...leaving, consumers: [] });
  await steps.takeDown({ ...leaving, consumers: [] }, 0);
}

async function takeOver(
  dependencies: AttachmentsDependencies,
  attachment: Attachment,
  problems: Map<string, string>,
): Promise<void> {
  const { steps, fileSystems, known, log } = dependencies;
  const damage = await steps.damage(attachment);
  if (damage !== null) {
    problems.set(attachment.volumeId, damage);
    return;
  }
  const { mountpoint, volumeName } = attachment;
  if (mountpoint === null || (await fileSystems.mounted(mountpoint)) !== null) return;
  const volume = known.find(attachment.volumeId);
  if (volume === null) return;
  log.warn('mounting again', { volume: volumeName });
  await steps.remount(volume, attachment);
}

/** Mounts and devices below the state folder that no file knows: never while somebody uses them. */
async function removeStale(dependencies: AttachmentsDependencies): Promise<void> {
  const { paths, system, store, fileSystems, attacher, log } = dependencies;
  const known = new Set(store.ids().map((volumeId) => paths.mountpoint(volumeId)));
  const mounts = await readMounts(system);
  for (const { mountPoint } of mounts.filter((mount) => isBelow(mount.mountPoint, paths.mounts))) {
    if (known.has(mountPoint)) continue;
    const isGone = await fileSystems.unmount(mountPoint);
    log.warn('stale mount', { mountPoint, isGone });
  }
  const folders = new Set(store.ids().map((volumeId) => paths.attachFolder(volumeId)));
  for (const name of await system.names(paths.run)) {
    const id = /^a-([0-9a-f]{12})$/.exec(name)?.[1];
    if (id === undefined || folders.has(paths.attachFolder(id))) continue;
    log.warn('stale attachment', { name });
    await attacher?.detach({ volumeId: id, iqn: '', portal: '' });
  }
}
