import type { LogicalUnit, UnitAttention } from '../../scsi/index.ts';
import type { AuthenticationMethod } from '../login/authentication.ts';
import { type CompletedLogin, type LoginPolicy, refusalOf } from '../login/login.ts';
import { NO_AUTHENTICATION } from '../login/no-authentication.ts';
import { LOGIN_STATUS, type LoginStatus } from '../login/status.ts';
import type { PduWriter } from '../pdu/writer.ts';
import { SESSION_COUNT_MAX } from './limits.ts';
import type { ConnectionPort, Log } from './ports.ts';
import { Session } from './session.ts';

export interface TargetOptions {
  /** The target's IQN. */
  readonly name: string;
  readonly unit: LogicalUnit;
  readonly portalGroupTag: number;
  /** May an initiator of this name use the target now? Null: not known yet. Asked at each login. */
  readonly admits: (initiatorName: string) => boolean | null;
  readonly methods?: readonly AuthenticationMethod[];
  /** Session handles begin after it; 0 unless told. */
  readonly lastTsih?: number;
  readonly log: Log;
}

export type OpenResult =
  | { readonly kind: 'open'; readonly session: Session }
  | { readonly kind: 'refused'; readonly status: LoginStatus };

/** The iSCSI target node: what its sessions share. Knows no sockets and no time. */
export class Target implements LoginPolicy {
  readonly unit: LogicalUnit;
  readonly portalGroupTag: number;
  readonly methods: readonly AuthenticationMethod[];
  readonly log: Log;
  readonly #options: TargetOptions;
  readonly #sessions = new Set<Session>();
  #lastTsih: number;
  #isSilent = false;

  constructor(options: TargetOptions) {
    this.#options = options;
    this.unit = options.unit;
    this.portalGroupTag = options.portalGroupTag;
    this.methods = options.methods ?? [NO_AUTHENTICATION];
    this.log = options.log;
    this.#lastTsih = options.lastTsih ?? 0;
  }

  get name(): string {
    return this.#options.name;
  }

  /** The same, as a login knows it. */
  get targetName(): string {
    return this.#options.name;
  }

  /** Those too that are closing, until what they gave to the device has settled. */
  get sessions(): ReadonlySet<Session> {
    return this.#sessions;
  }

  /** A newer target exists: not a byte is sent any more, and nobody is let in. */
  get isSilent(): boolean {
    return this.#isSilent;
  }

  admits(initiatorName: string): boolean | null {
    return this.#isSilent ? false : this.#options.admits(initiatorName);
  }

  /**
   * Makes the session of a completed login. One of the same initiator port is ended first
   * (§6.3.5), and what it gave to the device settles before the new one exists.
   *
   * @param numbers CmdSN of the login and StatSN of the first answer after it.
   * @param isWanted false once the connection is gone.
   */
  open(
    login: CompletedLogin,
    connection: {
      readonly port: ConnectionPort;
      readonly writer: PduWriter;
      readonly commandNumber: number;
      readonly statusNumber: number;
      readonly isWanted: () => boolean;
    },
    done: (result: OpenResult) => void,
  ): void {
    if (!connection.isWanted()) return;
    const initiatorPort = `${login.initiatorName.toLowerCase()},i,0x${login.isid}`;
    const status = this.#statusFor(login, initiatorPort);
    if (status !== LOGIN_STATUS.success) {
      done({ kind: 'refused', status });
      return;
    }
    const old = login.kind === 'normal' ? this.#find(initiatorPort) : undefined;
    if (old !== undefined) {
      this.log('iscsi session reinstated', { initiator: initiatorPort, remote: old.port.remote });
      old.port.destroy();
      // Again from the start: another login may have been quicker.
      old.close(() => this.open(login, connection, done));
      return;
    }
    const session = new Session(
      {
        kind: login.kind,
        initiatorPort,
        initiatorName: login.initiatorName,
        tsih: this.#takeTsih(),
        connectionId: login.connectionId,
        parameters: login.parameters,
        commandNumber: connection.commandNumber,
        statusNumber: connection.statusNumber,
      },
      { target: this, port: connection.port, writer: connection.writer },
    );
    this.#sessions.add(session);
    session.whenOver(() => this.#sessions.delete(session));
    done({ kind: 'open', session });
  }

  raiseUnitAttention(attention: UnitAttention): void {
    this.unit.raiseUnitAttention(attention);
  }

  /** Closes every connection, after what was already answered has been sent. */
  endSessions(reason: string): void {
    for (const session of Array.from(this.#sessions)) {
      this.log('iscsi session ended', { initiator: session.options.initiatorPort, reason });
      session.port.end();
      session.close();
    }
  }

  /** Closes every connection at once. `done` when the device has settled what they gave to it. */
  dropSessions(done: () => void): void {
    let waitingFor = 1;
    const settled = () => {
      waitingFor -= 1;
      if (waitingFor === 0) done();
    };
    for (const session of Array.from(this.#sessions)) {
      waitingFor += 1;
      session.port.destroy();
      session.close(settled);
    }
    settled();
  }

  /** The device said that it is fenced (replication R8). */
  silence(): void {
    if (this.#isSilent) return;
    this.#isSilent = true;
    this.log('iscsi target fenced', { target: this.name });
    this.dropSessions(() => undefined);
  }

  #statusFor(login: CompletedLogin, initiatorPort: string): LoginStatus {
    if (login.tsih !== 0) {
      // One connection a session: there is nothing to add to it.
      const known = [...this.#sessions].some((session) => session.options.tsih === login.tsih);
      return known ? LOGIN_STATUS.tooManyConnections : LOGIN_STATUS.noSuchSession;
    }
    const isNormal = login.kind === 'normal';
    const refusal = isNormal ? refusalOf(this.admits(login.initiatorName)) : null;
    if (refusal !== null) return refusal;
    const replaces = this.#find(initiatorPort) !== undefined;
    // Discovery needs no leave of ours: it must not use up what normal sessions have.
    const count = [...this.#sessions].filter(({ options }) => options.kind === login.kind).length;
    const isFull = count >= SESSION_COUNT_MAX && !replaces;
    return isFull ? LOGIN_STATUS.outOfResources : LOGIN_STATUS.success;
  }

  #find(initiatorPort: string): Session | undefined {
    for (const session of this.#sessions) {
      const { options } = session;
      if (options.kind === 'normal' && options.initiatorPort === initiatorPort) return session;
    }
    return undefined;
  }

  /** 1 to 65535, none that is in use. */
  #takeTsih(): number {
    const used = new Set([...this.#sessions].map((session) => session.options.tsih));
    do {
      this.#lastTsih = (this.#lastTsih % 0xffff) + 1;
    } while (used.has(this.#lastTsih));
    return this.#lastTsih;
  }
}
