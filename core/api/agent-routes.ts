/** Every route of the agent, as data: what is asked, what is answered, what may go wrong. */
import { z } from 'zod';
import * as agent from './agent.ts';
import type { ApiErrorCode } from './errors.ts';
import { nodeListSchema } from './nodes.ts';
import * as volumes from './volumes.ts';

export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  /** With parameters as express has them: `/v1/volumes/:volume`. */
  readonly path: string;
  readonly summary: string;
  /** Who it is for: `front doors`, or the reconciler and the operator's own tools. */
  readonly tag: 'volumes' | 'staging' | 'cluster' | 'instances' | 'node';
  readonly request?: z.ZodType;
  /** Absent: 204, nothing. */
  readonly answer?: z.ZodType;
  readonly query?: readonly string[];
  /** Beyond those that every route may have (EVERYWHERE). */
  readonly errors?: readonly ApiErrorCode[];
}

/** A request that is not as it must be, an agent or apiserver that cannot do it now, a bug. */
export const EVERYWHERE: readonly ApiErrorCode[] = [
  'badRequest',
  'unavailable',
  'timeout',
  'internal',
];

const VOLUME = '/v1/volumes/:volume';
const healthSchema = z.object({ status: z.literal('ok') });

const volumeRoutes: readonly Route[] = [
  {
    method: 'post',
    path: '/v1/volumes',
    tag: 'volumes',
    summary: 'Makes a volume, and waits until it is ready; equal options again: the same volume.',
    request: agent.agentCreateSchema,
    answer: agent.agentVolumeSchema,
    errors: ['exists', 'unplaceable', 'noSpace', 'dataLoss'],
  },
  {
    method: 'get',
    path: '/v1/volumes',
    tag: 'volumes',
    summary: "All volumes; from the agent's own record while the apiserver is away.",
    answer: agent.agentVolumeListSchema,
  },
  {
    method: 'get',
    path: VOLUME,
    tag: 'volumes',
    summary: 'One volume, by id or name.',
    answer: agent.agentVolumeSchema,
    errors: ['notFound'],
  },
  {
    method: 'delete',
    path: VOLUME,
    tag: 'volumes',
    summary: 'Deletes it with its files; not there: fine.',
    errors: ['inUse'],
  },
  {
    method: 'post',
    path: `${VOLUME}/attach`,
    tag: 'volumes',
    summary: 'Attaches it here for one consumer; idempotent, counted by consumer.',
    request: agent.agentAttachSchema,
    answer: agent.agentAttachAnswerSchema,
    errors: ['notFound', 'inUse', 'exists', 'dataLoss'],
  },
  {
    method: 'post',
    path: `${VOLUME}/detach`,
    tag: 'volumes',
    summary: 'Drops one consumer; with the last one it is unmounted and detached.',
    request: agent.agentDetachSchema,
    errors: ['notFound', 'inUse'],
  },
];

const stagingRoutes: readonly Route[] = [
  {
    method: 'post',
    path: `${VOLUME}/stage`,
    tag: 'staging',
    summary: 'Attaches it for a staging path, which is its consumer (CSI NodeStageVolume).',
    request: agent.stageSchema,
    answer: agent.agentAttachAnswerSchema,
    errors: ['notFound', 'inUse', 'exists', 'dataLoss'],
  },
  {
    method: 'post',
    path: `${VOLUME}/unstage`,
    tag: 'staging',
    summary: 'Drops a staging path; never staged: fine (CSI NodeUnstageVolume).',
    request: agent.unstageSchema,
    errors: ['notFound', 'inUse'],
  },
  {
    method: 'post',
    path: `${VOLUME}/publish`,
    tag: 'staging',
    summary: 'Shows what is staged on a path (CSI NodePublishVolume).',
    request: agent.publishSchema,
    errors: ['notFound', 'notStaged', 'inUse', 'exists'],
  },
  {
    method: 'post',
    path: `${VOLUME}/unpublish`,
    tag: 'staging',
    summary: 'Takes it away there; never published: fine (CSI NodeUnpublishVolume).',
    request: agent.unpublishSchema,
    errors: ['inUse'],
  },
  {
    method: 'post',
    path: `${VOLUME}/stats`,
    tag: 'staging',
    summary: 'Use and condition of what is staged or published (CSI NodeGetVolumeStats).',
    request: agent.statsRequestSchema,
    answer: agent.statsSchema,
    errors: ['notFound'],
  },
];

const clusterRoutes: readonly Route[] = [
  {
    method: 'post',
    path: `${VOLUME}/claim`,
    tag: 'cluster',
    summary: 'Sets it aside for one node and front door (CSI ControllerPublishVolume).',
    request: volumes.claimVolumeSchema,
    answer: agent.agentVolumeSchema,
    errors: ['notFound', 'inUse', 'exists'],
  },
  {
    method: 'post',
    path: `${VOLUME}/unclaim`,
    tag: 'cluster',
    summary: 'Gives the claim up; none: fine (CSI ControllerUnpublishVolume).',
    request: volumes.unclaimVolumeSchema,
  },
  {
    method: 'post',
    path: '/v1/capacity',
    tag: 'cluster',
    summary: 'The largest volume that could be made now (CSI GetCapacity).',
    request: volumes.capacityRequestSchema,
    answer: volumes.capacityAnswerSchema,
  },
  {
    method: 'get',
    path: '/v1/nodes',
    tag: 'cluster',
    summary: 'The nodes of the cluster, as the apiserver sees them.',
    answer: nodeListSchema,
  },
];

const instanceRoutes: readonly Route[] = [
  {
    method: 'put',
    path: '/v1/replicas/:id',
    tag: 'instances',
    summary: 'Makes the folder of a replica if that is asked, and runs its process.',
    request: agent.putReplicaSchema,
    answer: agent.replicaAnswerSchema,
    errors: ['dataLoss', 'noSpace'],
  },
  {
    method: 'delete',
    path: '/v1/replicas/:id',
    tag: 'instances',
    summary: 'Stops a replica and removes its files; gone: fine.',
    query: ['volume'],
    errors: ['inUse'],
  },
  {
    method: 'put',
    path: '/v1/targets/:volume',
    tag: 'instances',
    summary: 'Runs the target of an attachment; idempotent by its token.',
    request: agent.putTargetSchema,
    errors: ['inUse', 'dataLoss'],
  },
  {
    method: 'delete',
    path: '/v1/targets/:volume',
    tag: 'instances',
    summary: 'Flushes, releases the record, stops.',
    errors: ['inUse'],
  },
];

const nodeRoutes: readonly Route[] = [
  {
    method: 'get',
    path: '/healthz',
    tag: 'node',
    summary: 'Whether it answers at all.',
    answer: healthSchema,
  },
  {
    method: 'get',
    path: '/v1/info',
    tag: 'node',
    summary: 'The node, how it attaches, and what is wrong with it.',
    answer: agent.agentInfoSchema,
  },
  {
    method: 'get',
    path: '/v1/openapi.json',
    tag: 'node',
    summary: 'This description.',
    answer: z.record(z.string(), z.unknown()),
  },
  {
    method: 'post',
    path: '/v1/shutdown',
    tag: 'node',
    summary: 'Stops the node in stages; in use and not forced: nothing happens.',
    request: agent.shutdownSchema,
    answer: agent.shutdownAnswerSchema,
    errors: ['inUse'],
  },
];

export const AGENT_ROUTES: readonly Route[] = [
  ...volumeRoutes,
  ...stagingRoutes,
  ...clusterRoutes,
  ...instanceRoutes,
  ...nodeRoutes,
];
