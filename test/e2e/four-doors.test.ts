/** One volume walks through all front doors, with every byte, and is held through one at a time. */
import { createHash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { messageOf } from '../../core/errors.ts';
import { MiB } from '../../core/units.ts';
import { needs } from '../fixtures/needs.ts';
import { NomadClient } from '../fixtures/nomad-client.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { CsiPlugin, type CsiPluginOptions } from '../fixtures/rigs/csi-plugin.ts';
import { DOCKER_COMMANDS, Dockerd } from '../fixtures/rigs/dockerd.ts';
import {
  type DoorRig,
  dockerDoor,
  type Held,
  kubernetesDoor,
  mesosDoor,
  nomadDoor,
  VOLUME_BYTES,
} from '../fixtures/rigs/doors.ts';
import { untilFree } from '../fixtures/rigs/free.ts';
import { MountNamespace } from '../fixtures/rigs/mount-namespace.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { Hopeless, waitFor } from '../fixtures/wait-for.ts';

const TIMEOUT_MS = 1_200_000;
const PATIENCE_MS = 60_000;
const FILE_BYTES = MiB;
const real = needs({
  linux: true,
  root: true,
  command: [...DOCKER_COMMANDS, ...CLUSTER_COMMANDS],
});

real.test(
  'one volume walks from Docker over Kubernetes, Nomad and Mesos back to Docker with every byte',
  () =>
    withDoors(async (cluster, doors) => {
      const [docker] = doors;
      if (docker === undefined) throw new Error('there are no doors');
      await docker.create('walker');
      const written: Record<string, string> = {};
      for (const [index, door] of [...doors, docker].entries()) {
        const held = await door.hold('walker');
        expect(await held.sums()).toEqual(written);
        const file = `${index}-${door.door}-bytes`;
        const bytes = bytesOf(index);
        written[file] = createHash('sha256').update(bytes).digest('hex');
        await held.write(file, bytes);
        expect(await held.sums()).toEqual(written);
        const others = doors.filter((other) => other !== door);
        for (const other of others) await expectRefused(other, door);
        await waitFor(
          `mayactl tells that ${door.door} has it`,
          async () =>
            new RegExp(`used by +${door.door} .*${door.node}`).test(
              await cluster.mayactl('volume', 'show', 'walker'),
            ),
          PATIENCE_MS,
        );
        // What was refused has taken nothing away.
        expect(await held.sums()).toEqual(written);
        await held.release();
      }
      await untilFree(cluster);
      await docker.delete?.('walker');
    }),
  TIMEOUT_MS,
);

real.test(
  'made through any door, a volume is listed, used and deleted through the others by one name',
  () =>
    withDoors(async (cluster, doors) => {
      for (const maker of doors) {
        const name = `of-${maker.door}`;
        await maker.create(name);
        expect(await cluster.volume(name)).toMatchObject({
          sizeBytes: VOLUME_BYTES,
          replicas: 2,
          fileSystem: 'ext4',
        });
      }
      const names = doors.map(({ door }) => `of-${door}`).toSorted();
      for (const door of doors) {
        const listed = await door.list();
        expect(listed?.toSorted() ?? names).toEqual(names);
      }
      for (const [index, maker] of doors.entries()) {
        const user = doors[(index + 1) % doors.length] ?? maker;
        const held = await user.hold(`of-${maker.door}`);
        await held.write('bytes', bytesOf(index));
        await held.release();
      }
      await untilFree(cluster);
      const deleters = doors.filter((door) => door.delete !== null);
      for (const [index, name] of names.entries()) {
        const deleter = deleters[index % deleters.length];
        await deleter?.delete?.(name);
        const left = names.slice(index + 1);
        for (const door of deleters) expect((await door.list())?.toSorted()).toEqual(left);
      }
    }),
  TIMEOUT_MS,
);

/** Who it is reaches the apiserver with the node's next heartbeat. */
async function expectRefused(other: DoorRig, holder: DoorRig): Promise<void> {
  const words = new RegExp(`in use by ${holder.door}\\b.* on (node )?${holder.node}`);
  await waitFor(
    `${other.door} is told that ${holder.door} has it`,
    async () => {
      const held = await other.hold('walker').catch((error: unknown) => messageOf(error));
      if (typeof held !== 'string') return expectNobody(held, other, holder);
      if (words.test(held)) return true;
      throw new Error(held);
    },
    PATIENCE_MS,
  );
}

async function expectNobody(held: Held, other: DoorRig, holder: DoorRig): Promise<never> {
  await held.release().catch(() => undefined);
  throw new Hopeless(`${other.door} got what ${holder.door} holds`);
}

/** Four doors, two nodes: Docker and Mesos on the first one, Kubernetes and Nomad on the second. */
async function withDoors(
  body: (cluster: Cluster, doors: readonly DoorRig[]) => Promise<void>,
): Promise<void> {
  await using folder = await temporaryFolder('doors');
  await using namespace = await MountNamespace.open();
  await withCluster({ nodeCount: 2, dockerIn: namespace }, async (cluster) => {
    await using started = new AsyncDisposableStack();
    const csi = async (options: Pick<CsiPluginOptions, 'orchestrator' | 'mode'>) => {
      const plugin = await CsiPlugin.start({
        ...options,
        agent: cluster.agentAddress('node-2'),
        socketPath: join(folder.path, `${options.orchestrator}-${options.mode ?? 'all'}.sock`),
      });
      return started.use(plugin);
    };
    const dockerFolder = join(folder.path, 'd');
    await mkdir(dockerFolder);
    const dockerd = started.use(await Dockerd.open(dockerFolder, namespace));
    const kubernetes = {
      controller: await csi({ orchestrator: 'kubernetes', mode: 'controller' }),
      node: await csi({ orchestrator: 'kubernetes', mode: 'node' }),
    };
    const nomad = new NomadClient({
      plugin: (await csi({ orchestrator: 'nomad' })).client,
      root: join(folder.path, 'nomad'),
      viewPid: cluster.viewPid,
      outside: (path) => cluster.outside(path),
    });
    await nomad.fingerprint('node');
    const kubelet = { cluster, node: 'node-2', folder: join(folder.path, 'kubelet') };
    await body(cluster, [
      dockerDoor(dockerd, folder.path),
      kubernetesDoor(kubelet, kubernetes),
      nomadDoor(cluster, 'node-2', nomad),
      mesosDoor(cluster, 'node-1'),
    ]);
  });
}

function bytesOf(seed: number): Buffer {
  const bytes = Buffer.alloc(FILE_BYTES);
  for (let at = 0; at < bytes.length; at += 4)
    bytes.writeUInt32LE((at * 2_654_435_761 + seed) >>> 0, at);
  return bytes;
}
