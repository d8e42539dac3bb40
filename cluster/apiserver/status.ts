import type { NodeView, StatusView } from '../../core/api/nodes.ts';
import type { VolumeView } from '../../core/api/volumes.ts';
import { type NodeSight, type Nodes, silence } from '../reconciler/observed.ts';
import type { VolumeDocument } from '../reconciler/volume.ts';
import { strangerIds } from '../reconciler/world.ts';
import type { ClusterContext } from './context.ts';
import { volumeView } from './volume-view.ts';

export function listNodes({ observations }: ClusterContext): NodeView[] {
  return [...observations.nodes().values()].map(nodeView);
}

export async function listVolumes(context: ClusterContext): Promise<VolumeView[]> {
  const nodes = context.observations.nodes();
  const volumes = await context.volumes.list();
  return volumes.map((volume) =>
    volumeView(volume, nodes, context.reconciler.hindrances(volume.id)),
  );
}

export async function statusOf(context: ClusterContext): Promise<StatusView> {
  const nodes = context.observations.nodes();
  const volumes = await context.volumes.list();
  const views = await listVolumes(context);
  const bad = views.filter(({ phase, condition }) => phase === 'ready' && condition !== 'healthy');
  return {
    version: context.version,
    revision: await context.store.revision(),
    nodes: listNodes(context),
    volumeCount: volumes.length,
    degraded: bad.map(({ name }) => name),
    warnings: [
      ...[...nodes.values()].flatMap(nodeWarnings),
      ...bad.map(({ name, message }) => `volume ${name}: ${message}`),
      ...views
        .filter(({ phase }) => phase === 'deleting')
        .map(({ name, message }) => `volume ${name} ${message}`),
      ...(await strangerWarnings(context, volumes, nodes)),
    ],
  };
}

function nodeView(node: NodeSight): NodeView {
  const { heartbeat, targets, replicas } = node;
  const runningTargets = [...targets.values()].filter(({ process }) => process !== 'stopped');
  return {
    name: node.name,
    state: node.state,
    agentAddress: heartbeat.agentAddress,
    zone: heartbeat.zone,
    lastSeenAt: new Date(node.lastSeenWallMs).toISOString(),
    version: heartbeat.version,
    pools: heartbeat.pools,
    replicaCount: replicas.size,
    targetCount: runningTargets.length,
    sockets: heartbeat.sockets,
  };
}

function nodeWarnings(node: NodeSight): string[] {
  if (node.state === 'lost') return [`node ${node.name} is lost (${silence(node)})`];
  return node.heartbeat.pools
    .filter((pool) => pool.state === 'failed')
    .map((pool) => `pool ${pool.name} of node ${node.name} has failed: ${pool.reason}`);
}

/** What nodes have that no volume and no tombstone names is left alone, and said (R7). */
async function strangerWarnings(
  { volumes: documents }: ClusterContext,
  volumes: readonly VolumeDocument[],
  nodes: Nodes,
): Promise<string[]> {
  const strangers = strangerIds(volumes, nodes);
  const buried = await documents.buried(strangers);
  return strangers
    .filter((id) => !buried.has(id))
    .map((id) => `nodes have files of volume ${id}, which this store does not know: left alone`);
}
