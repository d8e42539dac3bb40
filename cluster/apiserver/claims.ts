/** Volumes set aside for one node and door before they are attached there. */
import { apiError } from '../../core/api/errors.ts';
import type { ClaimVolume, UnclaimVolume, VolumeView } from '../../core/api/volumes.ts';
import type { VolumeDocument } from '../reconciler/volume.ts';
import type { ClusterContext } from './context.ts';
import { inUse } from './delete-volume.ts';
import { requireVolume } from './require-volume.ts';
import { volumeView } from './volume-view.ts';

/** Idempotent. A claim moves nothing: it only keeps others away until it is given up. */
export async function claimVolume(
  context: ClusterContext,
  reference: string,
  { node, door, readOnly = false }: ClaimVolume,
): Promise<VolumeView> {
  for (;;) {
    const found = await requireVolume(context, reference);
    const { volume } = found;
    checkClaimable(context, volume, { node, door, readOnly });
    if (volume.claim !== null) return view(context, volume);
    const next = { ...volume, claim: { node, door, readOnly } };
    if ((await context.volumes.swap(found.version, next)) === null) continue;
    context.log.info('volume claimed', { volume: volume.name, node, door });
    return view(context, next);
  }
}

/** Idempotent; of another node's claim, and of a volume that is gone, nothing is left to do. */
export async function unclaimVolume(
  context: ClusterContext,
  reference: string,
  { node }: UnclaimVolume,
): Promise<void> {
  for (;;) {
    const found = await context.volumes.find(reference);
    const claim = found?.volume.claim ?? null;
    if (found === null || claim === null) return;
    if (node !== undefined && claim.node !== node) return;
    const next = { ...found.volume, claim: null };
    if ((await context.volumes.swap(found.version, next)) === null) continue;
    context.log.info('claim given up', { volume: next.name, node: claim.node });
    return;
  }
}

function checkClaimable(
  context: ClusterContext,
  volume: VolumeDocument,
  wanted: Required<ClaimVolume>,
): void {
  const { name, phase, record, claim } = volume;
  const nodes = context.observations.nodes();
  const { node, door, readOnly } = wanted;
  if (phase.kind === 'deleting') {
    throw apiError('notFound', `volume "${name}" is being deleted`, { volume: name });
  }
  if (phase.kind === 'creating') {
    const detail = `volume "${name}" is still being made: try again in a moment`;
    throw apiError('unavailable', detail, { volume: name });
  }
  if (!nodes.has(node)) {
    const detail =
      `volume "${name}" cannot be claimed: node ${node} is not known; ` + 'is its agent running?';
    throw apiError('notFound', detail, { volume: name });
  }
  const isElsewhere =
    record.attachment !== null &&
    (record.attachment.node !== node || (volume.door !== null && volume.door !== door));
  const isClaimed = claim !== null && (claim.node !== node || claim.door !== door);
  if (isElsewhere || isClaimed) throw inUse(volume, nodes, `claimed by ${door} for node ${node}`);
  if (claim === null || claim.readOnly === readOnly) return;
  const mode = claim.readOnly ? 'read-only' : 'read-write';
  throw apiError('exists', `volume "${name}" is claimed ${mode} for node ${node}`, {
    volume: name,
    holder: `${claim.door} on node ${claim.node}`,
  });
}

function view(context: ClusterContext, volume: VolumeDocument): VolumeView {
  const { observations, reconciler } = context;
  return volumeView(volume, observations.nodes(), reconciler.hindrances(volume.id));
}
