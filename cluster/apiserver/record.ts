/** The record of a volume: read by everybody who runs it, changed by compare-and-swap (R1). */
import { apiError } from '../../core/api/errors.ts';
import { messageOf } from '../../core/errors.ts';
import { parseRecord, type VolumeRecord } from '../../core/volume/record.ts';
import { type SwapActor, swapRefusal } from '../../core/volume/swap.ts';
import type { Nodes } from '../reconciler/observed.ts';
import type { ClusterContext } from './context.ts';
import { requireVolume } from './require-volume.ts';
import type { VersionedVolume } from './volume-documents.ts';

export interface RecordAnswer {
  readonly version: number;
  readonly record: VolumeRecord;
  readonly addresses: Readonly<Record<string, string>>;
  readonly revision: number;
}

export async function getRecord(context: ClusterContext, reference: string): Promise<RecordAnswer> {
  const { version, volume } = await requireRecord(context, reference);
  return {
    version,
    record: volume.record,
    addresses: addressesOf(volume.record, context.observations.nodes()),
    revision: await context.store.revision(),
  };
}

export interface RecordSwap {
  readonly version: number;
  readonly record?: unknown;
  readonly actor: SwapActor;
}

/**
 * @returns the new version.
 * @throws ApiError `conflict` with `current {version, record}` when the version is an old one;
 * `forbidden` when that change is not the actor's; the record is then as it was.
 */
export async function putRecord(
  context: ClusterContext,
  reference: string,
  { version, record, actor }: RecordSwap,
): Promise<number> {
  const found = await requireRecord(context, reference);
  if (found.version !== version) throw conflict(found);
  const next = recordOf(record, found);
  const { name } = found.volume;
  const refusal = swapRefusal(found.volume.record, next, actor);
  if (refusal !== null) {
    throw apiError('forbidden', `volume "${name}": ${refusal}`, { volume: name });
  }
  const swapped = await context.volumes.swap(version, { ...found.volume, record: next });
  if (swapped === null) throw conflict(await requireRecord(context, reference));
  const { epoch, generation } = next;
  context.log.info('record changed', { volume: name, actor: actor.kind, epoch, generation });
  return swapped;
}

/** Before it is ready a volume has no record, and when it is being deleted it has none any more. */
async function requireRecord(context: ClusterContext, reference: string): Promise<VersionedVolume> {
  const found = await requireVolume(context, reference);
  const { name, phase } = found.volume;
  switch (phase.kind) {
    case 'ready':
      return found;
    case 'creating':
      throw apiError('unavailable', `volume "${name}" is still being made`, { volume: name });
    case 'deleting':
      throw apiError('notFound', `volume "${name}" is being deleted`, { volume: name });
  }
}

function recordOf(value: unknown, { volume }: VersionedVolume): VolumeRecord {
  try {
    return parseRecord(value);
  } catch (cause) {
    const detail = `volume "${volume.name}": ${messageOf(cause)}`;
    throw apiError('badRequest', detail, { volume: volume.name, cause });
  }
}

function conflict({ version, volume }: VersionedVolume) {
  return apiError(
    'conflict',
    `volume "${volume.name}": its record has version ${version} now: read it again`,
    { volume: volume.name, current: { version, record: volume.record } },
  );
}

/** Where each replica listens, as last told; of a lost node too, as it may only be silent to us. */
function addressesOf(record: VolumeRecord, nodes: Nodes): Readonly<Record<string, string>> {
  const entries = record.replicas.flatMap(({ id, node }) => {
    const address = nodes.get(node)?.replicas.get(id)?.address ?? '';
    return address === '' ? [] : [[id, address] as const];
  });
  return Object.fromEntries(entries);
}
