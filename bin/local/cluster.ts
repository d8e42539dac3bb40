import {
  AgentClient,
  ApiError,
  ApiserverClient,
  type ShutdownAnswer,
} from '../../core/api/index.ts';
import { CodedError, messageOf } from '../../core/errors.ts';
import type { HttpTransport } from '../../core/platform/index.ts';
import type { Layout, NodePlace } from './layout.ts';
import { Service, type ServiceDependencies } from './service.ts';

export type Use = ShutdownAnswer['inUse'][number] & { readonly node: string };

export type StopOutcome =
  | { readonly kind: 'stopped' }
  /** Nothing was stopped; what was written is synced. */
  | { readonly kind: 'inUse'; readonly uses: readonly Use[] }
  /** What stands in the way, one sentence each. */
  | { readonly kind: 'failed'; readonly problems: readonly string[] };

export class ClusterStartError extends CodedError<{
  readonly code: 'ended' | 'late' | 'stray' | 'served';
  /** Whose log tells why. */
  readonly service: string;
  readonly logPath: string;
}> {
  override readonly name = 'ClusterStartError';
}

export interface ClusterDependencies extends ServiceDependencies {
  transport(address: string): HttpTransport;
  /** Whether some process listens on this unix socket. */
  readonly isServed: (path: string) => Promise<boolean>;
}

const POLL_INTERVAL_MS = 50;
const ONLINE_TIMEOUT_MS = 60_000;
/** A service that ends so often while the cluster starts will not come up by itself. */
const FAILURES_MAX = 4;
/** An agent that is just starting again gets so long before a stop gives up on it. */
const REACH_TIMEOUT_MS = 15_000;
const EXIT_TIMEOUT_MS = 20_000;
const ASK_TIMEOUT_MS = 2_000;

type Stage = 'check' | 'attachments' | 'instances' | 'exit' | 'resume';

type Node = {
  readonly place: NodePlace;
  readonly service: Service;
  readonly agent: AgentClient;
};

/** An apiserver and N agents on this machine: started together, stopped in the right order. */
export class LocalCluster {
  readonly #apiserver: Service;
  readonly #client: ApiserverClient;
  readonly #nodes: readonly Node[];
  readonly #dependencies: ClusterDependencies;

  constructor(layout: Layout, dependencies: ClusterDependencies) {
    this.#dependencies = dependencies;
    this.#apiserver = new Service(layout.apiserver, dependencies);
    this.#client = new ApiserverClient(dependencies.transport(layout.apiserverAddress));
    this.#nodes = layout.nodes.map((place) => ({
      place,
      service: new Service(place.service, dependencies),
      agent: new AgentClient(dependencies.transport(place.address), place.name),
    }));
  }

  /**
   * Starts what does not run yet, and resolves when every node is online.
   * @throws ClusterStartError when one does not come up; `signal` ends the wait.
   */
  async start(signal: AbortSignal): Promise<void> {
    this.#refuseStrays();
    await this.#refuseServedSockets();
    await Promise.all(this.#services().map((service) => service.start()));
    const deadlineMs = this.#nowMs() + ONLINE_TIMEOUT_MS;
    for (;;) {
      signal.throwIfAborted();
      const missing = await this.#firstOffline(signal);
      if (missing === null) return;
      const failing = this.#services().find((service) => service.failureCount >= FAILURES_MAX);
      if (failing !== undefined) throw startError('ended', failing);
      if (this.#nowMs() >= deadlineMs) throw startError('late', missing);
      await this.#delay(POLL_INTERVAL_MS);
    }
  }

  /**
   * Not forced: only if nobody uses a volume. Targets of all nodes are released before any replica
   * stops, or they would see their replicas vanish.
   */
  async stop({ force, signal }: { force: boolean; signal: AbortSignal }): Promise<StopOutcome> {
    for (const stage of ['check', 'attachments', 'instances', 'exit'] as const) {
      if (stage === 'exit') for (const { service } of this.#nodes) service.expectEnd();
      const { uses, problems } = await this.#shutdown(stage, force, signal);
      // Forced, an agent that does not answer is no reason to keep the others.
      if ((uses.length > 0 || problems.length > 0) && !force) {
        if (stage !== 'check') await this.#shutdown('resume', false, signal);
        return uses.length > 0 ? { kind: 'inUse', uses } : { kind: 'failed', problems };
      }
      for (const problem of problems) this.#dependencies.say(problem);
    }
    await Promise.all(this.#nodes.map(({ service }) => endOrStop(service)));
    await this.#apiserver.stop();
    return { kind: 'stopped' };
  }

  /** Ends agents and apiserver, and leaves every volume served and mounted as it is. */
  async leaveVolumes(): Promise<void> {
    await Promise.all(this.#nodes.map(({ service }) => service.stop()));
    await this.#apiserver.stop();
  }

  /** A node of an earlier run with more nodes: nobody here would look after it, or stop it. */
  #refuseStrays(): void {
    const { record, processes } = this.#dependencies;
    const own = new Set(this.#services().map((service) => service.name));
    for (const name of record.names()) {
      const found = own.has(name) ? null : record.read(name);
      if (found === null || processes.adopt(found.identity) === null) continue;
      const { pid } = found.identity;
      throw new ClusterStartError(
        { code: 'stray', service: name, logPath: '' },
        `${name} still runs from an earlier maya up with more nodes (pid ${pid}): ` +
          'start with as many nodes as then, or stop it first',
      );
    }
  }

  /** dockerd has one plugin of a name: its socket may be another cluster's. */
  async #refuseServedSockets(): Promise<void> {
    const { record, processes, isServed } = this.#dependencies;
    for (const { place } of this.#nodes) {
      const found = record.read(place.name);
      const isOurs = found !== null && processes.adopt(found.identity) !== null;
      const socket = place.dockerSocket;
      if (isOurs || socket === null || !(await isServed(socket))) continue;
      throw new ClusterStartError(
        { code: 'served', service: place.name, logPath: '' },
        `another program, perhaps another maya up, serves ${socket}: stop that one, or start ` +
          'with --docker-socket PATH or --no-docker',
      );
    }
  }

  #services(): readonly Service[] {
    return [this.#apiserver, ...this.#nodes.map((node) => node.service)];
  }

  /** The first service that is not up yet; null when all are. */
  async #firstOffline(signal: AbortSignal): Promise<Service | null> {
    const limits = { timeoutMs: ASK_TIMEOUT_MS, signal };
    const answer = await this.#client.listNodes(limits).catch(() => null);
    if (answer === null) return this.#apiserver;
    for (const { place, service, agent } of this.#nodes) {
      const view = answer.nodes.find((node) => node.name === place.name);
      const info = await agent.info(limits).catch(() => null);
      if (view?.state !== 'online' || info?.apiserverReachable !== true) return service;
    }
    return null;
  }

  async #shutdown(stage: Stage, force: boolean, signal: AbortSignal) {
    const uses: Use[] = [];
    const problems: string[] = [];
    const ask = async ({ place, agent }: Node) => {
      const answer = await this.#reach(() => agent.shutdown({ stage, force }, { signal }), signal);
      uses.push(...answer.inUse.map((use) => ({ ...use, node: place.name })));
    };
    await Promise.all(
      this.#nodes.map((node) =>
        ask(node).catch((error: unknown) => {
          // An agent may be gone before its answer to `exit` is read.
          if (stage !== 'exit') problems.push(`${node.place.name}: ${messageOf(error)}`);
        }),
      ),
    );
    signal.throwIfAborted();
    return { uses, problems };
  }

  /** Asks again while nobody answers, for the agent may just be starting. */
  async #reach<Answer>(ask: () => Promise<Answer>, signal: AbortSignal): Promise<Answer> {
    const deadlineMs = this.#nowMs() + REACH_TIMEOUT_MS;
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        // With a cause it was never answered; without one it is the agent's own word.
        const unreached =
          error instanceof ApiError && error.data.code === 'unavailable' && error.cause;
        if (!unreached || signal.aborted || this.#nowMs() >= deadlineMs) throw error;
      }
      await this.#delay(POLL_INTERVAL_MS);
    }
  }

  #nowMs(): number {
    return this.#dependencies.clock.nowMs();
  }

  #delay(delayMs: number): Promise<void> {
    const passed = Promise.withResolvers<void>();
    this.#dependencies.clock.timer(delayMs, passed.resolve);
    return passed.promise;
  }
}

async function endOrStop(service: Service): Promise<void> {
  if (!(await service.ended(EXIT_TIMEOUT_MS))) await service.stop();
}

function startError(code: 'ended' | 'late', { name, logPath }: Service): ClusterStartError {
  const what =
    code === 'ended'
      ? `${name} ends again and again`
      : `${name} did not come online in ${ONLINE_TIMEOUT_MS / 1_000} s`;
  return new ClusterStartError({ code, service: name, logPath }, `${what}; its log: ${logPath}`);
}
