/** The calls of Mesos' volume/csi isolator, replayed against a cluster of three nodes. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { RunningProcess } from '../fixtures/processes.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import {
  type ContainerVolume,
  CsiVolumeIsolator,
  type PluginInfo,
  RpcFailure,
} from '../fixtures/rigs/csi-volume-isolator.ts';
import { loopDevicesOf, loopMountPointsOf, mountPointsOf } from '../fixtures/rigs/leftovers.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const MAYA = fileURLToPath(new URL('../../bin/maya', import.meta.url));
const TIMEOUT_MS = 240_000;
/** Twelve deaths, each with a life before and after it. */
const DEATHS_TIMEOUT_MS = 600_000;
const real = needs({ linux: true, root: true, command: CLUSTER_COMMANDS });

const START = ['Probe', 'GetPluginCapabilities', 'GetPluginInfo', 'NodeGetCapabilities'];
const UP = ['NodeStageVolume', 'NodePublishVolume'];
const DOWN = ['NodeUnpublishVolume', 'NodeUnstageVolume'];
const data: ContainerVolume = { id: 'data', mode: 'RW' };

type Moment = 'before' | 'during';
const DEATHS = [...UP, ...DOWN].flatMap((method) => [
  [method, 'agent', 'before'] as const,
  [method, 'agent', 'during'] as const,
  [method, 'plugin', 'during'] as const,
]);

real.test(
  'containers of one node share a volume, and mesos-agent is restarted meanwhile',
  () =>
    withVolume(async (mesos) => {
      using isolator = await isolatorOn(mesos, 'node-1');
      await isolator.start();
      const path = await isolator.prepare('first', data);
      await writeFile(join(path, 'file'), 'by the first');
      expect(await isolator.prepare('second', { ...data, fsType: 'ext4' })).toBe(path);
      expect(await readFile(join(path, 'file'), 'utf8')).toBe('by the first');
      // What is published stays so: mesos-agent asks for nothing when it is back.
      await isolator.start();
      await isolator.cleanup('first');
      expect(await readFile(join(path, 'file'), 'utf8')).toBe('by the first');
      await isolator.cleanup('second');
      expect(isolator.calls).toEqual([START, UP, UP, START, DOWN].flat());
      await expectFree(mesos, 'node-1');
    }),
  TIMEOUT_MS,
);

real.test(
  'the agent or the plugin is killed before and during each call',
  () =>
    withVolume(async (mesos) => {
      using isolator = await isolatorOn(mesos, 'node-1');
      await isolator.start();
      let content = '';
      for (const [method, who, moment] of DEATHS) {
        isolator.before = (next) => (next === method ? mesos.die(who, moment) : Promise.resolve());
        const path = await tolerant(() => isolator.prepare('first', data));
        if (path !== null) await writeFile(join(path, 'file'), (content = `${method} ${moment}`));
        await tolerant(() => isolator.cleanup('first'));
        isolator.before = async () => undefined;
        await mesos.allAlive();
        // What failed in a start is cleaned up at once. A clean-up that failed is not repeated: it
        // is the next container's matter.
        if (UP.includes(method)) await expectFree(mesos, 'node-1');
        else {
          const again = await isolator.prepare('next', data);
          expect(await readFile(join(again, 'file'), 'utf8')).toBe(content);
          expect(await publishedCount(mesos, 'node-1')).toBe(1);
          await isolator.cleanup('next');
          await expectFree(mesos, 'node-1');
        }
      }
    }),
  DEATHS_TIMEOUT_MS,
);

real.test(
  'another node is told who has the volume; a call that took too long is cleaned up after',
  () =>
    withVolume(async (mesos) => {
      using one = await isolatorOn(mesos, 'node-1');
      using two = await isolatorOn(mesos, 'node-2');
      await one.start();
      await two.start();
      const path = await one.prepare('first', data);
      await writeFile(join(path, 'file'), 'from node-1');
      await expect(two.prepare('second', data)).rejects.toThrow(
        /^FAILED_PRECONDITION: .*in use by mesos.* on node node-1/,
      );
      // A second container that wants it otherwise: refused, and the first one keeps it.
      await expect(one.prepare('reader', { ...data, mode: 'RO' })).rejects.toThrow(
        /^ALREADY_EXISTS: /,
      );
      expect(await readFile(join(path, 'file'), 'utf8')).toBe('from node-1');
      await one.cleanup('first');
      await expectFree(mesos, 'node-1');

      two.callTimeoutMs = (method) => (method === 'NodeStageVolume' ? 50 : 60_000);
      const late = await two.prepare('second', data).catch((error: unknown) => error);
      expect(late).toMatchObject({ message: expect.stringMatching(/^DEADLINE_EXCEEDED/) });
      // Mesos does not ask again: what it asked for right after must have been done.
      expect((late as RpcFailure).cause).toBeUndefined();
      await expectFree(mesos, 'node-2');
      two.callTimeoutMs = () => 60_000;
      const there = await two.prepare('second', { ...data, mode: 'RO' });
      expect(await readFile(join(there, 'file'), 'utf8')).toBe('from node-1');
      await expect(writeFile(join(there, 'file'), '')).rejects.toThrow('EROFS');
      await two.cleanup('second');
      await expectFree(mesos, 'node-2');
      await expect(two.prepare('third', { ...data, id: 'missing' })).rejects.toThrow('NOT_FOUND');
      await expect(two.prepare('third', { ...data, fsType: 'xfs' })).rejects.toThrow(/ext4/);
      await expectFree(mesos, 'node-2');
    }),
  TIMEOUT_MS,
);

/** A cluster with a CSI plugin for the Mesos of each of two nodes, as a process of its own. */
class MesosCluster {
  readonly cluster: Cluster;
  readonly #plugins = new Map<string, RunningProcess>();
  #alive: Promise<void> = Promise.resolve();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  endpoint(node: string): string {
    return `unix://${this.cluster.folder}/${node}/csi-mesos.sock`;
  }

  startPlugin(node: string): void {
    const where = ['--agent', `unix:${this.cluster.folder}/${node}/agent.sock`];
    const words = ['csi', '--orchestrator', 'mesos', '--mode', 'node', ...where];
    this.#plugins.set(
      node,
      new RunningProcess(MAYA, [...words, '--endpoint', this.endpoint(node)]),
    );
  }

  async endPlugins(): Promise<void> {
    for (const plugin of this.#plugins.values()) await plugin.end();
  }

  /** SIGKILL to one of node-1, and another one takes its place. */
  async die(who: 'agent' | 'plugin', moment: Moment): Promise<void> {
    this.#alive = who === 'agent' ? this.#killAgent() : this.#killPlugin();
    if (moment === 'before') await this.#alive;
  }

  allAlive(): Promise<void> {
    return this.#alive;
  }

  #killAgent(): Promise<void> {
    return this.cluster.killAndAwaitNext('agent', 'node-1');
  }

  async #killPlugin(): Promise<void> {
    await this.#plugins.get('node-1')?.end('SIGKILL');
    this.startPlugin('node-1');
  }
}

async function withVolume(body: (mesos: MesosCluster) => Promise<void>): Promise<void> {
  await withCluster({}, async (cluster) => {
    await cluster.mayactl('volume', 'create', 'data', '--size', '128M', '--replicas', '2');
    const mesos = new MesosCluster(cluster);
    try {
      for (const node of ['node-1', 'node-2']) mesos.startPlugin(node);
      await body(mesos);
    } finally {
      await mesos.endPlugins();
    }
    await cluster.mayactl('volume', 'delete', 'data', '--yes');
  });
}

/** An isolator that goes by the file which mayactl writes. */
async function isolatorOn(mesos: MesosCluster, node: string): Promise<CsiVolumeIsolator> {
  const { cluster } = mesos;
  const folder = join(cluster.folder, 'mesos', node);
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'openebs.json');
  const endpoint = ['--endpoint', mesos.endpoint(node)];
  await cluster.mayactl('mesos', 'config', ...endpoint, '--file', path);
  const file = JSON.parse(await readFile(path, 'utf8')) as PluginInfo;
  // The root is the only thing that must be elsewhere in a test.
  return new CsiVolumeIsolator({ ...file, target_path_root: rootOf(cluster, node) });
}

function rootOf(cluster: Cluster, node: string): string {
  return join(cluster.folder, 'mesos', node, 'targets');
}

/** Null when the plugin could not; anything else but that is a failure of the test. */
async function tolerant<Answer>(call: () => Promise<Answer>): Promise<Answer | null> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof RpcFailure) return null;
    throw error;
  }
}

/** Bind mounts below Mesos' folder, of the one file system that there is. */
async function publishedCount({ cluster }: MesosCluster, node: string): Promise<number> {
  const points = await mountPointsOf(cluster.folder, cluster.viewPid);
  expect(await loopMountPointsOf(cluster.folder, cluster.viewPid)).toHaveLength(2);
  return points.filter((point) => point.startsWith(rootOf(cluster, node))).length;
}

/** Nothing is mounted, attached or held any more, and nothing is left where Mesos had it. */
async function expectFree({ cluster }: MesosCluster, node: string): Promise<void> {
  await waitFor(
    'nothing is held',
    async () => {
      const points = await mountPointsOf(cluster.folder, cluster.viewPid);
      expect(points.filter((point) => !/\/node-[0-9]+\/mnt$/.test(point))).toEqual([]);
      expect(await loopDevicesOf(cluster.folder, cluster.viewPid)).toEqual([]);
      const { attachment, consumers } = await cluster.volume('data');
      expect([attachment, consumers]).toEqual([null, []]);
      return true;
    },
    20_000,
  );
  expect(await readdir(rootOf(cluster, node))).toEqual([]);
}
