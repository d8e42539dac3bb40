/** What is measured: started once, and reached like any iSCSI target. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { INITIATOR_NAME } from '../fixtures/iscsi-login.ts';
import { parseIscsiUrl } from '../fixtures/iscsi-url.ts';
import { Cluster, type Service } from '../fixtures/rigs/cluster.ts';
import { takeAwayByForce } from '../fixtures/rigs/force.ts';
import { type IscsiEndpoint, startTgt } from '../fixtures/rigs/tgt.ts';

export type MeasuredProcess = {
  readonly name: string;
  readonly pid: number;
  /** Commands go through it: its CPU time counts. */
  readonly isOnDataPath: boolean;
};

export type RunningSystem = AsyncDisposable & {
  readonly endpoint: IscsiEndpoint;
  /** All that works for the volume; the load generator is not among them. */
  readonly processes: readonly MeasuredProcess[];
};

export type System = {
  readonly name: string;
  /** @param folder of its own, existing. */
  readonly start: (folder: string, sizeBytes: number) => Promise<RunningSystem>;
};

/** The peer: written in C, keeps one copy in one file. */
export const TGT: System = {
  name: 'tgt',
  async start(folder, sizeBytes) {
    const server = await startTgt(folder, sizeBytes);
    return {
      endpoint: server,
      processes: [{ name: 'tgtd', pid: server.pid, isOnDataPath: true }],
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
};

const VOLUME = 'bench';

/** A cluster of our own with a volume of so many replicas, each on a node of its own. */
export function ours(replicaCount: number): System {
  const name = replicaCount === 1 ? 'ours, 1 replica' : `ours, ${replicaCount} replicas`;
  return {
    name,
    async start(folder, sizeBytes) {
      const stop = async (cluster: Cluster | null) => {
        await cluster?.mayactl('volume', 'detach', VOLUME);
        await cluster?.interrupt();
        await takeAwayByForce(folder);
      };
      let cluster: Cluster | null = null;
      try {
        cluster = await Cluster.start(folder, { nodeCount: replicaCount });
        const running = cluster;
        const shape = ['--size', `${sizeBytes}`, '--replicas', `${replicaCount}`];
        await cluster.mayactl('volume', 'create', VOLUME, ...shape);
        const admitted = ['--no-mount', '--initiator', INITIATOR_NAME];
        await cluster.mayactl('volume', 'attach', VOLUME, ...admitted);
        const endpoint = parseIscsiUrl(await cluster.mayactl('volume', 'url', VOLUME));
        return {
          endpoint,
          processes: (await cluster.services()).map(measured),
          [Symbol.asyncDispose]: () => stop(running),
        };
      } catch (error) {
        await stop(cluster).catch(() => undefined);
        throw error;
      }
    },
  };
}

function measured({ kind, node, pid }: Service): MeasuredProcess {
  const isOnDataPath = kind === 'target' || kind === 'replica';
  return { name: node === '' ? kind : `${kind} ${node}`, pid, isOnDataPath };
}

export async function startSystem(
  system: System,
  folder: string,
  sizeBytes: number,
): Promise<RunningSystem> {
  const own = join(folder, system.name.replaceAll(/[^a-z0-9]+/g, '-'));
  await mkdir(own);
  return system.start(own, sizeBytes);
}
