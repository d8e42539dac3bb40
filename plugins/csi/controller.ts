/** The Controller service: volumes of the whole cluster, through the agent of one node. */
import {
  type AgentClient,
  type AgentVolume,
  type CallOptions,
  type Door,
  LONG_TIMEOUT_MS,
} from '../../core/api/index.ts';
import { VOLUME_BYTES_MIN } from '../../core/units.ts';
import { CONTROLLER_CAPABILITIES, hindranceOf, mismatchOf, usageOf } from './capabilities.ts';
import {
  capacityRequestOf,
  checkNoMutableParameters,
  createVolumeOf,
  optionsOf,
  wantedVolumeOf,
} from './create-parameters.ts';
import { isNotFound, unlessNotFound } from './errors.ts';
import {
  invalid,
  isVolumeReference,
  NODE_ID_BYTES_MAX,
  noSuchVolume,
  requiredString,
} from './fields.ts';
import { grpcError } from './grpc/grpc-error.ts';
import type { GrpcCall, GrpcService } from './grpc/server.ts';
import type * as m from './messages.ts';
import { operationOf, type PendingOperations } from './pending.ts';
import { nodesIn, preferredNodesOf } from './topology.ts';
import { volumeMessage, volumeStatus } from './volume-answer.ts';
import { pageOf } from './volume-pages.ts';

/** What changes something goes on when the caller hangs up; a repeated call finds it done. */
const LONG: CallOptions = { timeoutMs: LONG_TIMEOUT_MS };
const READ_DEADLINE_MS = 20_000;

export interface ControllerOptions {
  readonly agent: AgentClient;
  /** Through which front door volumes are claimed. */
  readonly door: Door;
  readonly pending: PendingOperations;
}

export function controllerHandlers(options: ControllerOptions): GrpcService['handlers'] {
  const controller = new Controller(options);
  return {
    ControllerGetCapabilities: async () => ({
      capabilities: CONTROLLER_CAPABILITIES.map((type) => ({ rpc: { type } })),
    }),
    CreateVolume: (request: m.CreateVolumeRequest, call: GrpcCall) =>
      controller.createVolume(request, call),
    DeleteVolume: (request: m.VolumeRequest, call: GrpcCall) =>
      controller.deleteVolume(request, call),
    ControllerPublishVolume: (request: m.ControllerPublishVolumeRequest, call: GrpcCall) =>
      controller.publish(request, call),
    ControllerUnpublishVolume: (request: m.ControllerUnpublishVolumeRequest, call: GrpcCall) =>
      controller.unpublish(request, call),
    ValidateVolumeCapabilities: (request: m.ValidateVolumeCapabilitiesRequest, call: GrpcCall) =>
      controller.validate(request, call),
    ListVolumes: (request: m.ListVolumesRequest, call: GrpcCall) =>
      controller.listVolumes(request, call),
    GetCapacity: (request: m.GetCapacityRequest, call: GrpcCall) =>
      controller.getCapacity(request, call),
    ControllerGetVolume: (request: m.VolumeRequest, call: GrpcCall) =>
      controller.getVolume(request, call),
  };
}

class Controller {
  readonly #agent: AgentClient;
  readonly #door: Door;
  readonly #pending: PendingOperations;

  constructor({ agent, door, pending }: ControllerOptions) {
    this.#agent = agent;
    this.#door = door;
    this.#pending = pending;
  }

  /**
   * "If a volume corresponding to the specified volume name already exists […] and is compatible
   * […] the Plugin MUST reply 0 OK": a size within the range will do, and any file system where
   * none is named; everything else must be equal, else ALREADY_EXISTS.
   */
  async createVolume(
    request: m.CreateVolumeRequest,
    call: GrpcCall,
  ): Promise<{ volume: m.Volume }> {
    const wanted = wantedVolumeOf(request);
    return this.#pending.run({ volume: wanted.name, ...operationOf(call) }, async () => {
      const preferredNodes = await this.#preferredNodes(request);
      const there = await this.#named(wanted.name);
      const create = { ...createVolumeOf(wanted, there), preferredNodes: [...preferredNodes] };
      return { volume: volumeMessage(await this.#agent.createVolume(create, LONG)) };
    });
  }

  /** "If a volume […] does not exist […] the Plugin MUST reply 0 OK". */
  async deleteVolume({ volumeId }: m.VolumeRequest, call: GrpcCall): Promise<m.Empty> {
    const reference = requiredString('volume_id', volumeId);
    if (!isVolumeReference(reference)) return {};
    await this.#pending.run({ volume: reference, ...operationOf(call) }, () =>
      unlessNotFound(this.#agent.deleteVolume(reference, LONG)),
    );
    return {};
  }

  /**
   * "If the volume […] has already been published at the node […] and is compatible […] the Plugin
   * MUST reply 0 OK". It only keeps other nodes and doors away: the node does the rest, and needs
   * no publish_context for it.
   */
  async publish(request: m.ControllerPublishVolumeRequest, call: GrpcCall): Promise<m.Empty> {
    const reference = requiredString('volume_id', request.volumeId);
    const node = requiredString('node_id', request.nodeId, NODE_ID_BYTES_MAX);
    const usage = usageOf(request.volumeCapability);
    if (!isVolumeReference(reference)) throw noSuchVolume(reference);
    const readOnly = request.readonly || usage.isReadOnly;
    await this.#pending.run({ volume: reference, ...operationOf(call) }, () =>
      this.#agent.claim(reference, { node, door: this.#door, readOnly }, LONG),
    );
    return {};
  }

  /**
   * "If the volume […] is not attached to the node […] the Plugin MUST reply 0 OK", and the same
   * for a volume or a node that is gone. At once for a node that is dead, too: its target is fenced
   * by the next one's epoch.
   */
  async unpublish(request: m.ControllerUnpublishVolumeRequest, call: GrpcCall): Promise<m.Empty> {
    const reference = requiredString('volume_id', request.volumeId);
    const { nodeId: node } = request;
    if (Buffer.byteLength(node) > NODE_ID_BYTES_MAX) {
      throw invalid(`node_id is longer than ${NODE_ID_BYTES_MAX} bytes`);
    }
    if (!isVolumeReference(reference)) return {};
    await this.#pending.run({ volume: reference, ...operationOf(call) }, () =>
      unlessNotFound(this.#agent.unclaim(reference, node === '' ? {} : { node }, LONG)),
    );
    return {};
  }

  /** Reads only. "SHALL return confirmed only if all the volume capabilities […] are supported". */
  async validate(
    request: m.ValidateVolumeCapabilitiesRequest,
    call: GrpcCall,
  ): Promise<m.ValidateVolumeCapabilitiesResponse> {
    const reference = requiredString('volume_id', request.volumeId);
    const { volumeCapabilities, volumeContext, parameters, mutableParameters } = request;
    if (volumeCapabilities.length === 0) throw invalid('volume_capabilities is missing');
    checkNoMutableParameters(mutableParameters);
    optionsOf('parameters', parameters);
    const hindrances = volumeCapabilities.map(hindranceOf);
    const volume = await this.#existing(reference, call);
    const message =
      hindrances.find((hindrance) => hindrance !== null) ??
      volumeCapabilities
        .map((one) => mismatchOf(usageOf(one), volume))
        .find((found) => found !== null);
    if (message !== undefined && message !== null) return { message };
    return { confirmed: { volumeContext, volumeCapabilities, parameters } };
  }

  /** Reads only. */
  async listVolumes(request: m.ListVolumesRequest, call: GrpcCall): Promise<m.ListVolumesResponse> {
    const { volumes, cached } = await this.#agent.listVolumes(reading(call));
    if (cached) {
      // A caller takes what is not in the list for gone.
      throw grpcError('UNAVAILABLE', 'the apiserver is away, and only it knows all volumes');
    }
    const page = pageOf(volumes, request);
    const entries = page.volumes.map((volume) => ({
      volume: volumeMessage(volume),
      status: volumeStatus(volume),
    }));
    return { entries, nextToken: page.nextToken };
  }

  /**
   * Reads only. A topology does not limit: a volume that is placed elsewhere is reachable from
   * there as well. In one that does not exist, or for what no volume can do, nothing can be made.
   */
  async getCapacity(request: m.GetCapacityRequest, call: GrpcCall): Promise<m.GetCapacityResponse> {
    const { volumeCapabilities, parameters, accessibleTopology } = request;
    const wanted = capacityRequestOf(parameters);
    const isPossible = volumeCapabilities.map(hindranceOf).every((hindrance) => hindrance === null);
    const isThere = accessibleTopology === null || (await this.#hasNode(accessibleTopology, call));
    const { maximumVolumeBytes } =
      isPossible && isThere
        ? await this.#agent.capacity(wanted, reading(call))
        : { maximumVolumeBytes: 0 };
    return {
      availableCapacity: maximumVolumeBytes,
      maximumVolumeSize: { value: maximumVolumeBytes },
      minimumVolumeSize: { value: VOLUME_BYTES_MIN },
    };
  }

  /** Reads only. */
  async getVolume({ volumeId }: m.VolumeRequest, call: GrpcCall) {
    const volume = await this.#existing(requiredString('volume_id', volumeId), call);
    return { volume: volumeMessage(volume), status: volumeStatus(volume) };
  }

  async #existing(reference: string, call: GrpcCall): Promise<AgentVolume> {
    if (!isVolumeReference(reference)) throw noSuchVolume(reference);
    return this.#agent.getVolume(reference, reading(call));
  }

  /** The agent also finds by id; a volume of that id is not the one of that name. */
  async #named(name: string): Promise<AgentVolume | null> {
    try {
      const volume = await this.#agent.getVolume(name, { timeoutMs: READ_DEADLINE_MS });
      return volume.name === name ? volume : null;
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  async #preferredNodes(request: m.CreateVolumeRequest): Promise<readonly string[]> {
    const { accessibilityRequirements: requirements } = request;
    if (requirements === null) return [];
    const { nodes } = await this.#agent.listNodes({ timeoutMs: READ_DEADLINE_MS });
    return preferredNodesOf(requirements, nodes);
  }

  async #hasNode(topology: m.Topology, call: GrpcCall): Promise<boolean> {
    const { nodes } = await this.#agent.listNodes(reading(call));
    return nodesIn(topology, nodes).length > 0;
  }
}

function reading({ abandoned }: GrpcCall): CallOptions {
  return { timeoutMs: READ_DEADLINE_MS, signal: abandoned };
}
