/** What a claim and its class ask of OpenEBS. */
import {
  type ApiError,
  apiError,
  badRequestFrom,
  type CreateVolume,
  createVolumeSchema,
} from '../../core/api/index.ts';
import { parseVolumeOptions } from '../../core/api/options.ts';
import {
  formatBytes,
  VOLUME_BYTES_MAX,
  VOLUME_BYTES_MIN,
  VOLUME_BYTES_STEP,
} from '../../core/units.ts';
import { volumeNameFor } from './claim-decision.ts';
import { HISTORICAL_CONFIGURATION } from './names.ts';
import type { PersistentVolumeClaim, StorageClass } from './objects.ts';
import { optionsOf, type ParseYaml } from './parameters.ts';
import { parseQuantity } from './quantity.ts';
import { type NodePlace, placementOf } from './topology.ts';

export interface Surroundings {
  readonly nodes: readonly NodePlace[];
  /** As OpenEBS calls it: where the first consumer will run; null: anywhere. */
  readonly preferredNode: string | null;
  readonly parseYaml: ParseYaml;
}

/** One node at a time may write; many readers have no place yet. */
const ACCESS_MODES = ['ReadWriteOnce', 'ReadWriteOncePod'];

/** @throws ApiError: badRequest or unplaceable, with one sentence for an event. */
export function requestOf(
  claim: PersistentVolumeClaim,
  storageClass: StorageClass,
  { nodes, preferredNode, parseYaml }: Surroundings,
): CreateVolume {
  checkClaim(claim);
  const policies = [storageClass, claim].flatMap(
    ({ metadata }) => metadata.annotations?.[HISTORICAL_CONFIGURATION] ?? [],
  );
  const asked = { parameters: storageClass.parameters ?? {}, policies };
  const options = parseVolumeOptions(volumeNameFor(claim), optionsOf(asked, parseYaml));
  const { zones, nodes: only } = placementOf(storageClass.allowedTopologies ?? [], nodes);
  const request = {
    ...withFileSystem(options, isBlock(claim)),
    sizeBytes: sizeOf(claim),
    ...(zones === undefined ? {} : { zones: intersection(options.zones, zones, 'zones') }),
    ...(only === undefined ? {} : { nodes: intersection(options.nodes, only, 'nodes') }),
    ...(preferredNode === null ? {} : { preferredNodes: [preferredNode] }),
  };
  const checked = createVolumeSchema.safeParse(request);
  if (!checked.success) throw badRequestFrom(checked.error);
  return checked.data;
}

export function isBlock({ spec }: PersistentVolumeClaim): boolean {
  return spec?.volumeMode === 'Block';
}

function checkClaim({ spec = {} }: PersistentVolumeClaim): void {
  for (const mode of spec.accessModes ?? []) {
    if (ACCESS_MODES.includes(mode)) continue;
    const valid = ACCESS_MODES.join(' or ');
    throw wrong(`access mode ${mode} is not available: ask for ${valid}`);
  }
  const source = spec.dataSource ?? spec.dataSourceRef ?? null;
  if (source !== null) {
    throw wrong(
      `a volume from a ${source.kind} is not available in this version: ask for an empty one`,
    );
  }
  if (spec.selector !== undefined && spec.selector !== null) {
    throw wrong('a claim with a selector gets no new volume: leave the selector out');
  }
}

/** A raw block volume has no file system, whatever the class says about those that have one. */
function withFileSystem(options: CreateVolume, block: boolean): CreateVolume {
  if (block) {
    const { fileSystemOptions: _, ...rest } = options;
    return { ...rest, fileSystem: 'none' };
  }
  if (options.fileSystem === 'none') {
    throw wrong('parameter fs=none is for claims with volumeMode: Block, and this one is not');
  }
  return { ...options, fileSystem: options.fileSystem ?? 'ext4' };
}

/** At least what is requested, as a volume can have it; never above the limit. */
function sizeOf({ spec }: PersistentVolumeClaim): number {
  const requested = quantityOf('request', spec?.resources?.requests?.['storage'] ?? '');
  const limit = spec?.resources?.limits?.['storage'];
  const wanted = Math.max(requested, VOLUME_BYTES_MIN);
  const sizeBytes = Math.ceil(wanted / VOLUME_BYTES_STEP) * VOLUME_BYTES_STEP;
  if (sizeBytes > VOLUME_BYTES_MAX) {
    throw wrong(`the request of ${formatBytes(requested)} is too large: at most 64Ti`);
  }
  if (limit !== undefined && sizeBytes > quantityOf('limit', limit)) {
    const least = `${formatBytes(sizeBytes)} is the smallest volume for this request`;
    throw wrong(`the limit of ${limit} is too small: ${least}`);
  }
  return sizeBytes;
}

function quantityOf(what: string, text: string): number {
  const bytes = parseQuantity(text);
  if (bytes !== null) return bytes;
  throw wrong(`the storage ${what} ${JSON.stringify(text.slice(0, 64))} is no size such as 10Gi`);
}

/** Both the class' parameter and its allowedTopologies hold. */
function intersection(
  one: readonly string[] | undefined,
  other: readonly string[],
  what: string,
): string[] {
  const common = one === undefined ? [...other] : other.filter((name) => one.includes(name));
  if (common.length > 0) return common;
  throw wrong(`parameter ${what} and allowedTopologies of the class have nothing in common`);
}

function wrong(detail: string): ApiError {
  return apiError('badRequest', detail);
}
