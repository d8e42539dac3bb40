/** What the scheduler is told of the nodes, and what it said, as a document. */
import { apiError } from '../../core/api/errors.ts';
import type { PoolReport } from '../../core/api/nodes.ts';
import {
  type CapacityRequest,
  type CreateVolume,
  DEFAULT_REPLICAS,
} from '../../core/api/volumes.ts';
import { LOGICAL_BLOCK_BYTES } from '../../core/limits.ts';
import { RECORD_FORMAT_VERSION, type VolumeRecord } from '../../core/volume/record.ts';
import { type NodeSight, type Nodes, silence } from '../reconciler/observed.ts';
import { VOLUME_FORMAT_VERSION, type VolumeDocument } from '../reconciler/volume.ts';
import { largestVolumeBytes } from '../scheduler/capacity.ts';
import { place } from '../scheduler/place.ts';
import type { PlacedReplica, SchedulerNode, SchedulerPool } from '../scheduler/pools.ts';
import type { ClusterContext } from './context.ts';
import { wantedOptions } from './options.ts';
import { choosePort, portOf } from './portal-ports.ts';

/** @throws ApiError `unplaceable`, `noSpace` or `unavailable`, with a sentence; nothing is made. */
export async function newVolume(
  context: ClusterContext,
  request: CreateVolume,
  volumes: readonly VolumeDocument[],
): Promise<VolumeDocument> {
  const { name } = request;
  const nodes = context.observations.nodes();
  const id = context.random.uuid();
  const options = wantedOptions(request, defaultReplicaCount(nodes, request));
  const placement = place(
    {
      sizeBytes: options.sizeBytes,
      replicaCount: options.replicaCount,
      poolName: options.pool,
      nodeNames: options.nodes,
      zones: options.zones,
      preferredNodes: request.preferredNodes ?? [],
      seed: id,
    },
    schedulerNodes(nodes, volumes),
  );
  if (placement.kind !== 'placed') {
    const detail = `volume "${name}" cannot be placed: ${placement.detail}`;
    throw apiError(placement.kind, detail, { volume: name });
  }
  const replicas = placement.replicas.map((replica) => ({
    ...replica,
    id: context.random.uuid(),
    folder: 'wanted' as const,
  }));
  return {
    formatVersion: VOLUME_FORMAT_VERSION,
    id,
    name,
    createdAt: new Date(context.clock.wallMs()).toISOString(),
    options,
    portal: `127.0.0.1:${await portalPort(context, request, volumes)}`,
    replicaToken: context.random.bytes(32).toString('hex'),
    replicas,
    record: firstRecord(context, id, options, replicas),
    door: null,
    claim: null,
    phase: { kind: 'creating' },
  };
}

/** The largest volume that could be placed now; 0 when none could. */
export async function capacityBytes(
  { observations, volumes }: ClusterContext,
  request: CapacityRequest,
): Promise<number> {
  const nodes = observations.nodes();
  const placement = {
    replicaCount: request.replicas ?? defaultReplicaCount(nodes, request),
    poolName: request.pool ?? null,
    nodeNames: request.nodes ?? [],
    zones: request.zones ?? [],
    preferredNodes: [],
    seed: '',
  };
  return largestVolumeBytes(placement, schedulerNodes(nodes, await volumes.list()));
}

/** 3, or the number of nodes that have storage and are there, when that is fewer. */
export function defaultReplicaCount(nodes: Nodes, request: CapacityRequest): number {
  const { pool, nodes: names, zones } = request;
  const usable = [...nodes.values()].filter(
    ({ name, state, heartbeat }) =>
      state === 'online' &&
      (names === undefined || names.includes(name)) &&
      (zones === undefined || (heartbeat.zone !== null && zones.includes(heartbeat.zone))) &&
      heartbeat.pools.some((found) => pool === undefined || found.name === pool),
  );
  return Math.max(1, Math.min(DEFAULT_REPLICAS, usable.length));
}

/** What the pools will have when all placements made so far are there. */
export function schedulerNodes(
  nodes: Nodes,
  volumes: readonly VolumeDocument[],
): readonly SchedulerNode[] {
  return [...nodes.values()].map((node) => ({
    name: node.name,
    zone: node.heartbeat.zone,
    refusal: node.state === 'lost' ? `is lost (${silence(node)})` : '',
    pools: node.heartbeat.pools.map((pool) => schedulerPool(node, pool, volumes)),
  }));
}

function schedulerPool(
  node: NodeSight,
  pool: PoolReport,
  volumes: readonly VolumeDocument[],
): SchedulerPool {
  const { heartbeat } = node;
  const reported = heartbeat.replicas.filter((replica) => replica.poolId === pool.id);
  const reportedIds = new Set(reported.map((replica) => replica.replicaId));
  const allocated = reported.reduce((sum, replica) => sum + replica.allocatedBytes, 0);
  const inFlight = volumes
    .filter(({ phase }) => phase.kind !== 'deleting')
    .flatMap(({ replicas, options }) =>
      replicas
        .filter(({ id, poolId }) => poolId === pool.id && !reportedIds.has(id))
        .map(() => options.sizeBytes),
    );
  return {
    id: pool.id,
    name: pool.name,
    isOnline: pool.state === 'online',
    reason: pool.reason,
    // File system ids are the machine's own; its boot id tells machines apart.
    group: `${heartbeat.bootId} ${pool.fileSystemId}`,
    availableBytes: pool.availableBytes,
    unwrittenBytes: Math.max(0, pool.reservedBytes - allocated),
    inFlightBytes: inFlight.reduce((sum, sizeBytes) => sum + sizeBytes, 0),
  };
}

async function portalPort(
  { portals }: ClusterContext,
  { name }: CreateVolume,
  volumes: readonly VolumeDocument[],
): Promise<number> {
  const port = await choosePort(portals, new Set(volumes.map(({ portal }) => portOf(portal))));
  if (port !== null) return port;
  const { from, to } = portals.range;
  throw apiError(
    'unavailable',
    `volume "${name}" cannot be made: no portal port is left in ${from}-${to}; delete volumes, ` +
      'or start the apiserver with a wider --portal-ports',
    { volume: name },
  );
}

/** Minted with the folders, in the store once all of them are there (R5, R6). */
function firstRecord(
  { random }: ClusterContext,
  volumeId: string,
  { sizeBytes, fileSystem }: VolumeDocument['options'],
  replicas: readonly (PlacedReplica & { readonly id: string })[],
): VolumeRecord {
  return {
    formatVersion: RECORD_FORMAT_VERSION,
    volumeId,
    incarnation: random.uuid(),
    epoch: 0,
    generation: 1,
    targetInstance: null,
    releasedBy: null,
    attachment: null,
    replicas: replicas.map(({ id, node }) => ({ id, node, state: 'inSync' })),
    sizeBytes,
    blockSizeBytes: LOGICAL_BLOCK_BYTES,
    fileSystem: { kind: fileSystem, uuid: null, state: 'blank' },
    snapshots: [],
    reservations: [],
    minInSync: 1,
  };
}
