import { AgentClient } from '../../../core/api/client.ts';
import { ApiError } from '../../../core/api/errors.ts';
import type { HttpTransport } from '../../../core/platform/http.ts';

export interface AgentTransport extends HttpTransport {
  close(): void;
}

interface Node {
  readonly name: string;
  readonly agentAddress: string;
}

interface Limits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

interface Connection {
  readonly agentAddress: string;
  readonly transport: AgentTransport;
  readonly client: AgentClient;
}

type ReplicaBody = Parameters<AgentClient['putReplica']>[1];
type TargetBody = Parameters<AgentClient['putTarget']>[1];

export class AgentsRuntime implements Disposable {
  readonly #connect: (address: string) => AgentTransport;
  readonly #connections = new Map<string, Connection>();

  constructor(connect: (address: string) => AgentTransport) {
    this.#connect = connect;
  }

  /** @returns where it listens. */
  async runReplica(
    node: Node,
    order: ReplicaBody & { readonly replicaId: string },
    limits: Limits,
  ): Promise<string> {
    const { replicaId, ...body } = order;
    const { address } = await this.#client(node).putReplica(replicaId, body, limits);
    return address;
  }

  async removeReplica(
    node: Node,
    { replicaId, volumeId }: { readonly replicaId: string; readonly volumeId: string },
    limits: Limits,
  ): Promise<void> {
    await unlessGone(this.#client(node).deleteReplica(replicaId, volumeId, limits));
  }

  async runTarget(
    node: Node,
    order: TargetBody & { readonly volumeId: string },
    limits: Limits,
  ): Promise<void> {
    const { volumeId, ...body } = order;
    await this.#client(node).putTarget(volumeId, body, limits);
  }

  async stopTarget(node: Node, volumeId: string, limits: Limits): Promise<void> {
    await unlessGone(this.#client(node).deleteTarget(volumeId, limits));
  }

  [Symbol.dispose](): void {
    for (const { transport } of this.#connections.values()) transport.close();
    this.#connections.clear();
  }

  #client({ name, agentAddress }: Node): AgentClient {
    const known = this.#connections.get(name);
    if (known?.agentAddress === agentAddress) return known.client;
    known?.transport.close();
    const transport = this.#connect(agentAddress);
    const client = new AgentClient(transport, `the agent of node ${name}`);
    this.#connections.set(name, { agentAddress, transport, client });
    return client;
  }
}

async function unlessGone(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 'notFound')) throw error;
  }
}
