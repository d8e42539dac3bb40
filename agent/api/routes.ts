/** The agent's routes: parse, call, reply. What each means stands in core/api/agent.ts. */
import express, { type Request, type Response, type Router } from 'express';
import {
  AGENT_ROUTES,
  type AgentAttach,
  type AgentAttachAnswer,
  type AgentDetach,
  type AgentVolume,
  agentAttachSchema,
  agentCreateSchema,
  agentDetachSchema,
  apiError,
  badRequestFrom,
  type CapacityRequest,
  type ClaimVolume,
  type CreateVolume,
  capacityRequestSchema,
  claimVolumeSchema,
  openApi,
  type Publish,
  publishSchema,
  putReplicaSchema,
  putTargetSchema,
  type ShutdownAnswer,
  type Stage,
  type Stats,
  type StatsRequest,
  shutdownSchema,
  stageSchema,
  statsRequestSchema,
  type UnclaimVolume,
  type Unpublish,
  type Unstage,
  unclaimVolumeSchema,
  unpublishSchema,
  unstageSchema,
  volumeReferenceSchema,
} from '../../core/api/index.ts';
import { MiB } from '../../core/units.ts';
import type { PutReplica } from '../instances/replicas.ts';
import type { PutTarget } from '../instances/targets.ts';
import type { ShutdownRequest } from '../node/shutdown.ts';

/** What the routes call: the agent, without HTTP. Each may throw an ApiError. */
export interface AgentService {
  info(): Promise<object>;
  putReplica(replicaId: string, body: PutReplica): Promise<{ address: string }>;
  deleteReplica(replicaId: string, volumeId: string): Promise<void>;
  putTarget(volumeId: string, body: PutTarget): Promise<void>;
  deleteTarget(volumeId: string): Promise<void>;
  createVolume(body: CreateVolume): Promise<AgentVolume>;
  listVolumes(): Promise<{ volumes: AgentVolume[]; cached: boolean }>;
  getVolume(reference: string): Promise<AgentVolume>;
  deleteVolume(reference: string): Promise<void>;
  attach(reference: string, body: AgentAttach): Promise<AgentAttachAnswer>;
  detach(reference: string, body: AgentDetach): Promise<void>;
  stage(reference: string, body: Stage): Promise<AgentAttachAnswer>;
  unstage(reference: string, body: Unstage): Promise<void>;
  publish(reference: string, body: Publish): Promise<void>;
  unpublish(reference: string, body: Unpublish): Promise<void>;
  stats(reference: string, body: StatsRequest): Promise<Stats>;
  claim(reference: string, body: ClaimVolume): Promise<AgentVolume>;
  unclaim(reference: string, body: UnclaimVolume): Promise<void>;
  capacity(body: CapacityRequest): Promise<object>;
  listNodes(): Promise<object>;
  shutdown(body: ShutdownRequest): Promise<ShutdownAnswer>;
}

/** The contract of this version, as it is also kept in docs/api. */
export function agentOpenApi() {
  const info = {
    title: 'OpenEBS agent',
    version: '1',
    description:
      'The API of the agent of one node, on its unix socket: for the front doors, the reconciler ' +
      'and mayactl. Volumes are named by id or name.',
  };
  return openApi(info, AGENT_ROUTES);
}

/** A record with many members is a few KiB; a front door's request less. */
const BODY_BYTES_MAX = MiB;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function agentRoutes(agent: AgentService): Router {
  const router = express.Router();
  router.use(express.json({ limit: BODY_BYTES_MAX, type: () => true, strict: false }));
  router.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' });
  });
  router.get('/v1/openapi.json', (_request, response) => {
    response.json(agentOpenApi());
  });
  router.get('/v1/info', async (_request, response) => {
    response.json(await agent.info());
  });
  instanceRoutes(router, agent);
  volumeRoutes(router, agent);
  stagingRoutes(router, agent);
  clusterRoutes(router, agent);
  router.post('/v1/shutdown', async (request, response) => {
    response.json(await agent.shutdown(parse(shutdownSchema, request.body)));
  });
  return router;
}

function instanceRoutes(router: Router, agent: AgentService): void {
  router.put('/v1/replicas/:id', async (request, response) => {
    const body = parse(putReplicaSchema, request.body);
    response.json(await agent.putReplica(uuidOf(request.params.id, 'replica'), body));
  });
  router.delete('/v1/replicas/:id', async (request, response) => {
    const replicaId = uuidOf(request.params.id, 'replica');
    await agent.deleteReplica(replicaId, uuidOf(request.query['volume'], 'volume'));
    done(response);
  });
  router.put('/v1/targets/:volume', async (request, response) => {
    const body = parse(putTargetSchema, request.body);
    await agent.putTarget(uuidOf(request.params.volume, 'volume'), body);
    done(response);
  });
  router.delete('/v1/targets/:volume', async (request, response) => {
    await agent.deleteTarget(uuidOf(request.params.volume, 'volume'));
    done(response);
  });
}

function volumeRoutes(router: Router, agent: AgentService): void {
  router.post('/v1/volumes', async (request, response) => {
    response.json(await agent.createVolume(parse(agentCreateSchema, request.body)));
  });
  router.get('/v1/volumes', async (_request, response) => {
    response.json(await agent.listVolumes());
  });
  router.get('/v1/volumes/:volume', async (request, response) => {
    response.json(await agent.getVolume(referenceOf(request)));
  });
  router.delete('/v1/volumes/:volume', async (request, response) => {
    await agent.deleteVolume(referenceOf(request));
    done(response);
  });
  router.post('/v1/volumes/:volume/attach', async (request, response) => {
    const body = parse(agentAttachSchema, request.body);
    response.json(await agent.attach(referenceOf(request), body));
  });
  router.post('/v1/volumes/:volume/detach', async (request, response) => {
    await agent.detach(referenceOf(request), parse(agentDetachSchema, request.body ?? {}));
    done(response);
  });
}

function stagingRoutes(router: Router, agent: AgentService): void {
  router.post('/v1/volumes/:volume/stage', async (request, response) => {
    response.json(await agent.stage(referenceOf(request), parse(stageSchema, request.body)));
  });
  router.post('/v1/volumes/:volume/unstage', async (request, response) => {
    await agent.unstage(referenceOf(request), parse(unstageSchema, request.body));
    done(response);
  });
  router.post('/v1/volumes/:volume/publish', async (request, response) => {
    await agent.publish(referenceOf(request), parse(publishSchema, request.body));
    done(response);
  });
  router.post('/v1/volumes/:volume/unpublish', async (request, response) => {
    await agent.unpublish(referenceOf(request), parse(unpublishSchema, request.body));
    done(response);
  });
  router.post('/v1/volumes/:volume/stats', async (request, response) => {
    const body = parse(statsRequestSchema, request.body);
    response.json(await agent.stats(referenceOf(request), body));
  });
}

/** What the plugins ask of the cluster goes through the agent of their node. */
function clusterRoutes(router: Router, agent: AgentService): void {
  router.get('/v1/nodes', async (_request, response) => {
    response.json(await agent.listNodes());
  });
  router.post('/v1/capacity', async (request, response) => {
    response.json(await agent.capacity(parse(capacityRequestSchema, request.body)));
  });
  router.post('/v1/volumes/:volume/claim', async (request, response) => {
    response.json(await agent.claim(referenceOf(request), parse(claimVolumeSchema, request.body)));
  });
  router.post('/v1/volumes/:volume/unclaim', async (request, response) => {
    await agent.unclaim(referenceOf(request), parse(unclaimVolumeSchema, request.body ?? {}));
    done(response);
  });
}

interface Schema<Value> {
  safeParse(
    value: unknown,
  ):
    | { readonly success: true; readonly data: Value }
    | { readonly success: false; readonly error: Parameters<typeof badRequestFrom>[0] };
}

function parse<Value>(schema: Schema<Value>, body: unknown): Value {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw badRequestFrom(parsed.error);
}

function referenceOf(request: Request): string {
  return parse(volumeReferenceSchema, request.params['volume']);
}

/** Ids become names of files: only what is a UUID gets that far. */
function uuidOf(value: unknown, what: string): string {
  if (typeof value === 'string' && UUID.test(value)) return value;
  throw apiError('badRequest', `${what}: ${JSON.stringify(value) ?? 'nothing'} is no UUID`);
}

function done(response: Response): void {
  response.status(204).end();
}
