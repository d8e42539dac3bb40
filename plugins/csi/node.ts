/** The Node service: the volumes of the node that this plugin runs on. */
import {
  type AgentClient,
  ApiError,
  type CallOptions,
  type Door,
  LONG_TIMEOUT_MS,
  type Stats,
} from '../../core/api/index.ts';
import { mismatchOf, NODE_CAPABILITIES, type Usage, usageOf } from './capabilities.ts';
import { unlessNotFound } from './errors.ts';
import {
  isUsablePath,
  isVolumeReference,
  noSuchVolume,
  requiredPath,
  requiredString,
  shown,
} from './fields.ts';
import { grpcError } from './grpc/grpc-error.ts';
import type { GrpcCall, GrpcService } from './grpc/server.ts';
import { labelOf } from './labels.ts';
import type * as m from './messages.ts';
import { operationOf, type PendingOperations } from './pending.ts';
import { topologyOf } from './topology.ts';
import { conditionMessage } from './volume-answer.ts';

/** What changes something goes on when the caller hangs up; a repeated call finds it done. */
const LONG: CallOptions = { timeoutMs: LONG_TIMEOUT_MS };
const READ_DEADLINE_MS = 20_000;

export interface NodeOptions {
  readonly agent: AgentClient;
  readonly door: Door;
  readonly pending: PendingOperations;
}

/** Nothing here needs a publish_context: Mesos never asks the controller for one. */
export function nodeHandlers(options: NodeOptions): GrpcService['handlers'] {
  const node = new NodeService(options);
  return {
    NodeGetCapabilities: async () => ({
      capabilities: NODE_CAPABILITIES.map((type) => ({ rpc: { type } })),
    }),
    NodeStageVolume: (request: m.NodeStageVolumeRequest, call: GrpcCall) =>
      node.stage(request, call),
    NodeUnstageVolume: (request: m.NodeUnstageVolumeRequest, call: GrpcCall) =>
      node.unstage(request, call),
    NodePublishVolume: (request: m.NodePublishVolumeRequest, call: GrpcCall) =>
      node.publish(request, call),
    NodeUnpublishVolume: (request: m.NodeUnpublishVolumeRequest, call: GrpcCall) =>
      node.unpublish(request, call),
    NodeGetVolumeStats: (request: m.NodeGetVolumeStatsRequest, call: GrpcCall) =>
      node.getVolumeStats(request, call),
    NodeGetInfo: (_request: m.Empty, call: GrpcCall) => node.getInfo(call),
  };
}

class NodeService {
  readonly #agent: AgentClient;
  readonly #door: Door;
  readonly #pending: PendingOperations;

  constructor({ agent, door, pending }: NodeOptions) {
    this.#agent = agent;
    this.#door = door;
    this.#pending = pending;
  }

  /**
   * "If the volume […] is already staged to the staging_target_path, and is identical to the
   * specified volume_capability the Plugin MUST reply 0 OK"; staged there otherwise:
   * ALREADY_EXISTS. The path is only the name of the consumer: nothing is mounted on it.
   */
  async stage(request: m.NodeStageVolumeRequest, call: GrpcCall): Promise<m.Empty> {
    const reference = requiredString('volume_id', request.volumeId);
    const stagingPath = requiredPath('staging_target_path', request.stagingTargetPath);
    const usage = usageOf(request.volumeCapability);
    if (!isVolumeReference(reference)) throw noSuchVolume(reference);
    const stage = {
      stagingPath,
      door: this.#door,
      as: usage.as,
      mountOptions: [...usage.mountOptions],
      readOnly: usage.isReadOnly,
      label: labelOf(request.volumeContext, stagingPath),
      ...(usage.fileSystem === null ? {} : { fileSystem: usage.fileSystem }),
    };
    await this.#pending.run({ volume: reference, ...operationOf(call) }, () =>
      this.#asUsable(reference, usage, this.#agent.stage(reference, stage, LONG)),
    );
    return {};
  }

  /**
   * "If the volume […] is not staged to the staging_target_path, the Plugin MUST reply 0 OK"; and
   * so for a volume that is gone, or an orchestrator would ask for ever.
   */
  async unstage(request: m.NodeUnstageVolumeRequest, call: GrpcCall): Promise<m.Empty> {
    const reference = requiredString('volume_id', request.volumeId);
    const stagingPath = requiredPath('staging_target_path', request.stagingTargetPath);
    if (!isVolumeReference(reference)) return {};
    await this.#pending.run({ volume: reference, ...operationOf(call) }, () =>
      unlessNotFound(this.#agent.unstage(reference, { stagingPath }, LONG)),
    );
    return {};
  }

  /**
   * "If the volume […] has already been published at the specified target_path, and is compatible
   * […] the Plugin MUST reply 0 OK"; published there otherwise: ALREADY_EXISTS; not staged, or no
   * staging path given: FAILED_PRECONDITION.
   */
  async publish(request: m.NodePublishVolumeRequest, call: GrpcCall): Promise<m.Empty> {
    const reference = requiredString('volume_id', request.volumeId);
    const targetPath = requiredPath('target_path', request.targetPath);
    const usage = usageOf(request.volumeCapability);
    if (request.stagingTargetPath === '') {
      throw grpcError('FAILED_PRECONDITION', 'staging_target_path is missing: stage it first');
    }
    const stagingPath = requiredPath('staging_target_path', request.stagingTargetPath);
    if (!isVolumeReference(reference)) throw noSuchVolume(reference);
    const publish = {
      targetPath,
      stagingPath,
      as: usage.as,
      readOnly: request.readonly || usage.isReadOnly,
      mountOptions: [...usage.mountOptions],
      label: labelOf(request.volumeContext, targetPath),
    };
    await this.#pending.run({ volume: reference, ...operationOf(call) }, async () => {
      if (usage.isSingleWriter) await this.#checkOnlyPath(reference, targetPath);
      await this.#asUsable(reference, usage, this.#agent.publish(reference, publish, LONG));
    });
    return {};
  }

  /** "MUST be idempotent": not published there, or a volume that is gone, is unpublished. */
  async unpublish(request: m.NodeUnpublishVolumeRequest, call: GrpcCall): Promise<m.Empty> {
    const reference = requiredString('volume_id', request.volumeId);
    const targetPath = requiredPath('target_path', request.targetPath);
    if (!isVolumeReference(reference)) return {};
    await this.#pending.run({ volume: reference, ...operationOf(call) }, () =>
      unlessNotFound(this.#agent.unpublish(reference, { targetPath }, LONG)),
    );
    return {};
  }

  /** Reads only. A path where no volume can be is one where it is not: NOT_FOUND. */
  async getVolumeStats(
    request: m.NodeGetVolumeStatsRequest,
    { abandoned }: GrpcCall,
  ): Promise<m.NodeGetVolumeStatsResponse> {
    const reference = requiredString('volume_id', request.volumeId);
    const path = requiredString('volume_path', request.volumePath, Number.POSITIVE_INFINITY);
    if (!isVolumeReference(reference)) throw noSuchVolume(reference);
    if (!isUsablePath(path)) {
      throw grpcError('NOT_FOUND', `volume ${shown(reference)} is not at volume_path`);
    }
    const limits = { timeoutMs: READ_DEADLINE_MS, signal: abandoned };
    const stats = await this.#agent.stats(reference, { path }, limits);
    return { usage: usageMessages(stats), volumeCondition: conditionMessage(stats) };
  }

  /** Reads only. Any number of volumes. */
  async getInfo({ abandoned }: GrpcCall): Promise<m.NodeGetInfoResponse> {
    const limits = { timeoutMs: READ_DEADLINE_MS, signal: abandoned };
    const { node, zone } = await this.#agent.info(limits);
    const accessibleTopology = topologyOf({ name: node, zone });
    return { nodeId: node, ...(accessibleTopology === null ? {} : { accessibleTopology }) };
  }

  /** "Exceeds capabilities": refused for what the volume is, not for how it was asked. */
  async #asUsable(reference: string, usage: Usage, call: Promise<unknown>): Promise<void> {
    try {
      await call;
    } catch (error) {
      if (!(error instanceof ApiError && error.data.code === 'badRequest')) throw error;
      const volume = await this.#agent.getVolume(reference, { timeoutMs: READ_DEADLINE_MS });
      const mismatch = mismatchOf(usage, volume);
      if (mismatch === null) throw error;
      throw grpcError('FAILED_PRECONDITION', `volume ${shown(reference)}: ${mismatch}`, error);
    }
  }

  /**
   * SINGLE_NODE_SINGLE_WRITER at a second path (T1≠T2): FAILED_PRECONDITION. The table says so for
   * SINGLE_NODE_WRITER too, which orchestrators that do not know the newer modes use for several
   * workloads of one node; it stays allowed, as with the reference driver.
   */
  async #checkOnlyPath(reference: string, targetPath: string): Promise<void> {
    const limits = { timeoutMs: READ_DEADLINE_MS };
    const { holders } = await this.#agent.getVolume(reference, limits);
    const other = holders.flatMap(({ paths }) => paths).find((path) => path !== targetPath);
    if (other === undefined) return;
    throw grpcError(
      'FAILED_PRECONDITION',
      `volume ${shown(reference)} has one writer (SINGLE_NODE_SINGLE_WRITER) and is published at ` +
        `${shown(other)}: unpublish it there first`,
    );
  }
}

function usageMessages({ bytes, inodes, sizeBytes }: Stats): readonly m.VolumeUsage[] {
  // Nobody can tell how much of a block device is used.
  if (bytes === null) return [{ unit: 'BYTES', total: sizeBytes }];
  const ofBytes = { unit: 'BYTES', ...bytes } as const;
  return inodes === null ? [ofBytes] : [ofBytes, { unit: 'INODES', ...inodes }];
}
