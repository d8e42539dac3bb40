/** What may be asked of a new volume, beyond what the schema says, and whether it was before. */
import { apiError } from '../../core/api/errors.ts';
import {
  type CreateVolume,
  DEFAULT_REPLICAS,
  DEFAULT_VOLUME_BYTES,
} from '../../core/api/volumes.ts';
import { messageOf } from '../../core/errors.ts';
import { checkVolumeBytes, formatBytes } from '../../core/units.ts';
import type { VolumeOptions } from '../reconciler/volume.ts';
import { isVolumeId } from './volume-documents.ts';

/** What mkfs options are made of; no path, no shell. Which ones are allowed is the agent's. */
const FILE_SYSTEM_OPTIONS = /^[A-Za-z0-9 =,._:^-]*$/;

/** A size out of range, said as every front door says it; before the schema looks. */
export function checkSize(body: unknown): void {
  if (typeof body !== 'object' || body === null || !('sizeBytes' in body)) return;
  if (typeof body.sizeBytes !== 'number') return;
  try {
    checkVolumeBytes(body.sizeBytes);
  } catch (cause) {
    throw apiError('badRequest', messageOf(cause), { cause });
  }
}

/** @throws ApiError badRequest. */
export function checkOptions(request: CreateVolume): void {
  const { name, fileSystem, fileSystemOptions = '' } = request;
  const refuse = (detail: string) =>
    apiError('badRequest', `volume "${name}": ${detail}`, { volume: name });
  if (isVolumeId(name)) {
    throw refuse('a name must not look like a volume id: choose another name');
  }
  if (fileSystem === 'none' && fileSystemOptions !== '') {
    throw refuse('options fs=none and fsOptions contradict each other');
  }
  if (!FILE_SYSTEM_OPTIONS.test(fileSystemOptions)) {
    throw refuse('fsOptions may have letters, digits, spaces and = , . _ : ^ - only');
  }
}

/** The options with the defaults in the place of what was not asked. */
export function wantedOptions(request: CreateVolume, defaultReplicaCount: number): VolumeOptions {
  return {
    sizeBytes: request.sizeBytes ?? DEFAULT_VOLUME_BYTES,
    replicaCount: request.replicas ?? defaultReplicaCount,
    hasDefaultReplicaCount: request.replicas === undefined,
    fileSystem: request.fileSystem ?? 'ext4',
    fileSystemOptions: request.fileSystemOptions ?? '',
    pool: request.pool ?? null,
    nodes: sorted(request.nodes),
    zones: sorted(request.zones),
  };
}

/**
 * Null when a second create asks for the same. The default number of replicas depends on the
 * nodes at the time: asking for the default again is the same, whatever it came to.
 */
export function differingOption(there: VolumeOptions, request: CreateVolume): string | null {
  const asked = wantedOptions(request, DEFAULT_REPLICAS);
  const differ = (option: string, has: string, wants: string) =>
    has === wants ? null : `${option} is ${has}, not ${wants}`;
  const isSameDefault = asked.hasDefaultReplicaCount && there.hasDefaultReplicaCount;
  return (
    differ('size', shownSize(there.sizeBytes), shownSize(asked.sizeBytes)) ??
    (isSameDefault ? null : differ('replicas', `${there.replicaCount}`, `${asked.replicaCount}`)) ??
    differ('fs', there.fileSystem, asked.fileSystem) ??
    differ('fsOptions', `"${there.fileSystemOptions}"`, `"${asked.fileSystemOptions}"`) ??
    differ('pool', there.pool ?? 'any', asked.pool ?? 'any') ??
    differ('nodes', there.nodes.join(' ') || 'any', asked.nodes.join(' ') || 'any') ??
    differ('zones', there.zones.join(' ') || 'any', asked.zones.join(' ') || 'any')
  );
}

function sorted(names: readonly string[] = []): readonly string[] {
  return [...new Set(names)].sort();
}

/** Exact where rounding for people would make two sizes look the same. */
function shownSize(sizeBytes: number): string {
  const isRound = sizeBytes % 2 ** 20 === 0 && /^\d+ /.test(formatBytes(sizeBytes));
  return isRound ? `${formatBytes(sizeBytes)} (${sizeBytes} bytes)` : `${sizeBytes} bytes`;
}
