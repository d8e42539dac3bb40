import { decodeText, encodeText, TextGatherer, type TextPair } from '../login/text.ts';
import {
  ASYNCHRONOUS_EVENT,
  AT,
  CONTINUES,
  get32,
  NO_TAG,
  REJECT,
  REQUEST,
} from '../pdu/format.ts';
import { answerText } from './discovery.ts';
import { LOGOUT_WITHIN_S, PING_AFTER_S, PING_DEADLINE_S, TEXT_BYTES_MAX } from './limits.ts';
import type { Session } from './session.ts';
import { TaskAbort } from './task-abort.ts';
import { manageTasks } from './task-management.ts';

/** Logout reasons and responses (RFC 7143 §11.14.1, §11.15.1). */
const CLOSE_SESSION = 0;
const CLOSE_CONNECTION = 1;
const LOGGED_OUT = 0;
const NO_SUCH_CONNECTION = 1;
const RECOVERY_NOT_SUPPORTED = 2;

/** What an initiator asks for besides SCSI commands, and the pings of both sides. */
export class Requests {
  readonly #session: Session;
  readonly #text = new TextGatherer(TEXT_BYTES_MAX);
  #silentSeconds = 0;
  #hasPinged = false;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Requests that have a CmdSN. */
  isOrdered(opcode: number): boolean {
    const isAny = opcode === REQUEST.nopOut || opcode === REQUEST.text || opcode === REQUEST.logout;
    return isAny || (opcode === REQUEST.taskManagement && this.#session.options.kind === 'normal');
  }

  /** It is this request's turn. */
  perform(header: Buffer, at: number, data: Buffer): void {
    switch ((header[at] as number) & 0x3f) {
      case REQUEST.nopOut:
        this.#echo(header, at, data);
        break;
      case REQUEST.text:
        this.#onText(header, at, data);
        break;
      case REQUEST.logout:
        this.#logOut(header, at);
        break;
      case REQUEST.taskManagement:
        manageTasks(this.#session, header, at);
        break;
    }
  }

  /** What has no place here: Reject, and go on (§7.4). */
  refuse(opcode: number, header: Buffer, at: number): void {
    let reason: number = REJECT.notSupported;
    // Nothing is sent again with error recovery level 0.
    if (opcode === REQUEST.snack) reason = REJECT.snack;
    else if (opcode === REQUEST.login) reason = REJECT.protocolError;
    else if (opcode === REQUEST.taskManagement) reason = REJECT.protocolError;
    this.#session.answers.reject(reason, header, at);
  }

  // ---- is the other side alive?

  heard(): void {
    this.#silentSeconds = 0;
    this.#hasPinged = false;
  }

  tick(): void {
    // Who does not take its answers is not listened to: the connection has a deadline for that.
    if (this.#session.port.isCongested) return;
    this.#silentSeconds += 1;
    if (this.#hasPinged && this.#silentSeconds > PING_AFTER_S + PING_DEADLINE_S) {
      this.#session.target.log('iscsi ping unanswered', {
        initiator: this.#session.options.initiatorPort,
        remote: this.#session.port.remote,
      });
      this.#session.port.destroy();
    } else if (!this.#hasPinged && this.#silentSeconds >= PING_AFTER_S) {
      this.#hasPinged = true;
      this.#session.answers.ping(this.#session.takeTransferTag());
    }
  }

  askForLogout(): void {
    this.#session.answers.askForLogout(ASYNCHRONOUS_EVENT.logoutRequested, LOGOUT_WITHIN_S);
  }

  // ---- the requests

  /** Without a tag it wants no answer: it is one to a ping of ours, or news of ExpStatSN. */
  #echo(header: Buffer, at: number, data: Buffer): void {
    const taskTag = get32(header, at + AT.taskTag);
    if (taskTag !== NO_TAG) this.#session.answers.echo(taskTag, data);
  }

  #onText(header: Buffer, at: number, data: Buffer): void {
    const session = this.#session;
    const taskTag = get32(header, at + AT.taskTag);
    // A text that begins anew resets the one before (§11.10.4).
    if (get32(header, at + AT.transferTag) === NO_TAG) this.#text.take();
    if (!this.#text.add(data)) {
      this.#text.take();
      session.answers.reject(REJECT.outOfResources, header, at);
      return;
    }
    if (((header[at + 1] as number) & CONTINUES) !== 0) {
      session.answers.text(taskTag, session.takeTransferTag(), encodeText([]));
      return;
    }
    const pairs = decodeText(this.#text.take());
    if (pairs === null) {
      session.answers.reject(REJECT.protocolError, header, at);
      return;
    }
    const answer: TextPair[] = answerText(pairs, {
      kind: session.options.kind,
      targetName: session.target.name,
      isAdmitted: session.target.admits(session.options.initiatorName) ?? false,
      address: `${session.port.local},${session.target.portalGroupTag}`,
    });
    const text = encodeText(answer);
    if (text.length > session.options.parameters.initiatorDataBytesMax) {
      session.answers.reject(REJECT.outOfResources, header, at);
      return;
    }
    session.answers.text(taskTag, NO_TAG, text);
  }

  /** All tasks end before the answer (§11.14): what the device has settles first. */
  #logOut(header: Buffer, at: number): void {
    const session = this.#session;
    const taskTag = get32(header, at + AT.taskTag);
    const reason = (header[at + 1] as number) & 0x7f;
    if (reason !== CLOSE_SESSION && reason !== CLOSE_CONNECTION) {
      session.answers.logout(taskTag, RECOVERY_NOT_SUPPORTED);
      return;
    }
    const isOther = header.readUInt16BE(at + 20) !== session.options.connectionId;
    if (reason === CLOSE_CONNECTION && isOther) {
      session.answers.logout(taskTag, NO_SUCH_CONNECTION);
      return;
    }
    session.stopListening();
    const abort = new TaskAbort(() => {
      session.answers.logout(taskTag, LOGGED_OUT);
      session.port.end();
      session.close();
    });
    session.abortAll(abort);
    abort.settle();
  }
}
