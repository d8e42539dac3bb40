/** What the driver can do, and what a caller wants to do with a volume (VolumeCapability). */
import { invalid, shown } from './fields.ts';
import type { VolumeCapability } from './messages.ts';

/** A call is listed only when it is there: no snapshots, clones, expansion, modification. */
export const PLUGIN_CAPABILITIES = [
  'CONTROLLER_SERVICE',
  'VOLUME_ACCESSIBILITY_CONSTRAINTS',
] as const;

export const CONTROLLER_CAPABILITIES = [
  'CREATE_DELETE_VOLUME',
  'PUBLISH_UNPUBLISH_VOLUME',
  'LIST_VOLUMES',
  'LIST_VOLUMES_PUBLISHED_NODES',
  'GET_CAPACITY',
  'GET_VOLUME',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
] as const;

export const NODE_CAPABILITIES = [
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'VOLUME_CONDITION',
  'SINGLE_NODE_MULTI_WRITER',
] as const;

const ACCESS_MODES = [
  'SINGLE_NODE_WRITER',
  'SINGLE_NODE_READER_ONLY',
  'SINGLE_NODE_SINGLE_WRITER',
  'SINGLE_NODE_MULTI_WRITER',
] as const;
type AccessMode = (typeof ACCESS_MODES)[number];

const FILE_SYSTEMS = ['ext4', 'xfs'] as const;
export type FileSystem = (typeof FILE_SYSTEMS)[number];

/** "The total size of this repeated field SHALL NOT exceed 4 KiB." */
const MOUNT_FLAGS_BYTES_MAX = 4_096;

/** A capability in our words. */
export interface Usage {
  readonly as: 'mount' | 'device';
  /** As the caller names it; null when it leaves the choice. */
  readonly fileSystem: FileSystem | null;
  readonly mountOptions: readonly string[];
  readonly isReadOnly: boolean;
  readonly isSingleWriter: boolean;
}

/** @throws GrpcError INVALID_ARGUMENT when it is missing, or is nothing that we can do. */
export function usageOf(capability: VolumeCapability | null): Usage {
  if (capability === null) throw invalid('volume_capability is missing');
  const hindrance = hindranceOf(capability);
  if (hindrance !== null) throw invalid(hindrance);
  const mode = capability.accessMode?.mode as AccessMode;
  const { mount } = capability;
  return {
    as: capability.accessType === 'block' ? 'device' : 'mount',
    fileSystem: FILE_SYSTEMS.find((name) => name === mount?.fsType) ?? null,
    mountOptions: mount?.mountFlags ?? [],
    isReadOnly: mode === 'SINGLE_NODE_READER_ONLY',
    isSingleWriter: mode === 'SINGLE_NODE_SINGLE_WRITER',
  };
}

/** @throws GrpcError INVALID_ARGUMENT, also when there is none. */
export function usagesOf(capabilities: readonly VolumeCapability[]): readonly [Usage, ...Usage[]] {
  const [first, ...more] = capabilities.map(usageOf);
  if (first === undefined) throw invalid('volume_capabilities is missing');
  return [first, ...more];
}

/** Why we cannot do this, in a sentence; null when we can. @throws when a field is missing. */
export function hindranceOf({ accessType, accessMode, mount }: VolumeCapability): string | null {
  if (accessType === undefined) {
    throw invalid('volume_capability.access_type is missing or unknown: give block or mount');
  }
  const mode = accessMode?.mode ?? 'UNKNOWN';
  if (mode === 'UNKNOWN') throw invalid('volume_capability.access_mode is missing');
  if (!ACCESS_MODES.some((known) => known === mode)) {
    const why = `${mode}`.startsWith('MULTI_NODE')
      ? 'is not available: a volume is used on one node at a time'
      : 'is unknown';
    return `access mode ${mode} ${why}; available: ${ACCESS_MODES.join(', ')}`;
  }
  if (accessType === 'block' || mount === undefined || mount === null) return null;
  const { fsType, mountFlags, volumeMountGroup } = mount;
  if (fsType !== '' && !FILE_SYSTEMS.some((known) => known === fsType)) {
    return `fs_type ${shown(fsType)} is not one of ${FILE_SYSTEMS.join(', ')}`;
  }
  if (volumeMountGroup !== '') {
    return 'volume_mount_group is not available (no VOLUME_MOUNT_GROUP)';
  }
  const flagsBytes = mountFlags.reduce((sum, flag) => sum + Buffer.byteLength(flag), 0);
  return flagsBytes > MOUNT_FLAGS_BYTES_MAX ? 'mount_flags are larger than 4 KiB' : null;
}

/** Why this volume cannot be used so, whatever others can; null when it can. */
export function mismatchOf(
  usage: Pick<Usage, 'as' | 'fileSystem'>,
  { fileSystem }: { readonly fileSystem: FileSystem | 'none' },
): string | null {
  if (usage.as === 'device') {
    return fileSystem === 'none' ? null : `it has the file system ${fileSystem}: use mount access`;
  }
  if (fileSystem === 'none') return 'it is a raw block device: use block access';
  if (usage.fileSystem === null || usage.fileSystem === fileSystem) return null;
  return `it has the file system ${fileSystem}, not ${usage.fileSystem}`;
}
