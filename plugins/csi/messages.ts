/**
 * The messages of csi.proto that we read and write, as the codec makes them of the wire: a field
 * that is absent has its zero value, a message that is absent is null. int64 comes as digits.
 */
export type StringMap = Readonly<Record<string, string>>;
type Int64 = string | number;

export interface Topology {
  readonly segments: StringMap;
}

export interface VolumeCapability {
  /** Unset when the caller gave neither, or one that is newer than csi.proto. */
  readonly accessType?: 'block' | 'mount';
  readonly mount?: {
    readonly fsType: string;
    readonly mountFlags: readonly string[];
    readonly volumeMountGroup: string;
  } | null;
  /** A number when it is newer than csi.proto. */
  readonly accessMode: { readonly mode: string | number } | null;
}

export interface CapacityRange {
  readonly requiredBytes: string;
  readonly limitBytes: string;
}

export interface CreateVolumeRequest {
  readonly name: string;
  readonly capacityRange: CapacityRange | null;
  readonly volumeCapabilities: readonly VolumeCapability[];
  readonly parameters: StringMap;
  readonly mutableParameters: StringMap;
  readonly volumeContentSource: object | null;
  readonly accessibilityRequirements: {
    readonly requisite: readonly Topology[];
    readonly preferred: readonly Topology[];
  } | null;
}

export interface Volume {
  readonly volumeId: string;
  readonly capacityBytes: Int64;
}

export interface VolumeCondition {
  readonly abnormal: boolean;
  readonly message: string;
}

export interface VolumeStatus {
  readonly publishedNodeIds: readonly string[];
  readonly volumeCondition: VolumeCondition;
}

export interface VolumeRequest {
  readonly volumeId: string;
}

export interface ControllerPublishVolumeRequest extends VolumeRequest {
  readonly nodeId: string;
  readonly volumeCapability: VolumeCapability | null;
  readonly readonly: boolean;
}

export interface ControllerUnpublishVolumeRequest extends VolumeRequest {
  readonly nodeId: string;
}

export interface ValidateVolumeCapabilitiesRequest extends VolumeRequest {
  readonly volumeContext: StringMap;
  readonly volumeCapabilities: readonly VolumeCapability[];
  readonly parameters: StringMap;
  readonly mutableParameters: StringMap;
}

export interface ValidateVolumeCapabilitiesResponse {
  readonly confirmed?: {
    readonly volumeContext: StringMap;
    readonly volumeCapabilities: readonly VolumeCapability[];
    readonly parameters: StringMap;
  };
  readonly message?: string;
}

export interface ListVolumesRequest {
  readonly maxEntries: number;
  readonly startingToken: string;
}

export interface ListVolumesResponse {
  readonly entries: readonly { readonly volume: Volume; readonly status: VolumeStatus }[];
  readonly nextToken: string;
}

export interface GetCapacityRequest {
  readonly volumeCapabilities: readonly VolumeCapability[];
  readonly parameters: StringMap;
  readonly accessibleTopology: Topology | null;
}

export interface GetCapacityResponse {
  readonly availableCapacity: Int64;
  readonly maximumVolumeSize: { readonly value: Int64 };
  readonly minimumVolumeSize: { readonly value: Int64 };
}

export interface NodeStageVolumeRequest extends VolumeRequest {
  readonly stagingTargetPath: string;
  readonly volumeCapability: VolumeCapability | null;
  readonly volumeContext: StringMap;
}

export interface NodeUnstageVolumeRequest extends VolumeRequest {
  readonly stagingTargetPath: string;
}

export interface NodePublishVolumeRequest extends VolumeRequest {
  readonly stagingTargetPath: string;
  readonly targetPath: string;
  readonly volumeCapability: VolumeCapability | null;
  readonly readonly: boolean;
  readonly volumeContext: StringMap;
}

export interface NodeUnpublishVolumeRequest extends VolumeRequest {
  readonly targetPath: string;
}

export interface NodeGetVolumeStatsRequest extends VolumeRequest {
  readonly volumePath: string;
}

export interface VolumeUsage {
  readonly unit: 'BYTES' | 'INODES';
  readonly total: Int64;
  readonly used?: Int64;
  readonly available?: Int64;
}

export interface NodeGetVolumeStatsResponse {
  readonly usage: readonly VolumeUsage[];
  readonly volumeCondition: VolumeCondition;
}

export interface NodeGetInfoResponse {
  readonly nodeId: string;
  readonly accessibleTopology?: Topology;
}

export type Empty = Readonly<Record<string, never>>;
