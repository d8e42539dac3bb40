/** CreateVolumeRequest in the words of core/api. */
import {
  type CapacityRequest,
  type CreateVolume,
  createVolumeSchema,
  parseVolumeOptions,
} from '../../core/api/index.ts';
import { type FileSystem, type Usage, usagesOf } from './capabilities.ts';
import { type SizeRange, sizeRangeOf } from './capacity-range.ts';
import { grpcErrorOf } from './errors.ts';
import { checkMapSize, invalid, requiredString } from './fields.ts';
import type { CreateVolumeRequest, StringMap } from './messages.ts';

/** Kubernetes' own, which its provisioner keeps to itself unless it is told to pass them on. */
const KUBERNETES_PREFIX = 'csi.storage.k8s.io/';
const KUBERNETES_FILE_SYSTEM = `${KUBERNETES_PREFIX}fstype`;
const KUBERNETES_NAMES = ['pvc/name', 'pvc/namespace', 'pv/name'];
const KUBERNETES_SECRETS = /^(provisioner|(controller|node)-[a-z]+)-secret-(name|namespace)$/;

/** What is asked for, whether or not a volume of that name is there. */
export interface WantedVolume {
  readonly name: string;
  /** Null: any size, the default for a new volume. */
  readonly sizes: SizeRange | null;
  /** Null: any that can be mounted, the default for a new volume. */
  readonly fileSystem: FileSystem | 'none' | null;
  /** The other options, as given. */
  readonly options: CreateVolume;
}

/** @throws GrpcError INVALID_ARGUMENT that names the field or parameter, or OUT_OF_RANGE. */
export function wantedVolumeOf(request: CreateVolumeRequest): WantedVolume {
  const name = requiredString('name', request.name);
  const { volumeContentSource, mutableParameters } = request;
  if (volumeContentSource !== null) {
    throw invalid(
      'volume_content_source is not available: no CREATE_DELETE_SNAPSHOT, CLONE_VOLUME',
    );
  }
  checkNoMutableParameters(mutableParameters);
  const fileSystem = fileSystemWanted(usagesOf(request.volumeCapabilities));
  const options = optionsOf(name, request.parameters);
  const parsed = createVolumeSchema.safeParse(options);
  if (!parsed.success) throw invalid(parsed.error.issues[0]?.message ?? 'name is no volume name');
  return {
    name,
    sizes: sizesOf(request, options.sizeBytes),
    fileSystem: agreed(fileSystem, options.fileSystem ?? null),
    options,
  };
}

/** What to ask the agent for, so that a volume that will do is found equal. */
export function createVolumeOf(
  { name, sizes, fileSystem, options }: WantedVolume,
  there: { readonly sizeBytes: number; readonly fileSystem: FileSystem | 'none' } | null,
): CreateVolume {
  const isInRange =
    there !== null &&
    (sizes === null || (there.sizeBytes >= sizes.leastBytes && there.sizeBytes <= sizes.mostBytes));
  const sizeBytes = isInRange ? there.sizeBytes : sizes?.newBytes;
  const isMountable = there !== null && there.fileSystem !== 'none';
  const chosen = fileSystem ?? (isMountable ? there.fileSystem : null);
  return {
    ...options,
    name,
    ...(sizeBytes === undefined ? {} : { sizeBytes }),
    ...(chosen === null ? {} : { fileSystem: chosen }),
  };
}

/** @throws GrpcError INVALID_ARGUMENT */
export function capacityRequestOf(parameters: StringMap): CapacityRequest {
  const { replicas, pool, nodes, zones } = optionsOf('capacity', parameters);
  return {
    ...(replicas === undefined ? {} : { replicas }),
    ...(pool === undefined ? {} : { pool }),
    ...(nodes === undefined ? {} : { nodes }),
    ...(zones === undefined ? {} : { zones }),
  };
}

/** @throws GrpcError INVALID_ARGUMENT that names what is wrong and what is valid. */
export function optionsOf(name: string, parameters: StringMap): CreateVolume {
  checkMapSize('parameters', parameters);
  // A map, for a parameter may have a name that every object has.
  const options = new Map<string, string>();
  for (const [key, value] of Object.entries(parameters)) {
    if (isIgnored(key)) continue;
    const option = key === KUBERNETES_FILE_SYSTEM ? 'fs' : key;
    if ((options.get(option) ?? value) !== value) {
      throw invalid(`parameters fs and ${KUBERNETES_FILE_SYSTEM} contradict each other`);
    }
    options.set(option, value);
  }
  try {
    return parseVolumeOptions(name, Object.fromEntries(options));
  } catch (error) {
    throw grpcErrorOf(error) ?? error;
  }
}

/** @throws GrpcError INVALID_ARGUMENT */
export function checkNoMutableParameters(parameters: StringMap): void {
  if (Object.keys(parameters).length === 0) return;
  throw invalid('mutable_parameters are not available: no MODIFY_VOLUME');
}

function isIgnored(key: string): boolean {
  if (!key.startsWith(KUBERNETES_PREFIX)) return false;
  const name = key.slice(KUBERNETES_PREFIX.length);
  return KUBERNETES_NAMES.includes(name) || KUBERNETES_SECRETS.test(name);
}

function sizesOf(
  { capacityRange }: CreateVolumeRequest,
  sizeBytes: number | undefined,
): SizeRange | null {
  const sizes = sizeRangeOf(capacityRange);
  if (sizeBytes === undefined) return sizes;
  if (sizes !== null) throw invalid('parameter size and capacity_range are both given: give one');
  return { leastBytes: sizeBytes, mostBytes: sizeBytes, newBytes: sizeBytes };
}

/** @throws GrpcError INVALID_ARGUMENT when no volume can be used in all these ways. */
function fileSystemWanted(usages: readonly Usage[]): FileSystem | 'none' | 'any' {
  const named = usages.map((usage) => (usage.as === 'device' ? 'none' : usage.fileSystem));
  const [first, ...more] = new Set(named.filter((name) => name !== null));
  const isMixed = named.includes('none') && usages.some((usage) => usage.as === 'mount');
  if (more.length === 0 && !isMixed) return first ?? 'any';
  throw invalid('volume_capabilities contradict each other: one volume cannot be used in all ways');
}

function agreed(
  capability: FileSystem | 'none' | 'any',
  parameter: FileSystem | 'none' | null,
): FileSystem | 'none' | null {
  if (capability === 'any' && parameter !== 'none') return parameter;
  if (parameter === null || parameter === capability) return capability as FileSystem | 'none';
  const wanted = capability === 'none' ? 'block access' : 'mount access';
  const named = capability === 'any' || capability === 'none' ? '' : ` with fs_type ${capability}`;
  throw invalid(`parameter fs=${parameter} and ${wanted}${named} contradict each other`);
}
