/**
 * The folder of mount points, shared: what is mounted below it reaches the mount namespaces of
 * those who take part (dockerd under systemd with MountFlags=slave, containers with rslave). A
 * dockerd in the agent's own namespace sees the mounts anyway; one in a private namespace never.
 * Where the folder lies on a shared mount already, as under systemd, nothing is done.
 */
import { type Commands, runOk } from '../host/commands.ts';
import { holdingMount, isBelow, mountedOn, readMounts } from '../host/mount-table.ts';
import type { SystemFiles } from '../host/system-files.ts';

export interface PropagationDependencies {
  readonly commands: Commands;
  readonly system: SystemFiles;
}

const TIMEOUT_MS = 10_000;

/** @throws CommandError where it is not permitted. */
export async function shareMounts(
  folder: string,
  { commands, system }: PropagationDependencies,
): Promise<void> {
  const realPath = (await system.realPath(folder)) ?? folder;
  const holding = holdingMount(await readMounts(system), realPath);
  if (holding === null || holding.sharedGroup !== null) return;
  if (holding.mountPoint !== realPath) {
    await runOk(commands, ['mount', '--bind', realPath, realPath], { timeoutMs: TIMEOUT_MS });
  }
  await runOk(commands, ['mount', '--make-rshared', realPath], { timeoutMs: TIMEOUT_MS });
}

/** Takes the bind mount away again, unless something is mounted below. @throws CommandError */
export async function unshareMounts(
  folder: string,
  { commands, system }: PropagationDependencies,
): Promise<void> {
  const realPath = (await system.realPath(folder)) ?? folder;
  const mounts = await readMounts(system);
  if (mountedOn(mounts, realPath) === null) return;
  if (mounts.some(({ mountPoint }) => isBelow(mountPoint, realPath))) return;
  await runOk(commands, ['umount', realPath], { timeoutMs: TIMEOUT_MS });
}
