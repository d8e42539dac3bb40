/** The story of one volume, step by step. Each step answers with what it saw. */
import { rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { formatBytes } from '../../core/units.ts';
import { copyTree, verifyFiles } from './files.ts';
import { leftoversAfter } from './machine.ts';
import { run } from './programs.ts';
import type { Scene } from './scene.ts';

export interface Step {
  readonly title: string;
  tell(scene: Scene): Promise<string>;
}

const SOURCE = fileURLToPath(new URL('../..', import.meta.url));
const NODE_COUNT = 3;
const ONLINE_TIMEOUT_MS = 30_000;
const GIVEN_UP_TIMEOUT_MS = 20_000;
const REBUILT_TIMEOUT_MS = 40_000;
const GONE_TIMEOUT_MS = 5_000;
const STOP_TIMEOUT_MS = 30_000;

export const STORY: readonly Step[] = [
  { title: 'start the cluster service and three agents', tell: startCluster },
  { title: 'create a volume of 1 GiB with three replicas', tell: createVolume },
  { title: 'attach it on node-1, make ext4 and mount it', tell: attachVolume },
  { title: 'write the source tree of this project and sync', tell: writeTree },
  { title: 'kill the replica on node-1 until it is given up', tell: killReplica },
  { title: 'go on writing without it', tell: goOnWriting },
  { title: 'kill the target in the middle of writing', tell: killTarget },
  { title: 'drop the caches, read everything back, compare', tell: readBack },
  { title: 'wait until the killed replica is rebuilt and verified', tell: waitForRebuild },
  { title: 'unmount, mount, read everything back, compare', tell: mountAgain },
  { title: 'unmount and run fsck on the device', tell: checkFileSystem },
  { title: 'look at the replicas', tell: showReplicas },
  { title: 'delete the volume and stop the cluster', tell: stopCluster },
  { title: 'look for anything that was left behind', tell: lookForLeftovers },
];

async function startCluster(scene: Scene): Promise<string> {
  await scene.startUp();
  await scene.until('three nodes are online', ONLINE_TIMEOUT_MS, async () => {
    return (await scene.onlineNodes()).length === NODE_COUNT;
  });
  const problem = await scene.attachProblem();
  if (problem !== '') throw new Error(`volumes cannot be mounted here: ${problem}`);
  return `in ${scene.folder}`;
}

async function createVolume(scene: Scene): Promise<string> {
  const options = ['--size', '1G', '--replicas', `${NODE_COUNT}`];
  const said = await scene.mayactl('volume', 'create', scene.volumeName, ...options);
  return said.trim();
}

async function attachVolume(scene: Scene): Promise<string> {
  return `mounted at ${await mount(scene)}`;
}

/** @returns the mount point. */
async function mount(scene: Scene): Promise<string> {
  const options = ['--node', 'node-1', '-o', 'json'];
  const answer = await scene.mayactl('volume', 'attach', scene.volumeName, ...options);
  const { mountpoint } = JSON.parse(answer) as { mountpoint: string | null };
  if (mountpoint === null) throw new Error('the volume was attached, but not mounted');
  scene.writeTo(mountpoint);
  return mountpoint;
}

async function writeTree(scene: Scene): Promise<string> {
  const { mountpoint } = scene.writer;
  const count = await copyTree(SOURCE, `${mountpoint}/source`, scene.manifest);
  await run(['sync', '--file-system', mountpoint], scene.signal);
  return `${count} files`;
}

/** node-1 is where the volume is mounted: its replica is the one that answered the reads. */
async function killReplica(scene: Scene): Promise<string> {
  const { writer } = scene;
  await writer.start();
  await writer.write(8);
  const member = await scene.memberOn('node-1');
  const killCount = await scene.killReplicaUntilGivenUp(member, GIVEN_UP_TIMEOUT_MS);
  await writer.write(1);
  return `killed ${killCount} times; ${pause(scene)}`;
}

async function goOnWriting(scene: Scene): Promise<string> {
  const { writer } = scene;
  writer.resetPause();
  const beforeBytes = writer.writtenBytes;
  await writer.write(24);
  return `${formatBytes(writer.writtenBytes - beforeBytes)} more; ${pause(scene)}`;
}

async function killTarget(scene: Scene): Promise<string> {
  const { writer } = scene;
  writer.resetPause();
  await scene.killTarget();
  await writer.write(24);
  await writer.stop();
  return `${formatBytes(writer.writtenBytes)} written by now; ${pause(scene)}`;
}

function pause(scene: Scene): string {
  const seconds = (scene.writer.pauseMsMax / 1_000).toFixed(1);
  return `no error, the longest write took ${seconds} s`;
}

async function readBack(scene: Scene): Promise<string> {
  const { mountpoint } = scene.writer;
  await run(['sync', '--file-system', mountpoint], scene.signal);
  // 1: the page cache, not inodes and names (proc(5)). Where it is forbidden the next mount tells.
  const isDropped = await writeFile('/proc/sys/vm/drop_caches', '1\n').then(
    () => true,
    () => false,
  );
  const count = await verifyFiles(mountpoint, scene.manifest);
  const how = isDropped ? '' : ' (caches could not be dropped here)';
  return `${count} files, every checksum is right${how}`;
}

async function waitForRebuild(scene: Scene): Promise<string> {
  await scene.until('the volume is healthy', REBUILT_TIMEOUT_MS, async () => {
    const { condition, members } = await scene.volume();
    return condition === 'healthy' && members.every((member) => member.state === 'inSync');
  });
  const { allocatedBytes } = await scene.memberOn('node-1');
  return `three replicas in sync; the new one has ${formatBytes(allocatedBytes)}`;
}

/** The replica of node-1 answers the reads again: this reads what was rebuilt. */
async function mountAgain(scene: Scene): Promise<string> {
  await scene.mayactl('volume', 'detach', scene.volumeName);
  const mountpoint = await mount(scene);
  const count = await verifyFiles(mountpoint, scene.manifest);
  return `${count} files, every checksum is right`;
}

async function checkFileSystem(scene: Scene): Promise<string> {
  await scene.mayactl('volume', 'detach', scene.volumeName);
  const options = ['--node', 'node-1', '--device', '-o', 'json'];
  const answer = await scene.mayactl('volume', 'attach', scene.volumeName, ...options);
  const { device } = JSON.parse(answer) as { device: string | null };
  if (device === null) throw new Error('the volume was attached, but there is no device');
  const said = await run(['fsck.ext4', '-f', '-n', device], scene.signal);
  await scene.mayactl('volume', 'detach', scene.volumeName);
  return `clean: ${said.trim().split('\n').at(-1) ?? ''}`;
}

async function showReplicas(scene: Scene): Promise<string> {
  return `\n\n${await scene.mayactl('volume', 'show', scene.volumeName)}`;
}

async function stopCluster(scene: Scene): Promise<string> {
  await scene.mayactl('volume', 'delete', scene.volumeName, '--yes');
  const status = await scene.up?.interrupt(STOP_TIMEOUT_MS);
  if (status !== 0) throw new Error(`maya up ended with status ${status} after Ctrl-C`);
  return 'maya up ended with status 0';
}

/** Before the folder goes, so that its name is all that is left of it. */
async function lookForLeftovers(scene: Scene): Promise<string> {
  const left = (await leftoversAfter(scene.folder, 0)).filter((what) => !what.startsWith('folder'));
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  await rm(scene.folder, { recursive: true });
  const still = await leftoversAfter(scene.folder, GONE_TIMEOUT_MS);
  if (still.length > 0) throw new Error(`left behind: ${still.join(', ')}`);
  return 'no process, mount, loop device, socket or folder';
}
