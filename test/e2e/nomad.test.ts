/** The calls of Nomad's clients and servers, replayed against a real cluster: docs/nomad.md. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { MiB } from '../../core/units.ts';
import { needs } from '../fixtures/needs.ts';
import { NomadClient, type NomadUsage, type NomadVersion } from '../fixtures/nomad-client.ts';
import { type Allocation, NomadServer, type VolumeFile } from '../fixtures/nomad-server.ts';
import { runOk } from '../fixtures/processes.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { CsiPlugin } from '../fixtures/rigs/csi-plugin.ts';
import { takeAwayByForce } from '../fixtures/rigs/force.ts';
import { untilFree } from '../fixtures/rigs/free.ts';
import { lastingLeftovers } from '../fixtures/rigs/leftovers.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const TIMEOUT_MS = 600_000;
const real = needs({ linux: true, root: true, command: [...CLUSTER_COMMANDS, 'blockdev'] });

const WRITER: NomadUsage = {
  attachmentMode: 'file-system',
  accessMode: 'single-node-writer',
};
const FILE = {
  capabilities: [WRITER],
  parameters: { replicas: '2' },
  capacityMinBytes: 64 * MiB,
} satisfies Partial<VolumeFile>;

type Rig = {
  readonly cluster: Cluster;
  readonly folder: string;
  /** A Nomad node with its plugin, beside the agent of the same number. */
  readonly node: (number: 1 | 2, options?: NodeOptions) => Promise<NomadNode>;
};
type NodeOptions = {
  readonly mode?: 'all' | 'controller' | 'node';
  readonly version?: NomadVersion;
};
type NomadNode = { readonly client: NomadClient; readonly plugin: CsiPlugin };

real.test(
  'jobs of every release use one volume in turn: made, held, moved to another node, deleted',
  () =>
    withNomad(async ({ cluster, folder, node }) => {
      const one = await node(1);
      await expectFingerprint(one.client);
      const server = new NomadServer(one.client);
      const file = {
        ...FILE,
        id: 'data',
        preferredTopologies: [NODE_2],
        requiredTopologies: NODES,
      };
      const made = await server.create(file);
      expect(made).toMatchObject({ capacityBytes: 64 * MiB, context: {} });
      expect(await server.create(file)).toEqual(made);
      expect(await server.listExternal()).toEqual([made.externalId]);
      expect((await cluster.volume('data')).id).toBe(made.externalId);

      const said: string[] = [];
      for (const version of ['1.6', '1.8', '1.11'] as const) {
        const [here, there] = [await node(1, { version }), await node(2, { version })];
        for (const { client } of [here, there]) await client.fingerprint('node');
        const first = allocation('data');
        const path = await server.start(first, here.client);
        await expectWritten(path, said, `${version} here`);
        // What a reader in between is told, and what makes Nomad try the claim again.
        const second = allocation('data');
        await expect(server.claim(second, there.client)).rejects.toThrow(
          /code = FAILED_PRECONDITION .*in use by nomad .*node-1/,
        );
        const starting = server.start(second, there.client);
        await server.stop(first, here.client);
        await expectWritten(await starting, said, `${version} there`);
        await server.stop(second, there.client);
        await untilFree(cluster, folder);
      }
      await server.delete('data');
      expect(await server.listExternal()).toEqual([]);
    }),
  TIMEOUT_MS,
);

real.test(
  'one allocation starts while another one stops, clients and plugins start again in between',
  () =>
    withNomad(async ({ cluster, folder, node }) => {
      const controller = await node(2, { mode: 'controller' });
      const { client, plugin } = await node(1, { mode: 'node', version: '1.6' });
      await expectModes(controller, { client, plugin });
      const server = new NomadServer(controller.client);
      await server.create({ ...FILE, id: 'data', mountOptions: { mountFlags: ['noatime'] } });
      const said: string[] = [];
      const usage = { ...WRITER, mountOptions: { fsType: 'ext4' } };
      let last = allocation('data', usage);
      await expectWritten(await server.start(last, client), said, 'first');
      for (let round = 0; round < 4; round += 1) {
        const next = allocation('data', usage);
        // Not one after the other before 1.11; and ABORTED would be the end of the allocation.
        const [path] = await Promise.all([server.start(next, client), server.stop(last, client)]);
        await expectWritten(path, said, `round ${round}`);
        last = next;
      }

      await restartOf(plugin);
      client.restart();
      await client.fingerprint('node');
      const path = client.target(server.volume('data'), last.id, usage);
      expect(await client.hasMount(path)).toBe(true);
      expect(await client.mountVolume(server.volume('data'), last.id, usage)).toBe(path);
      await expectWritten(path, said, 'after the restarts');
      // Of what it never saw mounted it takes itself for the last user, when it has forgotten all
      // others. It tries again for a day: by then the other one has ended.
      client.restart();
      await client.fingerprint('node');
      const other = allocation('data', usage);
      const early = client.unmountVolume(server.volume('data'), other.id, usage);
      await expect(early).rejects.toThrow(/FAILED_PRECONDITION .*still published on .*/);
      await expectWritten(path, said, 'after a late unmount of another one');
      await server.stop(last, client);
      await client.unmountVolume(server.volume('data'), other.id, usage);
      await server.stop(last, client);
      await untilFree(cluster, folder);
      await server.delete('data');
      await client.unmountVolume({ ...GONE, externalId: 'data' }, last.id, usage);
    }),
  TIMEOUT_MS,
);

real.test(
  'a volume made elsewhere is registered, each allocation of a group has its own, and raw devices',
  () =>
    withNomad(async ({ cluster, folder, node }) => {
      const { client } = await node(1);
      await client.fingerprint('node');
      const server = new NomadServer(client);
      await expectRefusals(server);

      await cluster.mayactl('volume', 'create', 'theirs', '--size', '64M', '--replicas', '1');
      const theirs = await server.register({ ...FILE, id: 'theirs' });
      expect(theirs.externalId).toBe('theirs');
      for (const index of [0, 1]) await server.create({ ...FILE, id: `mine[${index}]` });
      const raw = { ...WRITER, attachmentMode: 'block-device' } as const;
      await server.create({ ...FILE, id: 'raw', capabilities: [raw], capacityMinBytes: 65 * MiB });
      const sources = ['theirs', 'mine[0]', 'mine[1]'];
      const allocations = sources.map((source) => allocation(source));
      const paths = await Promise.all(allocations.map((one) => server.start(one, client)));
      for (const [index, path] of paths.entries()) {
        await expectWritten(path, [], sources[index] ?? '');
      }
      const disk = allocation('raw', raw);
      const device = await server.start(disk, client);
      expect((await stat(device)).isBlockDevice()).toBe(true);
      expect(Number(await runOk('blockdev', ['--getsize64', device]))).toBe(65 * MiB);
      expect(await cluster.mayactl('volume', 'show', 'mine[1]')).toContain(
        `nomad (allocation ${allocations[2]?.id ?? ''})`,
      );
      for (const one of [...allocations, disk]) await server.stop(one, client);
      await untilFree(cluster, folder);
      for (const id of [...sources, 'raw']) await server.delete(id);
      expect((await cluster.client.listVolumes()).volumes).toEqual([]);
    }),
  TIMEOUT_MS,
);

real.test(
  'of a node that does not answer the claim is given back at once, and no data is at risk',
  () =>
    withNomad(async ({ cluster, folder, node }) => {
      const [dead, alive] = [await node(1), await node(2)];
      for (const { client } of [dead, alive]) await client.fingerprint('node');
      const server = new NomadServer(alive.client);
      await server.create({ ...FILE, id: 'data' });
      const said: string[] = [];
      const lost = allocation('data');
      const path = await server.start(lost, dead.client);
      await expectWritten(path, said, 'before');
      const { pid } = await cluster.service('agent', 'node-1');
      process.kill(pid, 'SIGSTOP');
      try {
        const begunMs = performance.now();
        await server.unpublish(lost, dead.client);
        // A fraction of the time after which a node counts as lost.
        expect(performance.now() - begunMs).toBeLessThan(10_000);
        expect((await cluster.volume('data')).claim).toBeNull();
        await expect(server.claim(allocation('data'), alive.client)).rejects.toThrow(
          /FAILED_PRECONDITION .*node-1/,
        );
      } finally {
        process.kill(pid, 'SIGCONT');
      }
      // It is back, and its client cleans up what the servers have written off.
      await waitFor('it is back', () => cluster.agent('node-1').info(), 30_000);
      await dead.client.unmountVolume(server.volume('data'), lost.id, WRITER);
      const next = allocation('data');
      await expectWritten(await server.start(next, alive.client), said, 'after');
      await server.stop(next, alive.client);
      await untilFree(cluster, folder);
      await server.delete('data');
    }),
  TIMEOUT_MS,
);

const NODE_2 = { 'topology.openebs.io/node': 'node-2' };
const NODES = [{ 'topology.openebs.io/node': 'node-1' }, NODE_2];
const GONE = { id: 'data', namespace: 'default', context: {} };

/** A cluster of two nodes, and a folder in which Nomad keeps its own. */
async function withNomad(body: (rig: Rig) => Promise<void>): Promise<void> {
  await using nomad = await temporaryFolder('nomad');
  const folder = nomad.path;
  try {
    await withCluster({ nodeCount: 2 }, async (cluster) => {
      await using plugins = new AsyncDisposableStack();
      const node = async (number: 1 | 2, { mode = 'all', version }: NodeOptions = {}) => {
        const name = `${number}-${mode}-${version ?? 'any'}`;
        const plugin = await CsiPlugin.start({
          agent: cluster.agentAddress(`node-${number}`),
          socketPath: join(folder, `${name}.sock`),
          orchestrator: 'nomad',
          mode,
        });
        plugins.use(plugin);
        const root = join(folder, name);
        const newer = version === undefined ? {} : { version };
        return { plugin, client: new NomadClient({ plugin: plugin.client, root, ...newer }) };
      };
      await body({ cluster, folder, node });
    });
    expect(await lastingLeftovers(folder)).toEqual([]);
  } finally {
    await takeAwayByForce(folder);
  }
}

function allocation(source: string, usage = WRITER): Allocation {
  return { id: crypto.randomUUID(), source, usage };
}

/** Adds a line to what is there, which must be all that was `said` before. */
async function expectWritten(path: string, said: string[], line: string): Promise<void> {
  const file = join(path, 'said');
  if (said.length > 0) expect(await readFile(file, 'utf8')).toBe(said.join('\n'));
  said.push(line);
  await writeFile(file, said.join('\n'), { flush: true });
}

async function expectFingerprint(client: NomadClient): Promise<void> {
  expect(await client.supervise()).toEqual({
    name: 'maya.csi.openebs.io',
    version: expect.stringMatching(/^[0-9]+\./),
  });
  const plugin = ['CONTROLLER_SERVICE', 'VOLUME_ACCESSIBILITY_CONSTRAINTS'];
  const controller = await client.fingerprint('controller');
  const node = await client.fingerprint('node');
  const made = ['CREATE_DELETE_VOLUME', 'PUBLISH_UNPUBLISH_VOLUME', 'LIST_VOLUMES'];
  expect(controller).toEqual(expect.arrayContaining([...plugin, ...made]));
  expect(node).toEqual(expect.arrayContaining([...plugin, 'STAGE_UNSTAGE_VOLUME']));
  // They would make Nomad offer what is not there.
  const all = [...controller, ...node];
  expect(all.filter((name) => /EXPAND|SNAPSHOT|CLONE/.test(name))).toEqual([]);
  expect(client.nodeId).toBe('node-1');
}

/** A plugin of one kind has the calls of that kind. */
async function expectModes(controller: NomadNode, node: NomadNode): Promise<void> {
  for (const { client } of [controller, node]) await client.supervise();
  await controller.client.fingerprint('controller');
  await node.client.fingerprint('node');
  const unknown = { code: 'UNIMPLEMENTED' };
  expect(await controller.plugin.client.node('NodeGetInfo')).toMatchObject(unknown);
  expect(await node.plugin.client.controller('ListVolumes')).toMatchObject(unknown);
}

/** Each in one sentence that names what is wrong and what is right, and nothing is made. */
async function expectRefusals(server: NomadServer): Promise<void> {
  const create = (more: Partial<VolumeFile>) => server.create({ ...FILE, id: 'data', ...more });
  const refusals: readonly (readonly [Partial<VolumeFile>, RegExp])[] = [
    [{ parameters: { skuname: 'x' } }, /INVALID_ARGUMENT .*"skuname" .*valid options: size/],
    [{ parameters: { replicas: '9' } }, /INVALID_ARGUMENT .*replicas="9"/],
    [{ id: '../data' }, /INVALID_ARGUMENT .*a volume name starts with/],
    [{ capacityMinBytes: 2, capacityMaxBytes: 3 }, /OUT_OF_RANGE .*64 MiB/],
    [{ mountOptions: { fsType: 'btrfs' } }, /INVALID_ARGUMENT .*"btrfs" is not one of ext4, xfs/],
    [{ capabilities: [MANY] }, /INVALID_ARGUMENT .*MULTI_NODE_MULTI_WRITER is not available/],
    [{ requiredTopologies: [{ rack: 'R1' }] }, /INVALID_ARGUMENT .*"rack"; valid segments/],
    [{ parameters: { replicas: '5' } }, /RESOURCE_EXHAUSTED .*5/],
  ];
  for (const [more, sentence] of refusals) await expect(create(more)).rejects.toThrow(sentence);
  const absent = server.register({ ...FILE, id: 'nobody-has-it' });
  await expect(absent).rejects.toThrow(/NOT_FOUND .*"nobody-has-it"/);
  expect(await server.listExternal()).toEqual([]);
}
const MANY = { ...WRITER, accessMode: 'multi-node-multi-writer' };

/** As Nomad's supervisor does with a task that was killed. */
async function restartOf(plugin: CsiPlugin): Promise<void> {
  await plugin.kill();
  plugin.startAgain();
  await plugin.untilItListens();
}
