/** The calls of Mesos' isolators, replayed against a cluster of three nodes. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { type DriverCall, originalDvdcli } from '../fixtures/original-dvdcli.ts';
import type { RunningProcess } from '../fixtures/processes.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { DockerVolumeIsolator } from '../fixtures/rigs/docker-volume-isolator.ts';
import { loopDevicesOf, loopMountPointsOf, mountPointsOf } from '../fixtures/rigs/leftovers.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const TIMEOUT_MS = 240_000;
const real = needs({ linux: true, root: true, command: CLUSTER_COMMANDS });

const OPTIONS = { size: '128M', replicas: '2' };
const data = { name: 'data', options: OPTIONS };

real.test(
  'three containers mount a volume, the agent is killed before, between and after, one unmount frees it',
  () =>
    withCluster({}, async (cluster) => {
      const isolator = isolatorOn(cluster, 'node-1');
      await using interrupted = isolator.start(data);
      await untilAttaching(cluster, interrupted, 'data');
      await cluster.kill('agent', 'node-1');
      expect(await interrupted.ended).toEqual({ status: 0, signal: null });
      const path = await isolator.prepare('first', data);
      expect(interrupted.stdout).toBe(`${path}\n`);
      await writeFile(join(path, 'file'), 'written by the first');
      expect(await isolator.prepare('second', data)).toBe(path);
      await cluster.killAndAwaitNext('agent', 'node-1');
      expect(await isolator.prepare('third', data)).toBe(path);
      expect(await mountCount(cluster)).toBe(1);

      await isolator.cleanup('first');
      await isolator.cleanup('third');
      expect(await readFile(join(path, 'file'), 'utf8')).toBe('written by the first');
      await cluster.kill('agent', 'node-1');
      // Nobody has waited for the next agent: the unmount does.
      await isolator.cleanup('second');
      await expectFree(cluster);
      await cluster.mayactl('volume', 'delete', 'data', '--yes');
    }),
  TIMEOUT_MS,
);

real.test(
  'dvdcli is killed at each moment of a mount, and the next container finds all in order',
  () =>
    withCluster({}, async (cluster) => {
      const isolator = isolatorOn(cluster, 'node-1');
      for (const [moment, until] of Object.entries(MOMENTS)) {
        const volume = { name: moment, options: OPTIONS };
        await using killed = isolator.start(volume);
        await until(cluster, killed, moment);
        killed.signal('SIGKILL');
        const ended = await killed.ended;
        // Once it is mounted the answer may be on its way before the signal.
        if (moment !== 'mounted') expect(ended).toEqual({ status: null, signal: 'SIGKILL' });
        // The containerizer cleans up after a mount that failed; or mesos-agent was killed as well,
        // and it does not.
        const unmount = ['unmount', '--volumedriver=openebs', `--volumename=${moment}`];
        if (moment !== 'attaching') expect((await isolator.dvdcli(unmount)).stderr).toBe('');
        const path = await isolator.prepare('first', volume);
        expect(await mountCount(cluster)).toBe(1);
        await writeFile(join(path, 'file'), moment);
        await isolator.cleanup('first');
        await expectFree(cluster);
        const again = await isolator.prepare('second', volume);
        expect(await readFile(join(again, 'file'), 'utf8')).toBe(moment);
        await isolator.cleanup('second');
        await cluster.mayactl('volume', 'delete', moment, '--yes');
      }
    }),
  TIMEOUT_MS,
);

real.test(
  'wrong options make nothing; another node is told who has the volume, and gets it when it is free',
  () =>
    withCluster({}, async (cluster) => {
      await expectRefusals(cluster);
      const [one, two] = [isolatorOn(cluster, 'node-1'), isolatorOn(cluster, 'node-2')];
      const path = await one.prepare('first', data);
      await writeFile(join(path, 'file'), 'from node-1');
      await expect(two.prepare('second', data)).rejects.toThrow(
        /dvdcli: .*in use by mesos.* on node node-1/,
      );
      await waitFor(
        'node-1 has reported who uses it',
        async () => {
          expect((await cluster.volume('data')).consumers).toMatchObject([
            { node: 'node-1', door: 'mesos', label: 'docker/volume isolator' },
          ]);
          return true;
        },
        10_000,
      );
      // The clean-up after the refusal has not taken it from node-1.
      expect(await readFile(join(path, 'file'), 'utf8')).toBe('from node-1');
      await one.cleanup('first');
      const there = await two.prepare('second', data);
      expect(there).not.toBe(path);
      expect(await readFile(join(there, 'file'), 'utf8')).toBe('from node-1');
      await two.cleanup('second');
      await expectFree(cluster);
      await cluster.mayactl('volume', 'delete', 'data', '--yes');
    }),
  TIMEOUT_MS,
);

real.test(
  'the original dvdcli, over the Docker socket: three mounts without an id, one unmount',
  () =>
    withCluster({ nodeCount: 2, dockerSockets: true }, async (cluster) => {
      const volume = { Name: 'data' };
      const dvdcli = (node: string, ...calls: readonly DriverCall[]) =>
        originalDvdcli(join(cluster.folder, node, 'docker.sock'), ...calls);
      const mount = (node: string) => dvdcli(node, ['Get', volume], ['Mount', volume]);

      const Opts = { size: '128M' };
      const [missing, made, mounted] = await dvdcli(
        'node-1',
        ['Get', volume],
        ['Create', { ...volume, Opts }],
        ['Mount', volume],
      );
      expect([missing, made]).toMatchObject([
        [404, {}],
        [200, {}],
      ]);
      const [, { Mountpoint }] = mounted as [number, { Mountpoint: string }];
      await writeFile(join(Mountpoint, 'file'), 'here');
      await cluster.killAndAwaitNext('agent', 'node-1');
      await waitFor('the plugin listens again', () => mount('node-1'), 20_000);
      expect(await mount('node-1')).toMatchObject([[200, {}], mounted]);
      expect(await mountCount(cluster)).toBe(1);
      expect(await mount('node-2')).toMatchObject([
        [200, {}],
        [409, { Err: expect.stringMatching(/in use by docker .* on node node-1/) }],
      ]);
      expect(await dvdcli('node-1', ['Get', volume], ['Unmount', volume])).toMatchObject([
        [200, { Volume: { Mountpoint } }],
        [200, {}],
      ]);
      await expectFree(cluster);
      expect(await dvdcli('node-1', ['Get', volume], ['Remove', volume])).toMatchObject([
        [200, {}],
        [200, {}],
      ]);
    }),
  TIMEOUT_MS,
);

async function expectRefusals(cluster: Cluster): Promise<void> {
  const isolator = isolatorOn(cluster, 'node-1');
  const refused = async (options: Record<string, string>, name = 'data') => {
    const error = await isolator.prepare('task', { name, options }).catch(String);
    expect(await expectFree(cluster)).toEqual([]);
    return error;
  };
  expect(await refused({ newFsType: 'xfs' })).toMatch(/"newFsType" .*valid options: size/);
  expect(await refused({ size: '1X' })).toContain('"1X"');
  expect(await refused({ fs: 'none' })).toContain('fs=none');
  expect(await refused({ ...OPTIONS, replicas: '5' })).toMatch(/5/);
  expect(await refused(OPTIONS, '../../etc')).toContain('a volume name starts with');
  const other = ['mount', '--volumedriver=rexray', '--volumename=data'];
  expect((await isolator.dvdcli(other)).stderr).toContain('"rexray"');
}

type Moment = (cluster: Cluster, mount: RunningProcess, volume: string) => Promise<void>;

/** When to kill a dvdcli that mounts. */
const MOMENTS: Readonly<Record<string, Moment>> = {
  started: async () => undefined,
  created: ({ client }, mount, volume) =>
    until(mount, async () => (await client.getVolume(volume)).name === volume),
  attaching: untilAttaching,
  mounted: (cluster, mount) => until(mount, async () => (await mountCount(cluster)) > 0),
};

async function untilAttaching({ client }: Cluster, mount: RunningProcess, volume: string) {
  await until(mount, async () => (await client.getVolume(volume)).attachment !== null);
}

/** Polls without a pause: the moment is short. */
async function until(mount: RunningProcess, isNow: () => Promise<boolean>): Promise<void> {
  while (mount.isRunning && !(await isNow().catch(() => false)));
}

function isolatorOn(cluster: Cluster, node: string): DockerVolumeIsolator {
  return new DockerVolumeIsolator(`unix:${cluster.folder}/${node}/agent.sock`);
}

/** File systems on the cluster's devices. */
async function mountCount({ folder, viewPid }: Cluster): Promise<number> {
  return (await loopMountPointsOf(folder, viewPid)).length;
}

/** Nothing is mounted, attached or held any more. @returns the names of the volumes. */
async function expectFree(cluster: Cluster): Promise<string[]> {
  return waitFor(
    'nothing is held',
    async () => {
      const points = await mountPointsOf(cluster.folder, cluster.viewPid);
      // Each agent keeps its own folder for mounts mounted on itself.
      expect(points.filter((point) => !/\/node-[0-9]+\/mnt$/.test(point))).toEqual([]);
      expect(await loopDevicesOf(cluster.folder, cluster.viewPid)).toEqual([]);
      const { volumes } = await cluster.client.listVolumes();
      expect(volumes.map(({ attachment }) => attachment)).toEqual(volumes.map(() => null));
      expect(volumes.flatMap(({ consumers }) => consumers)).toEqual([]);
      return volumes.map(({ name }) => name);
    },
    20_000,
  );
}
