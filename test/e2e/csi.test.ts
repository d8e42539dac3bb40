/** CSI over the sockets that `maya up` serves: the life of one volume, on two nodes. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { MiB } from '../../core/units.ts';
import { CsiClient } from '../fixtures/csi-client.ts';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { mountPointsOf } from '../fixtures/rigs/leftovers.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const TIMEOUT_MS = 240_000;
const real = needs({ linux: true, root: true, command: CLUSTER_COMMANDS });
const done = { ok: {} };
const volumeCapability = {
  mount: { fsType: 'xfs', mountFlags: ['noatime'] },
  accessMode: { mode: 'SINGLE_NODE_MULTI_WRITER' },
};

real.test(
  'every node serves CSI and says where; a volume is made on one, used on another, and moves',
  () =>
    withCluster({ nodeCount: 2 }, async (cluster) => {
      const sockets = await waitFor('the sockets are announced', () => csiSockets(cluster), 15_000);
      expect(sockets).toEqual([1, 2].map((index) => `${cluster.folder}/node-${index}/csi.sock`));
      using one = new CsiClient(`unix:${sockets[0]}`);
      using two = new CsiClient(`unix:${sockets[1]}`);
      const made = await one.controller('CreateVolume', {
        name: 'data[0]',
        volumeCapabilities: [volumeCapability],
        capacityRange: { requiredBytes: 320 * MiB },
        parameters: { replicas: '2' },
        accessibilityRequirements: {
          preferred: [{ segments: { 'topology.openebs.io/node': 'node-2' } }],
        },
      });
      expect(made).toMatchObject({ ok: { volume: { capacityBytes: `${320 * MiB}` } } });
      const { id: volumeId } = await cluster.volume('data[0]');

      const paths = await pathsIn(cluster);
      const onTwo = new Workload(two, { volumeId, nodeId: 'node-2', ...paths });
      // The controller of one node publishes to another.
      expect(await one.controller('ControllerPublishVolume', onTwo.request)).toEqual(done);
      await onTwo.start();
      await writeFile(join(paths.targetPath, 'file'), 'written on node-2');
      const again = { ...onTwo.request, targetPath: `${paths.targetPath}-2`, readonly: true };
      expect(await two.node('NodePublishVolume', again)).toEqual(done);
      expect(await readFile(join(again.targetPath, 'file'), 'utf8')).toBe('written on node-2');
      await expect(writeFile(join(again.targetPath, 'x'), '')).rejects.toMatchObject({
        code: 'EROFS',
      });
      const stats = { ...onTwo.request, volumePath: paths.targetPath };
      expect(await two.node('NodeGetVolumeStats', stats)).toMatchObject({
        ok: { usage: [{ unit: 'BYTES' }, { unit: 'INODES' }] },
      });
      expect(await one.controller('ListVolumes')).toMatchObject({
        ok: { entries: [{ volume: { volumeId }, status: { publishedNodeIds: ['node-2'] } }] },
      });

      const onOne = new Workload(one, { volumeId, nodeId: 'node-1', ...paths });
      expect(await one.controller('ControllerPublishVolume', onOne.request)).toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: expect.stringContaining('on node node-2'),
      });
      expect(await one.node('NodeStageVolume', onOne.request)).toMatchObject({
        code: 'FAILED_PRECONDITION',
      });
      const busy = await one.controller('DeleteVolume', { volumeId });
      expect(busy).toMatchObject({ code: 'FAILED_PRECONDITION' });
      expect(await two.node('NodeUnpublishVolume', again)).toEqual(done);
      await onTwo.stop();
      expect(await one.controller('ControllerUnpublishVolume', onTwo.request)).toEqual(done);

      expect(await two.controller('ControllerPublishVolume', onOne.request)).toEqual(done);
      await onOne.start();
      expect(await readFile(join(paths.targetPath, 'file'), 'utf8')).toBe('written on node-2');
      await onOne.stop();
      expect(await two.controller('ControllerUnpublishVolume', onOne.request)).toEqual(done);
      expect((await mountPointsOf(cluster.folder, 'self')).filter(isOf(paths))).toEqual([]);
      expect(await two.controller('DeleteVolume', { volumeId })).toEqual(done);
    }),
  TIMEOUT_MS,
);

/** `mayactl status -o json`; undefined until the nodes have told. */
async function csiSockets(cluster: Cluster): Promise<string[] | undefined> {
  const text = await cluster.mayactl('status', '-o', 'json');
  const { nodes } = JSON.parse(text) as { nodes: { sockets: { csi?: string } }[] };
  const sockets = nodes.flatMap((node) => node.sockets.csi ?? []);
  return sockets.length === nodes.length ? sockets : undefined;
}

interface Paths {
  readonly stagingTargetPath: string;
  readonly targetPath: string;
}

async function pathsIn({ folder }: Cluster): Promise<Paths> {
  const base = join(folder, 'orchestrator');
  await mkdir(base, { recursive: true });
  return { stagingTargetPath: join(base, 'globalmount'), targetPath: join(base, 'pod') };
}

function isOf({ targetPath, stagingTargetPath }: Paths): (path: string) => boolean {
  return (path) => path.startsWith(targetPath) || path.startsWith(stagingTargetPath);
}

/** What an orchestrator does around a workload on one node. */
class Workload {
  readonly request: Paths & {
    readonly volumeId: string;
    readonly nodeId: string;
    readonly volumeCapability: object;
  };
  readonly #node: CsiClient;

  constructor(node: CsiClient, request: Paths & { volumeId: string; nodeId: string }) {
    this.#node = node;
    this.request = { ...request, volumeCapability };
  }

  async start(): Promise<void> {
    expect(await this.#node.node('NodeStageVolume', this.request)).toEqual(done);
    expect(await this.#node.node('NodePublishVolume', this.request)).toEqual(done);
  }

  async stop(): Promise<void> {
    expect(await this.#node.node('NodeUnpublishVolume', this.request)).toEqual(done);
    await expect(stat(this.request.targetPath)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await this.#node.node('NodeUnstageVolume', this.request)).toEqual(done);
  }
}
