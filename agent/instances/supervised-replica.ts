import type { ProcessExit } from '../host/processes.ts';
import type { Pools } from '../pools/pools.ts';
import type { JsonFolder } from '../state/json-folder.ts';
import type { ReplicaSpec } from '../state/schemas.ts';
import type { InstanceDependencies } from './dependencies.ts';
import type { Supervised } from './process/supervisor.ts';
import { processOfConfig } from './process-state.ts';
import { type ReplicaConfig, replicaFolder } from './replica-program.ts';

interface SupervisedReplicaDependencies extends InstanceDependencies {
  readonly specs: JsonFolder<ReplicaSpec>;
  readonly pools: Pools;
}

const STATUS_TIMEOUT_MS = 2_000;

/** @param writeConfig writes the configuration for the spec in that pool folder. */
export function supervisedReplica(
  replicaId: string,
  dependencies: SupervisedReplicaDependencies,
  writeConfig: (spec: ReplicaSpec, poolPath: string) => Promise<void>,
): Supervised {
  const { paths, specs, pools, files, processes } = dependencies;
  const configPath = paths.config('replica', replicaId);
  const adminSocket = paths.replicaAdminSocket(replicaId);
  const transport = dependencies.transport(`unix:${adminSocket}`);
  const requireSpec = () => {
    const spec = specs.get(replicaId);
    if (spec === null) throw new Error(`replica ${replicaId} was removed`);
    return spec;
  };
  return {
    name: `replica ${replicaId}`,
    logPath: paths.log('replica', replicaId),
    prepare: async () => {
      if ((await processOfConfig(processes, configPath)) !== null) {
        throw new Error('an earlier process of this replica still runs here');
      }
      const spec = requireSpec();
      const poolPath = await pools.folder(spec.poolId);
      if (!(await files.exists(replicaFolder(poolPath, replicaId)))) {
        throw new Error(`its folder is not in the pool ${poolPath}: is the right disk mounted?`);
      }
      await files.remove(adminSocket);
      await writeConfig(spec, poolPath);
      return [...dependencies.launcher, 'replica', 'serve', '--config', configPath];
    },
    started: (identity) => specs.put(replicaId, { ...requireSpec(), process: identity }),
    isReady: async () => {
      const request = { method: 'GET', path: '/status', timeoutMs: STATUS_TIMEOUT_MS } as const;
      return (await transport.request(request)).status === 200;
    },
    // A replica has no end of its own: whatever its exit, it is wanted until it is removed.
    verdict: async (_exit: ProcessExit) => (specs.get(replicaId) === null ? 'done' : 'restart'),
  };
}

export async function writeReplicaConfig(
  { files, paths }: InstanceDependencies,
  config: ReplicaConfig,
): Promise<void> {
  const content = `${JSON.stringify(config, null, 2)}\n`;
  await files.replaceWhole(paths.config('replica', config.replicaId), Buffer.from(content));
}
