import type {
  Address,
  Clock,
  ConnectionHandlers,
  Listener,
  Network,
  Random,
  Connection as Socket,
  Timer,
} from '../../../core/platform/index.ts';
import type { LogicalUnit, UnitAttention } from '../../scsi/index.ts';
import { LOGOUT_WITHIN_S } from '../session/limits.ts';
import type { Log } from '../session/ports.ts';
import { Target } from '../session/target.ts';
import { PortalConnection } from './portal-connection.ts';

/** Connections at once, those that have not logged in among them. */
export const CONNECTION_COUNT_MAX = 64;
const TICK_MS = 1_000;

export interface PortalDependencies {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  /** `tcp:host:port`; port 0: any. */
  readonly address: Address;
  readonly log: Log;
}

export interface PortalOptions {
  /** The target's IQN. */
  readonly targetName: string;
  readonly logicalUnit: LogicalUnit;
  /**
   * May an initiator of this name use the target now? Asked at each login. False is final for an
   * initiator (0202h), null says that it is not known yet (0301h, try again).
   */
  readonly admits: (initiatorName: string) => boolean | null;
  /** 1 unless told. */
  readonly portalGroupTag?: number;
}

/**
 * The only sockets of the iSCSI side: listens, bounds the number of connections, and gives the
 * protocol its second.
 */
export class Portal implements AsyncDisposable {
  readonly #target: Target;
  readonly #listener: Listener;
  readonly #clock: Clock;
  readonly #connections: Set<PortalConnection>;
  #timer: Timer;
  #whenEmpty: (() => void) | null = null;
  #isClosed = false;

  /** Rejects when the address cannot be listened on (EADDRINUSE, ...). */
  static async open(dependencies: PortalDependencies, options: PortalOptions): Promise<Portal> {
    const target = new Target({
      name: options.targetName,
      unit: options.logicalUnit,
      portalGroupTag: options.portalGroupTag ?? 1,
      admits: options.admits,
      // Not always the same first one: a handle of before a restart should name no session.
      lastTsih: dependencies.random.below(0xffff),
      log: dependencies.log,
    });
    const connections = new Set<PortalConnection>();
    const opened: { portal: Portal | null } = { portal: null };
    const accept = (socket: Socket): ConnectionHandlers | null =>
      opened.portal?.accept(socket) ?? null;
    const listener = await listen(dependencies, accept);
    opened.portal = new Portal({ target, listener, connections, clock: dependencies.clock });
    return opened.portal;
  }

  private constructor(parts: {
    readonly target: Target;
    readonly listener: Listener;
    readonly connections: Set<PortalConnection>;
    readonly clock: Clock;
  }) {
    this.#target = parts.target;
    this.#listener = parts.listener;
    this.#connections = parts.connections;
    this.#clock = parts.clock;
    this.#timer = this.#clock.timer(TICK_MS, () => this.#tick());
  }

  /** With the port that was given, where 0 was asked for. */
  get address(): Address {
    return this.#listener.address;
  }

  /** Sessions that are open or still settle. */
  get sessionCount(): number {
    return this.#target.sessions.size;
  }

  raiseUnitAttention(attention: UnitAttention): void {
    this.#target.raiseUnitAttention(attention);
  }

  /**
   * Closes every connection at once, without an answer; who may log in again is `admits`' to say.
   * Resolves when what they had given to the device has settled (replication R12).
   */
  dropAllSessions(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    return new Promise((resolve) => this.#target.dropSessions(resolve));
  }

  /**
   * Asks every initiator to log out, gives them a little time, and closes what is left. Resolves
   * when all is closed and what was given to the device has settled.
   */
  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      await new Promise<void>((resolve) => this.#listener.close(resolve));
      for (const session of this.#target.sessions) session.askForLogout();
      await this.#emptied(LOGOUT_WITHIN_S * 1_000);
    }
    await this.dropAllSessions();
    this.#timer.cancel();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Called by the network for each connection. */
  accept(socket: Socket): ConnectionHandlers | null {
    if (this.#isClosed || this.#target.isSilent || !this.#makeRoom()) {
      this.#target.log('iscsi connection refused', { remote: socket.remote });
      return null;
    }
    const connection = new PortalConnection(socket, {
      target: this.#target,
      local: withoutScheme(socket.local ?? this.#listener.address),
      closed: (closed) => this.#closed(closed),
    });
    this.#connections.add(connection);
    return connection;
  }

  /** Who has no normal session must not keep those out who want one: the oldest of them goes. */
  #makeRoom(): boolean {
    if (this.#connections.size < CONNECTION_COUNT_MAX) return true;
    for (const connection of this.#connections) {
      if (connection.connection.session?.options.kind === 'normal') continue;
      this.#connections.delete(connection);
      connection.destroy();
      return true;
    }
    return false;
  }

  #closed(connection: PortalConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }

  #emptied(withinMs: number): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.timer(withinMs, resolve);
      this.#whenEmpty = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #tick(): void {
    for (const { connection } of this.#connections) connection.tick();
    this.#timer = this.#clock.timer(TICK_MS, () => this.#tick());
  }
}

function listen(
  dependencies: PortalDependencies,
  accept: (socket: Socket) => ConnectionHandlers | null,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    dependencies.network.listen(dependencies.address, accept, (error, listener) => {
      if (listener === null) reject(error ?? new Error('listening failed'));
      else resolve(listener);
    });
  });
}

function withoutScheme(address: Address): string {
  return address.startsWith('tcp:') ? address.slice('tcp:'.length) : address;
}
