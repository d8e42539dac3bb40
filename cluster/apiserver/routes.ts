/** The apiserver's HTTP API: parse, call, reply. What is parsed stands in core/api. */
import express, { type Request, type Response, type Router } from 'express';
import { apiError, badRequestFrom } from '../../core/api/errors.ts';
import { heartbeatSchema } from '../../core/api/nodes.ts';
import {
  attachVolumeSchema,
  capacityRequestSchema,
  claimVolumeSchema,
  createVolumeSchema,
  detachVolumeSchema,
  putRecordSchema,
  unclaimVolumeSchema,
  volumeReferenceSchema,
} from '../../core/api/volumes.ts';
import { KiB, MiB } from '../../core/units.ts';
import { attachVolume, detachVolume } from './attachment.ts';
import { claimVolume, unclaimVolume } from './claims.ts';
import type { ClusterContext } from './context.ts';
import { createVolume } from './create-volume.ts';
import { deleteVolume } from './delete-volume.ts';
import { checkSize } from './options.ts';
import { capacityBytes } from './placement.ts';
import { getRecord, putRecord } from './record.ts';
import { requireVolume } from './require-volume.ts';
import { listNodes, listVolumes, statusOf } from './status.ts';
import { volumeView } from './volume-view.ts';

const BODY_BYTES_MAX = 256 * KiB;
/** Hundreds of replicas on a node. */
const HEARTBEAT_BYTES_MAX = 4 * MiB;

const NODE_PATH = '/v1/nodes/:node/heartbeat';
const VOLUME_PATH = '/v1/volumes/:volume';

/** @param stopping aborted when the apiserver stops: ends whoever waits. */
export function routes(context: ClusterContext, stopping: AbortSignal): Router {
  const router = express.Router({ caseSensitive: true, strict: true });
  router.use(NODE_PATH, express.json({ limit: HEARTBEAT_BYTES_MAX }));
  router.use(express.json({ limit: BODY_BYTES_MAX }));
  nodeRoutes(router, context);
  volumeRoutes(router, context, stopping);
  attachmentRoutes(router, context, stopping);
  claimRoutes(router, context);
  recordRoutes(router, context);
  router.use((request) => {
    throw apiError('notFound', `there is no ${request.method} ${request.path.slice(0, 256)}`);
  });
  return router;
}

function nodeRoutes(router: Router, context: ClusterContext): void {
  router.get('/v1/status', async (_request, response) => {
    response.json(await statusOf(context));
  });
  router.get('/v1/nodes', (_request, response) => {
    response.json({ nodes: listNodes(context) });
  });
  router.put(NODE_PATH, async (request, response) => {
    const heartbeat = parse(heartbeatSchema, bodyOf(request));
    if (heartbeat.name !== request.params.node) {
      throw apiError('badRequest', 'name: is not the node that the path names');
    }
    await context.nodes.heard(heartbeat);
    response.json({ revision: await context.store.revision() });
  });
}

function volumeRoutes(router: Router, context: ClusterContext, stopping: AbortSignal): void {
  router.get('/v1/volumes', async (_request, response) => {
    response.json({ volumes: await listVolumes(context) });
  });
  router.post('/v1/volumes', async (request, response) => {
    const body = bodyOf(request);
    checkSize(body);
    const wanted = parse(createVolumeSchema, body);
    const signal = callerSignal(response, stopping);
    response.json(await createVolume(context, wanted, { signal }));
  });
  router.get(VOLUME_PATH, async (request, response) => {
    const { volume } = await requireVolume(context, volumeOf(request));
    const hindrances = context.reconciler.hindrances(volume.id);
    response.json(volumeView(volume, context.observations.nodes(), hindrances));
  });
  // 204: all of it is gone. 202 and the volume: it goes on by itself.
  router.delete(VOLUME_PATH, async (request, response) => {
    const signal = callerSignal(response, stopping);
    const left = await deleteVolume(context, volumeOf(request), { signal });
    if (left === null) response.status(204).end();
    else response.status(202).json(left);
  });
}

function attachmentRoutes(router: Router, context: ClusterContext, stopping: AbortSignal): void {
  router.post(`${VOLUME_PATH}/attach`, async (request, response) => {
    const wanted = parse(attachVolumeSchema, bodyOf(request));
    const signal = callerSignal(response, stopping);
    response.json(await attachVolume(context, volumeOf(request), { ...wanted, signal }));
  });
  router.post(`${VOLUME_PATH}/detach`, async (request, response) => {
    const { node } = parse(detachVolumeSchema, bodyOf(request));
    const signal = callerSignal(response, stopping);
    await detachVolume(context, volumeOf(request), { node, signal });
    response.status(204).end();
  });
}

function claimRoutes(router: Router, context: ClusterContext): void {
  router.post(`${VOLUME_PATH}/claim`, async (request, response) => {
    const wanted = parse(claimVolumeSchema, bodyOf(request));
    response.json(await claimVolume(context, volumeOf(request), wanted));
  });
  router.post(`${VOLUME_PATH}/unclaim`, async (request, response) => {
    await unclaimVolume(context, volumeOf(request), parse(unclaimVolumeSchema, bodyOf(request)));
    response.status(204).end();
  });
  router.post('/v1/capacity', async (request, response) => {
    const wanted = parse(capacityRequestSchema, bodyOf(request));
    response.json({ maximumVolumeBytes: await capacityBytes(context, wanted) });
  });
}

function recordRoutes(router: Router, context: ClusterContext): void {
  router.get(`${VOLUME_PATH}/record`, async (request, response) => {
    response.json(await getRecord(context, volumeOf(request)));
  });
  router.put(`${VOLUME_PATH}/record`, async (request, response) => {
    const swap = parse(putRecordSchema, bodyOf(request));
    response.json({ version: await putRecord(context, volumeOf(request), swap) });
  });
}

interface Schema<Value> {
  safeParse(
    value: unknown,
  ):
    | { success: true; data: Value }
    | { success: false; error: Parameters<typeof badRequestFrom>[0] };
}

function parse<Value>(schema: Schema<Value>, value: unknown): Value {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw badRequestFrom(parsed.error);
}

/** Only JSON that says so: what a web page can send without asking first is not read. */
function bodyOf(request: Request): unknown {
  const body: unknown = request.body;
  if (body !== undefined) return body;
  throw apiError('badRequest', 'the body must be JSON, with content-type application/json');
}

function volumeOf(request: Request): string {
  return parse(volumeReferenceSchema, request.params['volume']);
}

/** Aborted when the caller has left before the answer. */
function callerSignal(response: Response, stopping: AbortSignal): AbortSignal {
  const left = new AbortController();
  response.on('close', () => left.abort());
  return AbortSignal.any([left.signal, stopping]);
}
