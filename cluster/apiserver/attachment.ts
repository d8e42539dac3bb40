/** Who may use a volume: written into its record by attach and detach, and nothing else (R4). */
import { DEFAULT_DOOR, type Door } from '../../core/api/doors.ts';
import { type ApiError, apiError } from '../../core/api/errors.ts';
import type { VolumeView } from '../../core/api/volumes.ts';
import type { Attachment } from '../../core/volume/record.ts';
import { type NodeSight, silence } from '../reconciler/observed.ts';
import {
  detachingStarted,
  iqnOf,
  type VolumeDocument,
  withAttachment,
} from '../reconciler/volume.ts';
import { NODES, volumeTopic, waitFor } from './changes.ts';
import { type Caller, type ClusterContext, LONG_WAIT_MS, SHORT_WAIT_MS } from './context.ts';
import { inUse } from './delete-volume.ts';
import { initiatorNames, mergedNames } from './initiator-names.ts';
import { requireVolume } from './require-volume.ts';
import type { VersionedVolume } from './volume-documents.ts';
import { volumeView } from './volume-view.ts';
import { isStuck, waitsFor } from './waiting.ts';

export interface AttachRequest {
  readonly node: string;
  readonly initiatorNames: readonly string[];
  readonly door?: Door | undefined;
}

export interface AttachAnswer {
  readonly volume: VolumeView;
  readonly token: string;
  readonly portal: string;
  readonly iqn: string;
}

/**
 * Idempotent for the same node and names. More names on the same node make a new attachment with
 * the names of both: the target is released and started again for it, and nobody who could log in
 * before is shut out. Names go away with detach only.
 *
 * Returns as soon as the record says so: the target is then started by the reconciler.
 */
export async function attachVolume(
  context: ClusterContext,
  reference: string,
  request: AttachRequest & Caller,
): Promise<AttachAnswer> {
  const names = initiatorNames(request.initiatorNames);
  const { door = DEFAULT_DOOR } = request;
  const { name } = (await requireVolume(context, reference)).volume;
  const { clock, changes } = context;
  const wait = {
    changes,
    topics: [volumeTopic(name), NODES],
    clock,
    deadlineMs: clock.nowMs() + SHORT_WAIT_MS,
    signal: request.signal,
  };
  const answer = await waitFor(wait, async () => {
    const found = await requireVolume(context, reference);
    checkAttachable(context, found.volume, request.node);
    checkDoor(context, found.volume, { node: request.node, door });
    // The same node is just letting go of it.
    if (found.volume.phase.kind === 'ready' && found.volume.phase.detaching) return undefined;
    const wanted = { node: request.node, initiatorNames: names };
    return attachNow(context, found, { wanted, door });
  });
  if (answer !== null) return answer;
  throw apiError(
    'unavailable',
    `volume "${name}" is still being detached from node ${request.node}: try again in a moment`,
    { volume: name },
  );
}

/** Undefined when somebody else was quicker: look again. */
async function attachNow(
  context: ClusterContext,
  found: VersionedVolume,
  { wanted, door }: { wanted: Omit<Attachment, 'token' | 'chapSecret'>; door: Door },
): Promise<AttachAnswer | undefined> {
  const { volume } = found;
  const before = volume.record.attachment;
  const names = mergedNames(before?.initiatorNames ?? [], wanted.initiatorNames);
  if (before !== null && sameNames(before.initiatorNames, names)) {
    return answerOf(context, volume, before.token);
  }
  const token = context.random.bytes(16).toString('hex');
  const attachment = { token, node: wanted.node, initiatorNames: names, chapSecret: null };
  const next = { ...volume, door, record: withAttachment(volume.record, attachment) };
  if ((await context.volumes.swap(found.version, next)) === null) return undefined;
  context.log.info('volume attached', { volume: volume.name, node: wanted.node, door });
  return answerOf(context, next, token);
}

/**
 * Idempotent. Returns when the target has been released and the record names nobody; a volume
 * that is gone, or that nobody has, is detached.
 *
 * @throws ApiError `inUse` for another node's attachment, `unavailable` when it takes too long.
 */
export async function detachVolume(
  context: ClusterContext,
  reference: string,
  { node, signal }: { readonly node: string } & Caller,
): Promise<void> {
  const found = await markDetaching(context, reference, node);
  if (found === null) return;
  const { clock, changes, volumes, observations } = context;
  const { id, name, record } = found;
  const deadlineMs = clock.nowMs() + LONG_WAIT_MS;
  const topics = [volumeTopic(name), NODES];
  let stuck = false;
  const done = await waitFor({ changes, topics, clock, deadlineMs, signal }, async () => {
    const now = (await volumes.find(id))?.volume;
    if (now?.record.attachment?.token !== record.attachment?.token) return true;
    stuck = now !== undefined && isStuck(now, observations.nodes());
    return stuck ? false : undefined;
  });
  if (done === true) return;
  const waits = waitsFor(found, observations.nodes(), context.reconciler.hindrances(id));
  const goesOn = stuck ? 'it goes on when the node is back' : 'detach it again to go on waiting';
  throw apiError(
    'unavailable',
    `volume "${name}" is not detached yet: its target has to be released by ${waits}; ${goesOn}`,
    { volume: name },
  );
}

/** The volume as it is being detached, or null when there is nothing to detach. */
async function markDetaching(
  context: ClusterContext,
  reference: string,
  node: string,
): Promise<VolumeDocument | null> {
  for (;;) {
    const found: VersionedVolume | null = await context.volumes.find(reference);
    const attachment = found?.volume.record.attachment ?? null;
    if (found === null || attachment === null) return null;
    const { volume } = found;
    if (attachment.node !== node) {
      throw inUse(volume, context.observations.nodes(), `detached from node ${node}`);
    }
    const next = detachingStarted(volume);
    if (next === null) return volume;
    if ((await context.volumes.swap(found.version, next)) !== null) return next;
  }
}

/** @throws ApiError. */
function checkAttachable(context: ClusterContext, volume: VolumeDocument, node: string): void {
  const { name, phase, record } = volume;
  const nodes = context.observations.nodes();
  if (phase.kind === 'deleting') {
    throw apiError('notFound', `volume "${name}" is being deleted`, { volume: name });
  }
  if (phase.kind === 'creating') {
    const waits = waitsFor(volume, nodes, context.reconciler.hindrances(volume.id));
    const detail = `volume "${name}" is still being made: it waits for ${waits}`;
    throw apiError('unavailable', detail, { volume: name });
  }
  const holder = record.attachment?.node;
  if (holder !== undefined && holder !== node) {
    const sight = nodes.get(holder);
    if (sight?.state === 'online') throw inUse(volume, nodes, `attached to node ${node}`);
    throw heldByLostNode(volume, { node, holder, sight });
  }
  const sight = nodes.get(node);
  if (sight?.state === 'online') return;
  const why = sight === undefined ? 'is not known' : `is lost (${silence(sight)})`;
  throw apiError(
    sight === undefined ? 'notFound' : 'unavailable',
    `volume "${name}" cannot be attached: node ${node} ${why}; is its agent running?`,
    { volume: name },
  );
}

/**
 * One front door at a time, and where there is a claim only the one that it names. An attachment
 * without a door is of an earlier version: its own node knows who holds it.
 */
function checkDoor(
  context: ClusterContext,
  volume: VolumeDocument,
  { node, door }: { node: string; door: Door },
): void {
  const { claim, record } = volume;
  const isClaimed = claim !== null && (claim.node !== node || claim.door !== door);
  const isHeld = record.attachment !== null && volume.door !== null && volume.door !== door;
  if (!isClaimed && !isHeld) return;
  throw inUse(volume, context.observations.nodes(), `used through ${door} on node ${node}`);
}

function heldByLostNode(
  { name }: VolumeDocument,
  { node, holder, sight }: { node: string; holder: string; sight: NodeSight | undefined },
): ApiError {
  const silent = sight === undefined ? 'was never heard' : `has been ${silence(sight)}`;
  return apiError(
    'inUse',
    `volume "${name}" cannot be attached to node ${node}: it is in use on node ${holder}, which ` +
      `${silent}; this version does not take a volume over from a lost node: start its agent, ` +
      'then detach the volume there',
    { volume: name, holder: `node ${holder}` },
  );
}

function answerOf(context: ClusterContext, volume: VolumeDocument, token: string): AttachAnswer {
  const { observations, reconciler } = context;
  return {
    volume: volumeView(volume, observations.nodes(), reconciler.hindrances(volume.id)),
    token,
    portal: volume.portal,
    iqn: iqnOf(volume.id),
  };
}

function sameNames(some: readonly string[], others: readonly string[]): boolean {
  return JSON.stringify(some) === JSON.stringify(others);
}
