import type { ProcessExit, ProcessIdentity } from '../host/processes.ts';
import type { JsonFolder } from '../state/json-folder.ts';
import type { TargetSpec } from '../state/schemas.ts';
import type { InstanceDependencies } from './dependencies.ts';
import type { Supervised } from './process/supervisor.ts';
import { processOfConfig } from './process-state.ts';
import { readTargetStatus } from './target-status.ts';

/** Exit status by which a target asks not to be started again for this attachment. */
export const EXIT_HELD = 3;
/** Only the instance that the record names can be asked for: a few back are plenty. */
const RUNS_KEPT_COUNT_MAX = 16;

/** Each start is a new instance with a random id, and a configuration file written for it. */
export function supervisedTarget(
  volumeId: string,
  specs: JsonFolder<TargetSpec>,
  dependencies: InstanceDependencies,
): Supervised {
  const { paths, files, processes, random } = dependencies;
  const configPath = paths.config('target', volumeId);
  const adminSocket = paths.targetAdminSocket(volumeId);
  const transport = dependencies.transport(`unix:${adminSocket}`);
  const requireSpec = () => {
    const spec = specs.get(volumeId);
    if (spec === null) throw new Error(`the target of volume ${volumeId} was removed`);
    return spec;
  };
  return {
    name: `target ${volumeId}`,
    logPath: paths.log('target', volumeId),
    prepare: async () => {
      if ((await processOfConfig(processes, configPath)) !== null) {
        throw new Error('an earlier target of this volume still runs here');
      }
      const spec = requireSpec();
      const instance = random.uuid();
      const knownDead = knownDeadInstances(spec, (identity) => processes.isAlive(identity));
      const runs = [...spec.runs, { instance, process: null }].slice(-RUNS_KEPT_COUNT_MAX);
      await specs.put(volumeId, { ...spec, runs });
      await files.remove(adminSocket);
      const config = targetConfig(spec, { instance, node: dependencies.node, adminSocket });
      const content = JSON.stringify({ ...config, knownDead }, null, 2);
      await files.replaceWhole(configPath, Buffer.from(`${content}\n`));
      return [...dependencies.launcher, 'target', '--config', configPath];
    },
    started: async (identity) => {
      const spec = requireSpec();
      await specs.put(volumeId, withProcess(spec, identity));
    },
    isReady: async () => (await readTargetStatus(transport)) !== null,
    verdict: async (exit: ProcessExit, reason: string) => {
      const spec = specs.get(volumeId);
      if (spec === null || spec.wanted === 'stopped') return 'done';
      if (exit.exitCode !== EXIT_HELD) return 'restart';
      await specs.put(volumeId, { ...spec, heldFor: reason });
      return 'hold';
    },
  };
}

/** The present run, or null before the first. */
export function presentRun(spec: TargetSpec): TargetSpec['runs'][number] | null {
  return spec.runs.at(-1) ?? null;
}

/**
 * Earlier instances whose process is certainly gone (R11). One whose pid was never written down is
 * left out: the new target waits out its lease instead.
 */
export function knownDeadInstances(
  spec: TargetSpec,
  isAlive: (identity: ProcessIdentity) => boolean,
): readonly string[] {
  return spec.runs
    .filter((run) => run.process !== null && !isAlive(run.process))
    .map((run) => run.instance);
}

function withProcess(spec: TargetSpec, identity: ProcessIdentity): TargetSpec {
  const runs = spec.runs.map((run, index) =>
    index === spec.runs.length - 1 ? { ...run, process: identity } : run,
  );
  return { ...spec, runs };
}

/** What target/main.ts reads; it is in a file because it holds secrets. */
function targetConfig(
  spec: TargetSpec,
  own: { readonly instance: string; readonly node: string; readonly adminSocket: string },
) {
  return {
    volumeId: spec.volumeId,
    volumeName: spec.volumeName,
    instance: own.instance,
    attachmentToken: spec.attachmentToken,
    iqn: spec.iqn,
    portal: spec.portal,
    storeAddress: spec.storeAddress,
    replicaToken: spec.replicaToken,
    node: own.node,
    adminSocket: own.adminSocket,
  };
}
