import type { Clock } from '../../core/platform/clock.ts';
import type { Logger } from '../../core/platform/logger.ts';
import type { Random } from '../../core/platform/random.ts';
import { Reconciler } from '../reconciler/loop.ts';
import { Observations } from '../reconciler/observed.ts';
import { perform } from '../reconciler/perform.ts';
import type { Runtime } from '../reconciler/ports.ts';
import { strangerIds, type World } from '../reconciler/world.ts';
import { type Store, StoreError } from '../store/store.ts';
import { Changes } from './changes.ts';
import type { ClusterContext } from './context.ts';
import { Exclusive } from './exclusive.ts';
import { NodeRegistry } from './node-registry.ts';
import type { PortalPorts } from './portal-ports.ts';
import { VolumeDocuments } from './volume-documents.ts';

export interface ClusterDependencies {
  readonly version: string;
  readonly store: Store;
  readonly runtime: Runtime;
  readonly portals: PortalPorts;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Where targets find the record: known once the apiserver listens. */
  readonly storeAddress: () => string;
  /** Called when the store answers nothing any more until the next start. */
  readonly onStoreLost: (error: StoreError) => void;
}

/** Everything behind the HTTP API, wired; the reconciler is not started yet. */
export async function openCluster(dependencies: ClusterDependencies): Promise<ClusterContext> {
  const { store, clock, random, log, portals, version } = dependencies;
  const observations = new Observations(clock);
  const changes: Changes = new Changes(() => reconciler.kick());
  const volumes = await VolumeDocuments.open(store, changes, clock);
  const nodes = await NodeRegistry.open({ store, observations, changes, clock });
  const performing = { ...dependencies, volumes, observations };
  const reconciler: Reconciler = new Reconciler({
    observe: () => reportingLoss(dependencies, () => observe(volumes, observations)),
    perform: (action, attempt) => perform(action, attempt, performing),
    clock,
    log,
  });
  return {
    version,
    store,
    volumes,
    observations,
    nodes,
    reconciler,
    changes,
    portals,
    placing: new Exclusive(),
    clock,
    random,
    log,
  };
}

async function observe(volumes: VolumeDocuments, observations: Observations): Promise<World> {
  const wanted = await volumes.list();
  const nodes = observations.nodes();
  const buried = await volumes.buried(strangerIds(wanted, nodes));
  return { volumes: wanted, nodes, buried };
}

async function reportingLoss<Answer>(
  { onStoreLost }: ClusterDependencies,
  work: () => Promise<Answer>,
): Promise<Answer> {
  try {
    return await work();
  } catch (error) {
    const isLost = error instanceof StoreError && error.code !== 'full';
    if (isLost) onStoreLost(error);
    throw error;
  }
}
