/** The agent of one node, from start to end. */
import type { AgentClient, Heartbeat, PoolReport, Sockets } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import type { HttpTransport } from '../../core/platform/index.ts';
import type { AgentService } from '../api/routes.ts';
import { serveApi } from '../api/server.ts';
import { shareMounts, unshareMounts } from '../filesystem/propagation.ts';
import { within } from '../host/time.ts';
import { openStateFolder, type StateFolder } from '../state/state-folder.ts';
import { Background } from './background.ts';
import { HeartbeatLoop } from './heartbeat.ts';
import { type AgentDependencies, type AgentOptions, openParts, type Parts } from './parts.ts';
import { shutdown } from './shutdown.ts';

export interface AgentHandle extends AsyncDisposable {
  /** Of its API. */
  readonly socketPath: string;
  /** Speaks to that API through the socket, for front doors in the same process. */
  readonly client: AgentClient;
  /** Tells the cluster where these front doors of this node listen, besides those told before. */
  announce(sockets: Sockets): void;
  /** Resolves when somebody asked for its end (POST /v1/shutdown, stage exit). */
  readonly exitAsked: Promise<void>;
  /** Ends the agent; its replicas, targets and attachments go on without it. */
  close(): Promise<void>;
}

const SETTLE_TIMEOUT_MS = 5_000;
const INSPECT_INTERVAL_MS = 5_000;
const KNOWN_VOLUMES_INTERVAL_MS = 30_000;
const LOGS_INTERVAL_MS = 60_000;

/** @throws StateError, and errors of the system, each with one sentence. */
export async function openAgent(
  options: AgentOptions,
  dependencies: AgentDependencies,
  clientOf: (transport: HttpTransport) => AgentClient,
): Promise<AgentHandle> {
  const { files } = dependencies.platform;
  const folder = await openStateFolder(options.stateFolder, options.node, files);
  try {
    const agent = await Agent.open(options, dependencies, folder);
    return await agent.serve(clientOf);
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

class Agent {
  readonly #options: AgentOptions;
  readonly #dependencies: AgentDependencies;
  readonly #parts: Parts;
  readonly #heartbeat: HeartbeatLoop;
  readonly #background: Background;
  readonly #exit = Promise.withResolvers<void>();
  #sockets: Sockets = {};
  #propagationLack = '';
  #recovering: Promise<void> = Promise.resolve();
  /** Of the last heartbeat, for the warnings. */
  #poolReports: readonly PoolReport[] = [];

  private constructor(options: AgentOptions, dependencies: AgentDependencies, parts: Parts) {
    const { log, platform } = dependencies;
    const { apiserver, guard } = parts;
    this.#options = options;
    this.#dependencies = dependencies;
    this.#parts = parts;
    const compose = () => this.#compose();
    const { clock } = platform;
    this.#heartbeat = new HeartbeatLoop({ apiserver, guard, clock, log, compose });
    this.#background = new Background(clock, log);
  }

  static async open(
    options: AgentOptions,
    dependencies: AgentDependencies,
    folder: StateFolder,
  ): Promise<Agent> {
    const parts = await openParts(options, dependencies, folder);
    return new Agent(options, dependencies, parts);
  }

  async serve(clientOf: (transport: HttpTransport) => AgentClient): Promise<AgentHandle> {
    const { folder, pools, replicas, targets, attachments } = this.#parts;
    const { log, platform, transport } = this.#dependencies;
    await pools.open();
    await this.#share();
    await replicas.recover();
    await targets.recover(platform.host.bootId());
    // Not waited for: a mount whose target is away may take a minute to undo.
    this.#recovering = attachments.recover();
    const socketPath = folder.paths.agentSocket;
    const server = await serveApi(socketPath, {
      agent: this.#service(),
      files: platform.files,
      log,
    });
    this.#heartbeat.start();
    this.#startChores();
    log.info('agent listens', { socket: socketPath, node: this.#options.node });
    let closing: Promise<void> | null = null;
    const close = () => (closing ??= this.#close(server));
    return {
      socketPath,
      client: clientOf(transport(`unix:${socketPath}`)),
      announce: (sockets) => {
        this.#sockets = { ...this.#sockets, ...sockets };
      },
      exitAsked: this.#exit.promise,
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  async #close(server: { close(): Promise<void> }): Promise<void> {
    const { folder, replicas, targets, attachments } = this.#parts;
    const { clock } = this.#dependencies.platform;
    await this.#heartbeat.stop();
    await this.#background.stop();
    // What takes longer is undone by the next agent, like after a crash.
    await within(clock, SETTLE_TIMEOUT_MS, this.#recovering);
    await within(clock, SETTLE_TIMEOUT_MS, attachments.settled());
    await within(clock, SETTLE_TIMEOUT_MS, server.close());
    await Promise.all([replicas.abandon(), targets.abandon()]);
    await this.#unshare();
    await folder[Symbol.asyncDispose]();
  }

  #service(): AgentService {
    const { replicas, targets, attachments, publications, volumes, guard, apiserver } = this.#parts;
    return {
      info: () => this.#info(),
      putReplica: async (replicaId, body) => {
        guard.requireTrust();
        return replicas.put(replicaId, body);
      },
      deleteReplica: async (replicaId, volumeId) => {
        // Data goes: only on the word of a store that is known, right now, not to be rolled back.
        await this.#heartbeat.beat();
        guard.requireTrust();
        await replicas.remove(replicaId, volumeId);
      },
      putTarget: async (volumeId, body) => {
        guard.requireTrust();
        await targets.put(volumeId, body);
      },
      deleteTarget: async (volumeId) => {
        guard.requireTrust();
        await targets.remove(volumeId);
      },
      createVolume: (body) => volumes.create(body),
      listVolumes: () => volumes.list(),
      getVolume: (reference) => volumes.get(reference),
      deleteVolume: async (reference) => {
        await attachments.finishDetach(reference);
        await volumes.remove(reference);
      },
      attach: (reference, body) => attachments.attach(reference, body),
      detach: (reference, body) => attachments.detach(reference, body),
      stage: (reference, body) => attachments.stage(reference, body),
      unstage: (reference, { stagingPath }) =>
        attachments.detach(reference, { consumer: stagingPath }),
      publish: (reference, body) => publications.publish(reference, body),
      unpublish: (reference, body) => publications.unpublish(reference, body),
      stats: (reference, body) => publications.stats(reference, body),
      claim: (reference, body) => volumes.claim(reference, body),
      unclaim: (reference, body) => volumes.unclaim(reference, body),
      capacity: (body) => apiserver.capacity(body),
      listNodes: () => apiserver.listNodes(),
      shutdown: (body) =>
        shutdown(body, {
          attachments,
          targets,
          replicas,
          bootId: this.#dependencies.platform.host.bootId(),
          exit: () => this.#exit.resolve(),
        }),
    };
  }

  async #compose(): Promise<Heartbeat> {
    const { folder, pools, replicas, targets, attachments } = this.#parts;
    const { platform } = this.#dependencies;
    const reservations = await replicas.reservations();
    this.#poolReports = await pools.report(reservations);
    return {
      name: this.#options.node,
      agentAddress: `unix:${folder.paths.agentSocket}`,
      bootId: platform.host.bootId(),
      zone: this.#options.zone ?? null,
      version: this.#options.version,
      pools: [...this.#poolReports],
      replicas: [...(await replicas.report())],
      targets: [...(await targets.report())],
      consumers: attachments.consumers(),
      sockets: this.#sockets,
    };
  }

  async #info() {
    const { choice } = this.#parts;
    return {
      node: this.#options.node,
      zone: this.#options.zone ?? null,
      version: this.#options.version,
      pid: this.#dependencies.pid,
      apiserver: this.#options.apiserver,
      apiserverReachable: this.#heartbeat.isReachable,
      attachMethod: choice.method,
      attachMethodReason: choice.reason,
      warnings: this.#warnings(),
    };
  }

  #warnings(): string[] {
    const { guard, attachments, damages } = this.#parts;
    const failed = this.#poolReports.filter(({ state }) => state === 'failed');
    const protection = this.#dependencies.processes.lacksProtection
      ? 'replicas, targets and attachments are not protected when memory is short (the ' +
        'out-of-memory killer, waiting for their own write-back): CAP_SYS_RESOURCE is missing'
      : '';
    return [
      guard.refusal ?? '',
      ...failed.map(({ name, reason }) => `pool ${name}: ${reason}`),
      ...damages(),
      ...attachments.problems(),
      this.#propagationLack,
      protection,
    ].filter((text) => text !== '');
  }

  #startChores(): void {
    const { attachments, volumes, replicas, targets } = this.#parts;
    this.#background.start({
      name: 'attachments',
      intervalMs: INSPECT_INTERVAL_MS,
      run: async () => {
        await attachments.retryPending();
        await attachments.inspect();
      },
    });
    this.#background.start({
      name: 'known volumes',
      intervalMs: KNOWN_VOLUMES_INTERVAL_MS,
      run: async () => {
        await volumes.list();
      },
    });
    this.#background.start({
      name: 'logs',
      intervalMs: LOGS_INTERVAL_MS,
      run: async () => {
        await replicas.cutLogs();
        await targets.cutLogs();
      },
    });
  }

  async #share(): Promise<void> {
    if (!this.#dependencies.isRoot) return;
    try {
      await shareMounts(this.#parts.folder.paths.mounts, this.#dependencies);
    } catch (error) {
      this.#propagationLack = `mounts are not shared with other namespaces: ${messageOf(error)}`;
    }
  }

  async #unshare(): Promise<void> {
    if (!this.#dependencies.isRoot) return;
    try {
      await unshareMounts(this.#parts.folder.paths.mounts, this.#dependencies);
    } catch (error) {
      this.#dependencies.log.warn('the folder of mounts stays shared', { error });
    }
  }
}
