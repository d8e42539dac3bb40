import { holderText } from '../../core/api/doors.ts';
import { apiError } from '../../core/api/errors.ts';
import type { VolumeView } from '../../core/api/volumes.ts';
import type { Nodes } from '../reconciler/observed.ts';
import { deletionStarted, type VolumeDocument } from '../reconciler/volume.ts';
import { NODES, volumeTopic, waitFor } from './changes.ts';
import { type Caller, type ClusterContext, LONG_WAIT_MS } from './context.ts';
import type { VersionedVolume } from './volume-documents.ts';
import { consumersOf, volumeView } from './volume-view.ts';
import { isStuck } from './waiting.ts';

/**
 * Tombstone first, then the files, at once. Not there: done. The name stays taken until the last
 * file is gone, so that one name never means two volumes.
 *
 * @returns null when all of it is gone; the volume, with what it waits for, when a node is away
 * or slow: the deletion then goes on by itself.
 * @throws ApiError `inUse`.
 */
export async function deleteVolume(
  context: ClusterContext,
  reference: string,
  { signal }: Caller,
): Promise<VolumeView | null> {
  const { clock, changes, volumes, observations, reconciler } = context;
  const tombstone = await mark(context, reference);
  if (tombstone === null) return null;
  const { id, name } = tombstone;
  const wait = {
    changes,
    topics: [volumeTopic(name), NODES],
    clock,
    deadlineMs: clock.nowMs() + LONG_WAIT_MS,
    signal,
  };
  await waitFor(wait, async () => {
    const found = await volumes.find(id);
    return found === null || isStuck(found.volume, observations.nodes()) ? true : undefined;
  });
  const left = await volumes.find(id);
  if (left === null) return null;
  return volumeView(left.volume, observations.nodes(), reconciler.hindrances(id));
}

/** Swaps until it fits. Null: there is nothing (any more). */
async function mark(context: ClusterContext, reference: string): Promise<VolumeDocument | null> {
  for (;;) {
    const found: VersionedVolume | null = await context.volumes.find(reference);
    if (found === null || found.volume.phase.kind === 'deleting') return found?.volume ?? null;
    const next = deletionStarted(found.volume);
    if (next === null) throw inUse(found.volume, context.observations.nodes(), 'deleted');
    if ((await context.volumes.swap(found.version, next)) === null) continue;
    context.log.info('volume deletion started', { volume: next.name, volumeId: next.id });
    return next;
  }
}

/** @param wanted what it cannot be while it is in use. */
export function inUse(volume: VolumeDocument, nodes: Nodes, wanted: string) {
  const { name } = volume;
  const holder = holderOf(volume, nodes);
  return apiError(
    'inUse',
    `volume "${name}" cannot be ${wanted}: it is in use by ${holder}; detach it there first`,
    { volume: name, holder },
  );
}

/** `docker (4f2a…) on node node-1`; without a report of who it is, the door alone. */
function holderOf(volume: VolumeDocument, nodes: Nodes): string {
  const { record, claim } = volume;
  const node = record.attachment?.node ?? claim?.node ?? '';
  const names = consumersOf(volume, nodes)
    .filter((consumer) => consumer.node === node)
    .map(holderText);
  const door = volume.door ?? claim?.door ?? null;
  const named = names.length > 0 ? names.join(', ') : (door ?? '');
  return named === '' ? `node ${node}` : `${named} on node ${node}`;
}
