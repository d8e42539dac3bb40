/** An operator with a real Docker: volumes of three replicas through the plugin, and their losses. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { MiB } from '../../core/units.ts';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { DOCKER_COMMANDS, Dockerd, HOST_PROGRAMS, IMAGE } from '../fixtures/rigs/dockerd.ts';
import { mountPointsOf } from '../fixtures/rigs/leftovers.ts';
import { MountNamespace } from '../fixtures/rigs/mount-namespace.ts';
import { STOP_FILE, verifiedLoadCommand } from '../fixtures/rigs/verified-load.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const TIMEOUT_MS = 300_000;
const NODES = ['node-1', 'node-2', 'node-3'];
const commands = [...DOCKER_COMMANDS, ...CLUSTER_COMMANDS, 'fio'];
const real = needs({ linux: true, root: true, command: commands });

type Rig = { readonly cluster: Cluster; readonly dockerd: Dockerd; readonly folder: string };

real.test(
  'volumes are created, listed, inspected, shared by two containers, copied from and removed',
  () =>
    withDocker(async ({ cluster, dockerd, folder }) => {
      const { docker } = speaker(dockerd);
      await docker('volume create -d openebs -o size=128M -o replicas=3 data');
      expect(await docker('volume ls --format {{.Driver}}/{{.Name}}')).toBe('openebs/data');
      const [inspected] = JSON.parse(await docker('volume inspect data'));
      expect(inspected).toMatchObject({ Name: 'data', Driver: 'openebs', Scope: 'global' });
      const { sizeBytes, members } = await cluster.volume('data');
      expect([sizeBytes, members.length]).toEqual([128 * MiB, 3]);

      await dockerd.docker(...detached('first', 'data'), 'sleep', '600');
      await dockerd.docker(...detached('second', 'data'), 'sleep', '600');
      await dockerd.docker('exec', 'first', 'sh', '-c', 'echo hello >/data/file; sync');
      expect(await docker('exec second cat /data/file')).toBe('hello');

      const local = join(folder, 'copied');
      await writeFile(local, 'from outside');
      await dockerd.docker('cp', local, 'first:/data/copied');
      expect(await docker('exec second cat /data/copied')).toBe('from outside');
      expect(await docker('cp second:/data/file -')).toContain('hello');
      // dockerd mounts and unmounts for a copy under the ID of the container that runs: both have
      // let go by now, and are known to use the volume all the same.
      const inspect = ['volume', 'inspect', '-f', '{{json .Status.consumers}}', 'data'];
      const users = await dockerd.docker(...inspect);
      expect(users.match(/container [0-9a-f]{12}/g)).toHaveLength(2);

      expect((await dockerd.tryDocker('volume', 'rm', 'data')).stderr).toContain('in use');
      await docker('rm -f first');
      // The first container's end must not take the mount from the second.
      await dockerd.docker('exec', 'second', 'sh', '-c', 'echo still >/data/here; sync');
      await docker('rm -f second');
      expect(await docker(`run --rm --network none -v data:/data ${IMAGE} cat /data/here`)).toBe(
        'still',
      );
      await removeVolume({ cluster, dockerd, folder }, 'data');
    }),
  TIMEOUT_MS,
);

real.test(
  'what cannot be made is refused in one sentence, and nothing is half made',
  () =>
    withDocker(async ({ cluster, dockerd }) => {
      const refused = async (...options: readonly string[]) => {
        const create = ['volume', 'create', '-d', 'openebs', ...options];
        const { status, stderr } = await dockerd.tryDocker(...create);
        expect(status).not.toBe(0);
        return stderr;
      };
      expect(await refused('-o', 'size=1X', 'data')).toContain('1X');
      expect(await refused('-o', 'size=0', 'data')).toContain('64M');
      expect(await refused('-o', 'color=red', 'data')).toContain('color');
      expect(await refused('-o', 'replicas=5', 'data')).toContain('5');
      expect((await cluster.client.listVolumes()).volumes).toEqual([]);
      expect(await dockerd.docker('volume', 'ls', '--quiet')).toBe('');
    }),
  TIMEOUT_MS,
);

real.test(
  'a container goes on while the agent, the apiserver and dockerd are killed',
  () =>
    withDocker(async ({ cluster, dockerd, folder }) => {
      await dockerd.docker('volume', 'create', '-d', 'openebs', '-o', 'size=128M', 'data');
      await dockerd.docker(...detached('holder', 'data'), 'sleep', '600');
      const write = (name: string) =>
        dockerd.docker('exec', 'holder', 'sh', '-c', `echo ${name} >/data/${name}; sync`);
      const names = ['agent', 'apiserver', 'dockerd-killed', 'dockerd-ended'] as const;

      await cluster.killAndAwaitNext('agent', 'node-1');
      await write(names[0]);
      await cluster.killAndAwaitNext('apiserver');
      await write(names[1]);
      await dockerd.restart('SIGKILL');
      await write(names[2]);
      await dockerd.restart('SIGTERM');
      await write(names[3]);

      // Counts have survived: a second user comes and goes, the first one keeps its mount.
      const look = `run --rm --network none -v data:/data ${IMAGE} ls /data`.split(' ');
      expect((await dockerd.docker(...look)).split('\n')).toEqual(
        expect.arrayContaining([...names]),
      );
      await write('after');
      await dockerd.docker('rm', '--force', 'holder');
      await untilUnmounted(cluster);
      await removeVolume({ cluster, dockerd, folder }, 'data');
    }),
  TIMEOUT_MS,
);

real.test(
  'verified I/O in a container sees no error while target and every replica are killed in turn',
  () =>
    withDocker(async (rig) => {
      const { cluster, dockerd } = rig;
      await dockerd.docker('volume', 'create', '-d', 'openebs', '-o', 'size=128M', 'data');
      const command = verifiedLoadCommand({ folder: '/data', seed: 20_160_901 });
      // Programs of the host, found where they are on the host.
      const path = ['--env', 'PATH=/usr/bin:/bin'];
      const fio = [...detached('fio', 'data', [...HOST_PROGRAMS, ...path]), 'sh', '-c', command];
      await dockerd.docker(...fio);
      const untilRound = async () => {
        const before = await roundsOf(dockerd);
        await waitFor(
          'fio has come a round further',
          async () => {
            const state = await dockerd.docker('inspect', '-f', '{{.State.Running}}', 'fio');
            if (state !== 'true') throw new Error(await logsOf(dockerd));
            return (await roundsOf(dockerd)) > before;
          },
          90_000,
        );
      };
      await untilRound();
      await cluster.killAndAwaitNext('target');
      await untilRound();
      for (const node of NODES) {
        await cluster.killUntilGivenUp('data', node);
        await cluster.untilHealthy('data', 120_000);
      }
      await untilRound();
      await dockerd.docker('exec', 'fio', 'touch', `/data/${STOP_FILE}`);
      const status = await dockerd.docker('wait', 'fio');
      expect({ status, said: status === '0' ? '' : await logsOf(dockerd) }).toEqual({
        status: '0',
        said: '',
      });
      await dockerd.docker('rm', 'fio');
      await removeVolume(rig, 'data');
    }),
  2 * TIMEOUT_MS,
);

/** A cluster with its Docker plugin, and a dockerd that finds it, out of everybody else's sight. */
async function withDocker(body: (rig: Rig) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder('docker');
  await using namespace = await MountNamespace.open();
  await withCluster({ dockerIn: namespace }, async (cluster) => {
    const dockerFolder = join(folder.path, 'd');
    await mkdir(dockerFolder);
    await using dockerd = await Dockerd.open(dockerFolder, namespace);
    await body({ cluster, dockerd, folder: folder.path });
  });
}

/** Docker commands as they are typed, for those without blanks within a word. */
function speaker(dockerd: Dockerd) {
  return { docker: (line: string) => dockerd.docker(...line.split(' ')) };
}

function detached(name: string, volume: string, more: readonly string[] = []): readonly string[] {
  const options = ['--network', 'none', '--volume', `${volume}:/data`, ...more];
  return ['run', '--detach', '--name', name, ...options, IMAGE];
}

/** Removed by Docker, it is gone from the cluster too, with its processes and its mounts. */
async function removeVolume({ cluster, dockerd }: Rig, name: string): Promise<void> {
  await dockerd.docker('volume', 'rm', name);
  expect(await dockerd.docker('volume', 'ls', '--quiet')).toBe('');
  expect((await cluster.client.listVolumes()).volumes).toEqual([]);
  expect([...(await cluster.services('target')), ...(await cluster.services('replica'))]).toEqual(
    [],
  );
  expect(await mountedVolumes(cluster)).toEqual([]);
}

/** Below the folders that the agents mount in, which are mounts themselves while agents run. */
async function mountedVolumes(cluster: Cluster): Promise<string[]> {
  const points = await mountPointsOf(cluster.folder, cluster.viewPid);
  return points.filter((point) => !point.endsWith('/mnt'));
}

async function untilUnmounted(cluster: Cluster): Promise<void> {
  await waitFor(
    'nothing is mounted any more',
    async () => (await mountedVolumes(cluster)).length === 0,
    20_000,
  );
}

async function roundsOf(dockerd: Dockerd): Promise<number> {
  return (await dockerd.docker('logs', 'fio'))
    .split('\n')
    .filter((line) => line.startsWith('round')).length;
}

async function logsOf(dockerd: Dockerd): Promise<string> {
  const { stdout, stderr } = await dockerd.tryDocker('logs', '--tail', '20', 'fio');
  return `${stdout}${stderr}`;
}
