/**
 * The typed clients of the agent's and the apiserver's API: the only way in for the plugins, the
 * command line and between the services. They speak through core/platform's HttpTransport.
 */
import { z } from 'zod';
import type { HttpTransport } from '../platform/index.ts';
import * as agent from './agent.ts';
import { ApiError, apiError, badRequestFrom, problemSchema } from './errors.ts';
import * as nodes from './nodes.ts';
import * as volumes from './volumes.ts';

export interface CallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE';

const DEFAULT_TIMEOUT_MS = 30_000;
/** Creating and attaching wait for real work: under Docker's limit of two minutes. */
export const LONG_TIMEOUT_MS = 110_000;

class Caller {
  readonly #transport: HttpTransport;
  readonly #peer: string;

  constructor(transport: HttpTransport, peer: string) {
    this.#transport = transport;
    this.#peer = peer;
  }

  /** @throws ApiError: the peer's own problem, or `unavailable` when it could not be asked. */
  async call<Answer>(
    [method, path, body]: readonly [Method, string, unknown?],
    answer: z.ZodType<Answer>,
    options: CallOptions = {},
  ): Promise<Answer> {
    const response = await this.#exchange([method, path, body], options);
    if (response.status >= 400) {
      const problem = problemSchema.safeParse(response.body);
      if (problem.success) throw new ApiError(problem.data, problem.data.detail);
      throw apiError('internal', `${this.#peer} answered ${method} ${path} ${response.status}`);
    }
    const parsed = answer.safeParse(response.body);
    if (parsed.success) return parsed.data;
    throw apiError(
      'internal',
      `${this.#peer} answered ${method} ${path} with ${badRequestFrom(parsed.error).message}`,
    );
  }

  async #exchange([method, path, body]: readonly [Method, string, unknown?], options: CallOptions) {
    try {
      return await this.#transport.request({
        method,
        path,
        ...(body === undefined ? {} : { body }),
        timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw apiError('unavailable', `${this.#peer} cannot be reached: ${reason}`, { cause });
    }
  }
}

const segment = encodeURIComponent;
const nothing = z.unknown();
const long = (options?: CallOptions): CallOptions => ({ timeoutMs: LONG_TIMEOUT_MS, ...options });

export class ApiserverClient {
  readonly #caller: Caller;

  constructor(transport: HttpTransport) {
    this.#caller = new Caller(transport, 'the apiserver');
  }

  status(options?: CallOptions) {
    return this.#caller.call(['GET', '/v1/status'], nodes.statusSchema, options);
  }
  listNodes(options?: CallOptions) {
    return this.#caller.call(['GET', '/v1/nodes'], nodes.nodeListSchema, options);
  }
  heartbeat(report: nodes.Heartbeat, options?: CallOptions) {
    const path = `/v1/nodes/${segment(report.name)}/heartbeat`;
    return this.#caller.call(['PUT', path, report], nodes.heartbeatAnswerSchema, options);
  }
  listVolumes(options?: CallOptions) {
    return this.#caller.call(['GET', '/v1/volumes'], volumes.volumeListSchema, options);
  }
  getVolume(volume: string, options?: CallOptions) {
    const path = `/v1/volumes/${segment(volume)}`;
    return this.#caller.call(['GET', path], volumes.volumeViewSchema, options);
  }
  /** Waits until it is ready. Equal options: the existing one; other options: `exists`. */
  createVolume(request: volumes.CreateVolume, options?: CallOptions) {
    const call = ['POST', '/v1/volumes', request] as const;
    return this.#caller.call(call, volumes.volumeViewSchema, long(options));
  }
  /**
   * Waits until its files are gone: null. Not there: fine. Attached: `inUse`. A view: a node is
   * away, and the deletion goes on by itself when it is back.
   */
  deleteVolume(volume: string, options?: CallOptions) {
    const path = `/v1/volumes/${segment(volume)}`;
    const answer = z.union([volumes.volumeViewSchema, z.null()]);
    return this.#caller.call(['DELETE', path], answer, long(options));
  }
  attach(volume: string, body: z.infer<typeof volumes.attachVolumeSchema>, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/attach`, body] as const;
    return this.#caller.call(call, volumes.attachAnswerSchema, options);
  }
  detach(volume: string, node: string, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/detach`, { node }] as const;
    return this.#caller.call(call, nothing, long(options));
  }
  claim(volume: string, body: volumes.ClaimVolume, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/claim`, body] as const;
    return this.#caller.call(call, volumes.volumeViewSchema, options);
  }
  unclaim(volume: string, body: volumes.UnclaimVolume, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/unclaim`, body] as const;
    return this.#caller.call(call, nothing, options);
  }
  capacity(body: volumes.CapacityRequest, options?: CallOptions) {
    const call = ['POST', '/v1/capacity', body] as const;
    return this.#caller.call(call, volumes.capacityAnswerSchema, options);
  }
  getRecord(volume: string, options?: CallOptions) {
    const path = `/v1/volumes/${segment(volume)}/record`;
    return this.#caller.call(['GET', path], volumes.recordAnswerSchema, options);
  }
  putRecord(volume: string, body: z.infer<typeof volumes.putRecordSchema>, options?: CallOptions) {
    const call = ['PUT', `/v1/volumes/${segment(volume)}/record`, body] as const;
    return this.#caller.call(call, volumes.putRecordAnswerSchema, options);
  }
}

export class AgentClient {
  readonly #caller: Caller;

  constructor(transport: HttpTransport, node = 'the agent') {
    this.#caller = new Caller(transport, node);
  }

  info(options?: CallOptions) {
    return this.#caller.call(['GET', '/v1/info'], agent.agentInfoSchema, options);
  }
  putReplica(id: string, body: z.infer<typeof agent.putReplicaSchema>, options?: CallOptions) {
    const call = ['PUT', `/v1/replicas/${segment(id)}`, body] as const;
    return this.#caller.call(call, agent.replicaAnswerSchema, options);
  }
  deleteReplica(id: string, volumeId: string, options?: CallOptions) {
    const path = `/v1/replicas/${segment(id)}?volume=${segment(volumeId)}`;
    return this.#caller.call(['DELETE', path], nothing, options);
  }
  putTarget(volumeId: string, body: z.infer<typeof agent.putTargetSchema>, options?: CallOptions) {
    const call = ['PUT', `/v1/targets/${segment(volumeId)}`, body] as const;
    return this.#caller.call(call, nothing, options);
  }
  deleteTarget(volumeId: string, options?: CallOptions) {
    return this.#caller.call(['DELETE', `/v1/targets/${segment(volumeId)}`], nothing, options);
  }
  createVolume(request: volumes.CreateVolume, options?: CallOptions) {
    const call = ['POST', '/v1/volumes', request] as const;
    return this.#caller.call(call, agent.agentVolumeSchema, long(options));
  }
  listVolumes(options?: CallOptions) {
    return this.#caller.call(['GET', '/v1/volumes'], agent.agentVolumeListSchema, options);
  }
  getVolume(volume: string, options?: CallOptions) {
    const path = `/v1/volumes/${segment(volume)}`;
    return this.#caller.call(['GET', path], agent.agentVolumeSchema, options);
  }
  deleteVolume(volume: string, options?: CallOptions) {
    const path = `/v1/volumes/${segment(volume)}`;
    return this.#caller.call(['DELETE', path], nothing, long(options));
  }
  attach(volume: string, body: agent.AgentAttach, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/attach`, body] as const;
    return this.#caller.call(call, agent.agentAttachAnswerSchema, long(options));
  }
  detach(volume: string, body: z.infer<typeof agent.agentDetachSchema>, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/detach`, body] as const;
    return this.#caller.call(call, nothing, long(options));
  }
  stage(volume: string, body: agent.Stage, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/stage`, body] as const;
    return this.#caller.call(call, agent.agentAttachAnswerSchema, long(options));
  }
  unstage(volume: string, body: agent.Unstage, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/unstage`, body] as const;
    return this.#caller.call(call, nothing, long(options));
  }
  publish(volume: string, body: agent.Publish, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/publish`, body] as const;
    return this.#caller.call(call, nothing, long(options));
  }
  unpublish(volume: string, body: agent.Unpublish, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/unpublish`, body] as const;
    return this.#caller.call(call, nothing, long(options));
  }
  stats(volume: string, body: agent.StatsRequest, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/stats`, body] as const;
    return this.#caller.call(call, agent.statsSchema, options);
  }
  claim(volume: string, body: volumes.ClaimVolume, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/claim`, body] as const;
    return this.#caller.call(call, agent.agentVolumeSchema, options);
  }
  unclaim(volume: string, body: volumes.UnclaimVolume, options?: CallOptions) {
    const call = ['POST', `/v1/volumes/${segment(volume)}/unclaim`, body] as const;
    return this.#caller.call(call, nothing, options);
  }
  capacity(body: volumes.CapacityRequest, options?: CallOptions) {
    const call = ['POST', '/v1/capacity', body] as const;
    return this.#caller.call(call, volumes.capacityAnswerSchema, options);
  }
  /** The nodes of the cluster, as the apiserver sees them. */
  listNodes(options?: CallOptions) {
    return this.#caller.call(['GET', '/v1/nodes'], nodes.nodeListSchema, options);
  }
  shutdown(body: z.infer<typeof agent.shutdownSchema>, options?: CallOptions) {
    const call = ['POST', '/v1/shutdown', body] as const;
    return this.#caller.call(call, agent.shutdownAnswerSchema, long(options));
  }
}
