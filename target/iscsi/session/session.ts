import { assert } from '../../../core/assert.ts';
import { TRANSFER_BYTES_MAX } from '../../../core/limits.ts';
import { type LogicalUnit, type Nexus, SENSE, STATUS } from '../../scsi/index.ts';
import type { SessionParameters } from '../login/parameters.ts';
import {
  AT,
  ATTRIBUTE_MASK,
  FINAL,
  get32,
  HEADER_BYTES,
  IMMEDIATE,
  OPCODE_MASK,
  READS,
  REJECT,
  REQUEST,
  WRITES,
} from '../pdu/format.ts';
import type { PduWriter } from '../pdu/writer.ts';
import { Answers } from './answers.ts';
import type { Command } from './command.ts';
import { CommandStore } from './command-store.ts';
import { CommandWindow } from './command-window.ts';
import {
  burstOf,
  placeForDataOut,
  placeForImmediate,
  takeDataOut,
  takeImmediate,
} from './data-out.ts';
import { COMMAND_WINDOW_SIZE, IMMEDIATE_COMMAND_COUNT_MAX, RESERVED_BYTES_MAX } from './limits.ts';
import type { ConnectionPort } from './ports.ts';
import { Requests } from './requests.ts';
import type { Target } from './target.ts';
import { TaskAbort } from './task-abort.ts';

export interface SessionOptions {
  readonly kind: 'normal' | 'discovery';
  /** `name,i,0xISID`: the initiator port. */
  readonly initiatorPort: string;
  readonly initiatorName: string;
  readonly tsih: number;
  readonly connectionId: number;
  readonly parameters: SessionParameters;
  /** CmdSN that the first request has. */
  readonly commandNumber: number;
  /** StatSN of the first answer. */
  readonly statusNumber: number;
}

/** A request that came before its turn: a command, a copy of another PDU, or one to pass over. */
type Held = Command | { readonly header: Buffer; readonly data: Buffer } | 'aborted';

/**
 * The full feature phase of a session and its one connection: SCSI commands with their data, in
 * the order of CmdSN. Everything else that an initiator may ask is in `requests.ts`.
 */
export class Session {
  readonly options: SessionOptions;
  readonly target: Target;
  readonly nexus: Nexus;
  readonly window: CommandWindow<Held>;
  readonly answers: Answers;
  readonly port: ConnectionPort;
  readonly commands: CommandStore;
  /** Task management functions that wait for what the device has. */
  taskManagementCount = 0;
  readonly #unit: LogicalUnit;
  readonly #requests: Requests;
  readonly #whenOver: (() => void)[] = [];
  #isClosing = false;
  #isOver = false;
  /** A logout is under way: nothing that comes after it counts. */
  #isDeaf = false;
  /** The next one; never NO_TAG. */
  #transferTag = 0;
  #immediateCount = 0;
  /** The buffer whose beginning the parser fills with immediate data right now. */
  #immediatePlace: Buffer | null = null;
  #isStartingLine = false;

  constructor(
    options: SessionOptions,
    dependencies: {
      readonly target: Target;
      readonly port: ConnectionPort;
      readonly writer: PduWriter;
    },
  ) {
    this.options = options;
    this.target = dependencies.target;
    this.port = dependencies.port;
    this.#unit = this.target.unit;
    this.nexus = this.#unit.attach(options.initiatorPort);
    this.window = new CommandWindow<Held>(options.commandNumber, COMMAND_WINDOW_SIZE);
    this.answers = new Answers({
      writer: dependencies.writer,
      window: this.window,
      parameters: options.parameters,
      statusNumber: options.statusNumber,
    });
    this.commands = new CommandStore({
      unit: this.#unit,
      nexus: this.nexus,
      reservedBytesMax: RESERVED_BYTES_MAX,
      finished: (command) => this.#finished(command),
    });
    this.#requests = new Requests(this);
  }

  /** See PduSink.placeFor. */
  placeFor(header: Buffer, at: number, dataBytes: number): Buffer | null {
    const opcode = (header[at] as number) & OPCODE_MASK;
    if (opcode === REQUEST.dataOut) {
      const command = this.commands.find(get32(header, at + AT.taskTag));
      if (command === undefined || command.state === 'running') return null;
      return placeForDataOut(command, header, {
        at,
        dataBytes,
        parameters: this.options.parameters,
      });
    }
    if (opcode !== REQUEST.command) return null;
    const expectedBytes = get32(header, at + AT.expectedBytes) >>> 0;
    // Not while commands wait for room: only those that have it may hold so much.
    const hasRoom = this.commands.hasRoom(Math.min(expectedBytes, TRANSFER_BYTES_MAX));
    const place = hasRoom ? placeForImmediate(expectedBytes, dataBytes) : null;
    this.#immediatePlace = place;
    return place === null ? null : place.subarray(0, dataBytes);
  }

  onPdu(header: Buffer, at: number, data: Buffer): void {
    if (this.#isClosing || this.#isDeaf) return;
    const opcode = (header[at] as number) & OPCODE_MASK;
    if (opcode === REQUEST.command) this.#onCommand(header, at, data);
    else if (opcode === REQUEST.dataOut) this.#onDataOut(header, at, data);
    else if (this.#requests.isOrdered(opcode)) this.#onOrdered(header, at, data);
    else this.#requests.refuse(opcode, header, at);
  }

  /** Requests that come from now on are dropped; answers still go out. */
  stopListening(): void {
    this.#isDeaf = true;
  }

  /** The initiator takes its answers again. */
  drained(): void {
    this.#startLine();
  }

  /** One second has passed. */
  tick(): void {
    if (!this.#isClosing) this.#requests.tick();
  }

  /** A byte came. */
  heard(): void {
    this.#requests.heard();
  }

  /**
   * Nothing is answered any more; what was not handed to the device is dropped. `over` is called
   * when what was handed to it has settled (replication R12), or at once.
   */
  close(over: (() => void) | null = null): void {
    if (over !== null) this.whenOver(over);
    if (this.#isClosing) return;
    this.#isClosing = true;
    const abort = new TaskAbort(() => this.#finish());
    this.abortAll(abort);
    abort.settle();
  }

  whenOver(over: () => void): void {
    if (this.#isOver) over();
    else this.#whenOver.push(over);
  }

  /** Asks the initiator to log out (RFC 7143 §11.9). */
  askForLogout(): void {
    this.#requests.askForLogout();
  }

  /**
   * Aborts one command: dropped at once when the device has nothing of it, otherwise told to hand
   * nothing more to it. `abort` is settled when it is over. It is never answered.
   */
  abort(command: Command, abort: TaskAbort): void {
    if (command.state !== 'running') {
      this.#drop(command);
      return;
    }
    command.task.aborted = true;
    abort.add();
    if (command.aborts.length === 0) command.aborts = [abort];
    else command.aborts.push(abort);
  }

  abortAll(abort: TaskAbort): void {
    for (const command of this.commands.all) this.abort(command, abort);
  }

  // ---- requests in the order of CmdSN

  #onOrdered(header: Buffer, at: number, data: Buffer): void {
    const isImmediate = ((header[at] as number) & IMMEDIATE) !== 0;
    if (isImmediate) {
      this.#requests.perform(header, at, data);
      return;
    }
    const number = get32(header, at + AT.commandNumber);
    const turn = this.window.classify(number);
    if (turn === 'hold') {
      const copy = Buffer.from(header.subarray(at, at + HEADER_BYTES));
      this.window.hold(number, { header: copy, data });
    } else if (turn === 'run') {
      this.window.release();
      this.#requests.perform(header, at, data);
      this.runHeld();
    }
  }

  /** After something took its turn: those whose turn comes by that. */
  runHeld(): void {
    for (;;) {
      if (this.#isClosing || this.#isDeaf) return;
      const held = this.window.takeNext();
      if (held === undefined) return;
      if (held === 'aborted') this.window.release();
      else if ('task' in held) {
        held.isHeld = false;
        this.#turn(held);
      } else {
        this.window.release();
        this.#requests.perform(held.header, 0, held.data);
      }
    }
  }

  // ---- SCSI commands

  #onCommand(header: Buffer, at: number, data: Buffer): void {
    const place = this.#immediatePlace;
    this.#immediatePlace = null;
    const immediate = ((header[at] as number) & IMMEDIATE) !== 0;
    const number = get32(header, at + AT.commandNumber);
    const turn = immediate ? 'run' : this.window.classify(number);
    if (turn === 'ignore') return;
    const reason = this.#refusalOf(header, at, data.length);
    if (reason !== 0) {
      this.answers.reject(reason, header, at);
      if (immediate) return;
      if (turn === 'hold') this.window.hold(number, 'aborted');
      else {
        this.window.release();
        this.runHeld();
      }
      return;
    }
    const command = this.#take(header, at);
    const flags = header[at + 1] as number;
    if ((flags & WRITES) !== 0) {
      const isFinal = (flags & FINAL) !== 0;
      takeImmediate(command, data, { place, isFinal, parameters: this.options.parameters });
    }
    if (turn === 'hold') {
      command.isHeld = true;
      this.window.hold(number, command);
      return;
    }
    this.#turn(command);
    if (!immediate) this.runHeld();
  }

  /** A reason for Reject (§11.17.1), or 0. */
  #refusalOf(header: Buffer, at: number, dataBytes: number): number {
    if (this.options.kind === 'discovery') return REJECT.protocolError;
    const flags = header[at + 1] as number;
    // Immediate data without W, or a command that reads and writes: we have none.
    if (dataBytes > 0 && (flags & WRITES) === 0) return REJECT.protocolError;
    if ((flags & READS) !== 0 && (flags & WRITES) !== 0) return REJECT.invalidField;
    if (this.commands.find(get32(header, at + AT.taskTag)) !== undefined) {
      return REJECT.taskInProgress;
    }
    const isImmediate = ((header[at] as number) & IMMEDIATE) !== 0;
    const isTooMuch = isImmediate && this.#immediateCount >= IMMEDIATE_COMMAND_COUNT_MAX;
    return isTooMuch ? REJECT.tooManyImmediate : 0;
  }

  #take(header: Buffer, at: number): Command {
    const command = this.commands.take(get32(header, at + AT.taskTag));
    const flags = header[at + 1] as number;
    command.commandNumber = get32(header, at + AT.commandNumber);
    command.immediate = ((header[at] as number) & IMMEDIATE) !== 0;
    if (command.immediate) this.#immediateCount += 1;
    command.reads = (flags & READS) !== 0;
    const hasData = (flags & (READS | WRITES)) !== 0;
    command.expectedBytes = hasData ? get32(header, at + AT.expectedBytes) >>> 0 : 0;
    const task = command.task;
    task.attribute = flags & ATTRIBUTE_MASK;
    task.lunHigh = get32(header, at + AT.lun);
    task.lunLow = get32(header, at + AT.lun + 4);
    task.dataOutOffered = (flags & WRITES) !== 0 ? command.expectedBytes : 0;
    const cdb = task.cdb;
    const from = at + AT.cdb;
    for (let index = 0; index < 16; index += 1) cdb[index] = header[from + index] as number;
    return command;
  }

  /** By CmdSN it is this command's turn. */
  #turn(command: Command): void {
    const hasRoom = this.commands.reserve(command, reservationOf(command), this.port.isCongested);
    if (hasRoom) this.#begin(command);
  }

  #begin(command: Command): void {
    command.state = 'gathering';
    command.isDecided = !this.#unit.begin(command.task);
    this.#proceed(command);
  }

  /** What is next for a command that has begun. */
  #proceed(command: Command): void {
    if (command.unsolicitedIsOpen) return;
    const isStopped = command.isDecided || command.dataSense !== null;
    if (isStopped) {
      if (command.r2tDoneCount === command.r2tSentCount) this.#stop(command);
      return;
    }
    const { task } = command;
    if (command.receivedBytes >= task.dataOutBytes) {
      if (task.dataOutBytes > 0) {
        assert(command.data !== null, 'data that was received is somewhere');
        task.dataOut = command.data;
      }
      command.state = 'running';
      this.#unit.run(task);
      return;
    }
    this.#solicit(command);
  }

  /** Asks for data, with as many R2Ts as may be out at once. */
  #solicit(command: Command): void {
    const { parameters } = this.options;
    const { dataOutBytes } = command.task;
    if (command.r2tSentCount === 0) {
      command.solicitedFromBytes = command.receivedBytes;
      command.dataNumber = 0;
      const left = dataOutBytes - command.receivedBytes;
      command.firstTransferTag = this.#takeTransferTags(Math.ceil(left / parameters.maxBurstBytes));
    }
    while (command.r2tSentCount - command.r2tDoneCount < parameters.maxOutstandingR2T) {
      const { startBytes, endBytes } = burstOf(command, command.r2tSentCount, parameters);
      if (startBytes >= dataOutBytes) return;
      this.answers.readyToTransfer(command, {
        tag: (command.firstTransferTag + command.r2tSentCount) | 0,
        offsetBytes: startBytes,
        lengthBytes: endBytes - startBytes,
      });
      command.r2tSentCount += 1;
    }
  }

  #takeTransferTags(count: number): number {
    // Well below NO_TAG (−1), and 2^31 tags are never out at once.
    if (this.#transferTag + count > 0x7fffffff) this.#transferTag = 0;
    const first = this.#transferTag;
    this.#transferTag += count;
    return first;
  }

  takeTransferTag(): number {
    return this.#takeTransferTags(1);
  }

  #onDataOut(header: Buffer, at: number, data: Buffer): void {
    const command = this.commands.find(get32(header, at + AT.taskTag));
    // Late data of a command that was aborted or has failed is dropped without a word.
    if (command === undefined || command.state === 'running') return;
    const { parameters } = this.options;
    const isAtEnd = takeDataOut(command, header, { at, data, parameters });
    if (isAtEnd && command.state === 'gathering') this.#proceed(command);
  }

  /** It failed before it ran: by its CDB, or by its data. */
  #stop(command: Command): void {
    const { task, dataSense } = command;
    if (!command.isDecided) {
      this.#unit.abandon(task);
      task.status = STATUS.checkCondition;
      task.sense = dataSense ?? SENSE.internalTargetFailure;
    }
    this.#finished(command);
  }

  #finished(command: Command): void {
    const { task } = command;
    if (task.silenced) this.target.silence();
    if (!command.immediate) this.window.release();
    else this.#immediateCount -= 1;
    if (!task.aborted && !this.#isClosing) this.answers.command(command);
    this.#release(command);
    this.#startLine();
  }

  /** Aborted before the device heard of it. */
  #drop(command: Command): void {
    if (command.state === 'gathering' && !command.isDecided) this.#unit.abandon(command.task);
    else if (command.state === 'waiting') this.commands.leaveLine(command);
    // Its CmdSN still has to have its turn.
    if (command.isHeld) this.window.hold(command.commandNumber, 'aborted');
    else if (!command.immediate) this.window.release();
    else this.#immediateCount -= 1;
    this.#release(command);
    this.#startLine();
  }

  #release(command: Command): void {
    const { aborts } = command;
    this.commands.release(command);
    for (const abort of aborts) abort.settle();
  }

  #startLine(): void {
    if (this.#isStartingLine || this.#isClosing) return;
    this.#isStartingLine = true;
    while (!this.port.isCongested) {
      const command = this.commands.takeFromLine(reservationOf);
      if (command === undefined) break;
      this.#begin(command);
    }
    this.#isStartingLine = false;
  }

  #finish(): void {
    this.#isOver = true;
    this.#unit.detach(this.nexus);
    for (const over of this.#whenOver.splice(0)) over();
  }
}

function reservationOf(command: Command): number {
  return Math.min(command.expectedBytes, TRANSFER_BYTES_MAX);
}
