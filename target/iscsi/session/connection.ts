import { unreachable } from '../../../core/assert.ts';
import { type CompletedLogin, Login, type LoginStep } from '../login/login.ts';
import { decodeLoginRequest, encodeLoginResponse, type LoginRequest } from '../login/login-pdu.ts';
import { LOGIN_DATA_BYTES_MAX, TARGET_DATA_BYTES_MAX } from '../login/parameters.ts';
import { LOGIN_STATUS, type LoginStatus } from '../login/status.ts';
import { OPCODE_MASK, REJECT, REQUEST, RESPONSE } from '../pdu/format.ts';
import { PduParser, type PduSink, type PduViolation } from '../pdu/parser.ts';
import { next } from '../pdu/serial.ts';
import { PduWriter } from '../pdu/writer.ts';
import {
  COMMAND_WINDOW_SIZE,
  CONGESTION_DEADLINE_S,
  LOGIN_DEADLINE_S,
  REINSTATEMENT_DEADLINE_S,
} from './limits.ts';
import type { ConnectionPort } from './ports.ts';
import type { Session } from './session.ts';
import type { Target } from './target.ts';

/**
 *     login → opening → full feature → closed
 *       └────────┴───────────────────────↗
 *
 * opening: the login is complete, the session that it replaces is being settled.
 */
type Phase =
  | { readonly kind: 'login'; readonly login: Login }
  | { readonly kind: 'opening' }
  | { readonly kind: 'fullFeature'; readonly session: Session }
  | { readonly kind: 'closed' };

/** One TCP connection, without the socket: bytes in, bytes out through the port. */
export class Connection implements PduSink {
  readonly #target: Target;
  readonly #port: ConnectionPort;
  readonly #parser: PduParser;
  readonly #writer: PduWriter;
  #phase: Phase;
  /** Of the phase `fullFeature`: asked for with each PDU. */
  #session: Session | null = null;
  #statusNumber = 1;
  #seconds = 0;
  #congestedSeconds = 0;

  constructor(target: Target, port: ConnectionPort) {
    this.#target = target;
    this.#port = port;
    this.#parser = new PduParser(this, LOGIN_DATA_BYTES_MAX);
    this.#writer = new PduWriter(port);
    this.#phase = { kind: 'login', login: new Login(target) };
  }

  get session(): Session | null {
    return this.#session;
  }

  /** The chunk belongs to this connection for good. */
  receive(chunk: Buffer): void {
    this.#session?.heard();
    this.#parser.feed(chunk);
  }

  /** Hands everything that was written over to the port. */
  flush(): void {
    this.#writer.flush();
  }

  drained(): void {
    this.#congestedSeconds = 0;
    this.#session?.drained();
  }

  /** The socket is closed. */
  lost(): void {
    this.#close();
  }

  /** One second has passed. */
  tick(): void {
    this.#seconds += 1;
    const { kind } = this.#phase;
    if (kind === 'fullFeature') {
      this.#congestedSeconds = this.#port.isCongested ? this.#congestedSeconds + 1 : 0;
      if (this.#congestedSeconds > CONGESTION_DEADLINE_S) this.#abandon('takes no answers');
      else this.#session?.tick();
      return;
    }
    const deadline = kind === 'opening' ? REINSTATEMENT_DEADLINE_S : LOGIN_DEADLINE_S;
    if (kind !== 'closed' && this.#seconds > deadline) this.#abandon('no login in time');
  }

  placeFor(header: Buffer, at: number, dataBytes: number): Buffer | null {
    return this.#session?.placeFor(header, at, dataBytes) ?? null;
  }

  onPdu(header: Buffer, at: number, data: Buffer): void {
    const session = this.#session;
    if (session !== null) session.onPdu(header, at, data);
    else this.#onLoginPdu(header, at, data);
  }

  onViolation(violation: PduViolation, header: Buffer, at: number): void {
    this.#target.log('iscsi protocol violated', { violation, remote: this.#port.remote });
    // §7.7, §7.8: with error recovery level 0 the session ends; a header that cannot be trusted
    // is not sent back.
    if (this.#session !== null && violation !== 'headerDigest') {
      const isDigest = violation === 'dataDigest';
      const reason = isDigest ? REJECT.dataDigest : REJECT.protocolError;
      this.#session.answers.reject(reason, header, at);
    }
    this.#port.end();
    this.#close();
  }

  #onLoginPdu(header: Buffer, at: number, data: Buffer): void {
    const phase = this.#phase;
    const isLogin = ((header[at] as number) & OPCODE_MASK) === REQUEST.login;
    if (phase.kind !== 'login' || !isLogin) {
      this.#abandon('no login request');
      return;
    }
    const request = decodeLoginRequest(header, at);
    this.#take(request, phase.login.step(request, data));
  }

  #take(request: LoginRequest, step: LoginStep): void {
    switch (step.kind) {
      case 'answer':
        this.#answer(request, { status: LOGIN_STATUS.success, ...step, tsih: request.tsih });
        return;
      case 'refuse':
        this.#refuse(request, step.status);
        return;
      case 'complete':
        this.#open(request, step.text, step.login);
        return;
      default:
        unreachable(step);
    }
  }

  #open(request: LoginRequest, text: Buffer, login: CompletedLogin): void {
    this.#phase = { kind: 'opening' };
    this.#seconds = 0;
    const connection = {
      port: this.#port,
      writer: this.#writer,
      commandNumber: request.commandNumber,
      statusNumber: next(this.#statusNumber),
      isWanted: () => this.#phase.kind === 'opening',
    };
    this.#target.open(login, connection, (result) => {
      if (result.kind === 'refused') {
        this.#refuse(request, result.status);
        return;
      }
      const { session } = result;
      const { tsih } = session.options;
      this.#answer(request, { status: LOGIN_STATUS.success, text, transit: true, tsih });
      this.#enterFullFeature(session);
    });
  }

  /** Digests and the longer data segments hold from the PDU after the last login response. */
  #enterFullFeature(session: Session): void {
    const { headerDigest, dataDigest } = session.options.parameters;
    this.#parser.dataBytesMax = TARGET_DATA_BYTES_MAX;
    this.#parser.headerDigest = headerDigest;
    this.#parser.dataDigest = dataDigest;
    this.#writer.headerDigest = headerDigest;
    this.#writer.dataDigest = dataDigest;
    this.#session = session;
    this.#phase = { kind: 'fullFeature', session };
    this.#target.log('iscsi session opened', {
      kind: session.options.kind,
      initiator: session.options.initiatorPort,
      remote: this.#port.remote,
    });
  }

  #refuse(request: LoginRequest, status: LoginStatus): void {
    this.#target.log('iscsi login refused', { status, remote: this.#port.remote });
    this.#answer(request, { status, text: Buffer.alloc(0), transit: false, tsih: request.tsih });
    this.#port.end();
    this.#close();
  }

  #answer(
    request: LoginRequest,
    answer: {
      readonly status: LoginStatus;
      readonly text: Buffer;
      readonly transit: boolean;
      readonly tsih: number;
    },
  ): void {
    const at = this.#writer.begin();
    const bytes = this.#writer.bytes;
    bytes[at] = RESPONSE.login;
    encodeLoginResponse(bytes, at, {
      request,
      response: {
        transit: answer.transit,
        tsih: answer.tsih,
        status: answer.status,
        statusNumber: this.#statusNumber,
        expectedCommandNumber: request.commandNumber,
        commandNumberMax: (request.commandNumber + COMMAND_WINDOW_SIZE - 1) | 0,
      },
    });
    this.#statusNumber = next(this.#statusNumber);
    this.#writer.endWith(at, answer.text);
  }

  #abandon(reason: string): void {
    this.#target.log('iscsi connection closed', { reason, remote: this.#port.remote });
    this.#port.destroy();
    this.#close();
  }

  #close(): void {
    this.#parser.stop();
    this.#phase = { kind: 'closed' };
    this.#session?.close();
  }
}
