/** What an agent finds when it starts: what its durable state says against what is really there. */
import { messageOf } from '../../core/errors.ts';
import { isBelow, readMounts } from '../host/mount-table.ts';
import type { Turns } from '../host/turns.ts';
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
 * Each volume in its own turn, taken before anything is awaited: whoever asks for it comes after.
 * @param problems by volume id, for what cannot be put in order now.
 */
export async function recoverAttachments(
  dependencies: AttachmentsDependencies,
  problems: Map<string, string>,
  turns: Turns,
): Promise<void> {
  const { store, log } = dependencies;
  await Promise.all(
    store.values().map(async (attachment) => {
      const { volumeId, volumeName } = attachment;
      try {
        const recover = () => recoverOne(dependencies, attachment, problems);
        await turns.take(volumeId, recover);
      } catch (error) {
        log.error('attachment not recovered', { volume: volumeName, error });
        problems.set(volumeId, messageOf(error));
      }
    }),
  );
  try {
    await removeStale(dependencies, turns);
  } catch (error) {
    log.error('something stale stays', { error });
  }
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

/**
 * Mounts and devices below the state folder that no file knows: never while somebody uses them. A
 * file comes before its mount and goes after it, so what was seen first and has none is stale.
 */
async function removeStale(dependencies: AttachmentsDependencies, turns: Turns): Promise<void> {
  const { paths, system, store, fileSystems, attacher, log } = dependencies;
  const mounts = await readMounts(system);
  for (const { mountPoint } of mounts.filter((mount) => isBelow(mount.mountPoint, paths.mounts))) {
    const volumeId = mountPoint.slice(paths.mounts.length + 1);
    await turns.take(volumeId, async () => {
      if (store.get(volumeId) !== null || store.damage(volumeId) !== null) return;
      const isGone = await fileSystems.unmount(mountPoint);
      log.warn('stale mount', { mountPoint, isGone });
    });
  }
  for (const name of await system.names(paths.run)) {
    const id = /^a-([0-9a-f]{12})$/.exec(name)?.[1];
    if (id === undefined) continue;
    const isKnown = (volumeId: string) => paths.attachFolder(volumeId) === paths.attachFolder(id);
    if ([...store.ids(), ...store.damagedIds()].some(isKnown)) continue;
    log.warn('stale attachment', { name });
    await attacher?.detach({ volumeId: id, iqn: '', portal: '' });
  }
}
