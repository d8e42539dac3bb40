import { encodeSense, type ScsiTask, STATUS } from '../../scsi/index.ts';
import type { SessionParameters } from '../login/parameters.ts';
import {
  AT,
  FINAL,
  HAS_STATUS,
  HEADER_BYTES,
  NO_TAG,
  OVERFLOW,
  put32,
  RESPONSE,
  UNDERFLOW,
} from '../pdu/format.ts';
import { next } from '../pdu/serial.ts';
import type { PduWriter } from '../pdu/writer.ts';
import type { Command } from './command.ts';
import type { CommandWindow } from './command-window.ts';

/** What a session says: the PDUs of a target, with their sequence numbers. */
export class Answers {
  readonly #writer: PduWriter;
  readonly #window: CommandWindow<unknown>;
  readonly #dataBytesMax: number;
  readonly #burstBytesMax: number;
  #statusNumber: number;

  constructor(options: {
    readonly writer: PduWriter;
    readonly window: CommandWindow<unknown>;
    readonly parameters: SessionParameters;
    /** StatSN of the first answer. */
    readonly statusNumber: number;
  }) {
    this.#writer = options.writer;
    this.#window = options.window;
    this.#dataBytesMax = options.parameters.initiatorDataBytesMax;
    this.#burstBytesMax = options.parameters.maxBurstBytes;
    this.#statusNumber = options.statusNumber;
  }

  /** The end of a command: Data-In with the status in the last one, or a SCSI response. */
  command(command: Command): void {
    const { task } = command;
    const roomBytes = command.reads ? command.expectedBytes : 0;
    const dataBytes = Math.min(task.dataIn.length, roomBytes);
    const residual = residualOf(command);
    if (dataBytes > 0) this.#dataIn(command, dataBytes, residual);
    else this.#response(command, residual);
  }

  /** §11.7. Bursts of at most MaxBurstLength; the last PDU of each has the F bit. */
  #dataIn(command: Command, totalBytes: number, residual: number): void {
    const { dataIn, status } = command.task;
    const writer = this.#writer;
    let burstLeft = this.#burstBytesMax;
    let offset = 0;
    for (let dataNumber = 0; offset < totalBytes; dataNumber += 1) {
      const lengthBytes = Math.min(totalBytes - offset, this.#dataBytesMax, burstLeft);
      const isLast = offset + lengthBytes === totalBytes;
      burstLeft -= lengthBytes;
      const at = writer.begin();
      const bytes = writer.bytes;
      bytes[at] = RESPONSE.dataIn;
      if (isLast) {
        bytes[at + 1] = FINAL | HAS_STATUS | residualFlagOf(residual);
        bytes[at + 3] = status;
        put32(bytes, this.#takeStatusNumber(), at + AT.statusNumber);
        put32(bytes, Math.abs(residual), at + AT.residualCount);
      } else if (burstLeft === 0) {
        bytes[at + 1] = FINAL;
        burstLeft = this.#burstBytesMax;
      }
      put32(bytes, command.taskTag, at + AT.taskTag);
      put32(bytes, NO_TAG, at + AT.transferTag);
      this.#putWindow(bytes, at);
      put32(bytes, dataNumber, at + AT.dataNumber);
      put32(bytes, offset, at + AT.bufferOffset);
      const isWhole = lengthBytes === dataIn.length;
      writer.endWith(at, isWhole ? dataIn : dataIn.subarray(offset, offset + lengthBytes));
      offset += lengthBytes;
    }
  }

  /** §11.4. */
  #response(command: Command, residual: number): void {
    const { task } = command;
    const at = this.#begin(RESPONSE.command, FINAL | residualFlagOf(residual), command.taskTag);
    const bytes = this.#writer.bytes;
    bytes[at + 3] = task.status;
    put32(bytes, command.r2tSentCount, at + AT.dataNumber);
    put32(bytes, Math.abs(residual), at + AT.residualCount);
    if (task.status === STATUS.checkCondition) this.#writer.endWith(at, senseSegmentOf(task));
    else this.#writer.end(at);
  }

  /** §11.8. */
  readyToTransfer(
    command: Command,
    burst: { readonly tag: number; readonly offsetBytes: number; readonly lengthBytes: number },
  ): void {
    const at = this.#writer.begin();
    const bytes = this.#writer.bytes;
    bytes[at] = RESPONSE.readyToTransfer;
    bytes[at + 1] = FINAL;
    put32(bytes, command.task.lunHigh, at + AT.lun);
    put32(bytes, command.task.lunLow, at + AT.lun + 4);
    put32(bytes, command.taskTag, at + AT.taskTag);
    put32(bytes, burst.tag, at + AT.transferTag);
    // Not counted: an R2T carries the next StatSN without using it up (§11.8.3).
    put32(bytes, this.#statusNumber, at + AT.statusNumber);
    this.#putWindow(bytes, at);
    put32(bytes, command.r2tSentCount, at + AT.dataNumber);
    put32(bytes, burst.offsetBytes, at + AT.bufferOffset);
    put32(bytes, burst.lengthBytes, at + AT.desiredBytes);
    this.#writer.end(at);
  }

  /** §11.6. */
  taskManagement(taskTag: number, response: number): void {
    const at = this.#begin(RESPONSE.taskManagement, FINAL, taskTag);
    this.#writer.bytes[at + 2] = response;
    this.#writer.end(at);
  }

  /** §11.15. */
  logout(taskTag: number, response: number): void {
    const at = this.#begin(RESPONSE.logout, FINAL, taskTag);
    this.#writer.bytes[at + 2] = response;
    this.#writer.end(at);
  }

  /** The echo of a NOP-Out (§11.19). */
  echo(taskTag: number, data: Buffer): void {
    const at = this.#begin(RESPONSE.nopIn, FINAL, taskTag);
    put32(this.#writer.bytes, NO_TAG, at + AT.transferTag);
    const cut = data.length > this.#dataBytesMax ? data.subarray(0, this.#dataBytesMax) : data;
    this.#writer.endWith(at, cut);
  }

  /** A ping of ours: the initiator answers with a NOP-Out of the same tag. */
  ping(transferTag: number): void {
    const at = this.#writer.begin();
    const bytes = this.#writer.bytes;
    bytes[at] = RESPONSE.nopIn;
    bytes[at + 1] = FINAL;
    put32(bytes, NO_TAG, at + AT.taskTag);
    put32(bytes, transferTag, at + AT.transferTag);
    put32(bytes, this.#statusNumber, at + AT.statusNumber);
    this.#putWindow(bytes, at);
    this.#writer.end(at);
  }

  /** §11.11. `transferTag` other than NO_TAG: go on, with that tag. */
  text(taskTag: number, transferTag: number, data: Buffer): void {
    const isFinal = transferTag === NO_TAG;
    const at = this.#begin(RESPONSE.text, isFinal ? FINAL : 0, taskTag);
    put32(this.#writer.bytes, transferTag, at + AT.transferTag);
    this.#writer.endWith(at, data);
  }

  /** §11.17: with the header that was wrong. */
  reject(reason: number, header: Buffer, headerAt: number): void {
    const at = this.#begin(RESPONSE.reject, FINAL, NO_TAG);
    this.#writer.bytes[at + 2] = reason;
    this.#writer.endWith(at, Buffer.from(header.subarray(headerAt, headerAt + HEADER_BYTES)));
  }

  /** §11.9: asks for a logout within so many seconds. */
  askForLogout(event: number, withinSeconds: number): void {
    const at = this.#begin(RESPONSE.asynchronous, FINAL, NO_TAG);
    const bytes = this.#writer.bytes;
    bytes[at + 36] = event;
    bytes.writeUInt16BE(withinSeconds, at + 42);
    this.#writer.end(at);
  }

  #begin(opcode: number, flags: number, taskTag: number): number {
    const at = this.#writer.begin();
    const bytes = this.#writer.bytes;
    bytes[at] = opcode;
    bytes[at + 1] = flags;
    put32(bytes, taskTag, at + AT.taskTag);
    put32(bytes, this.#takeStatusNumber(), at + AT.statusNumber);
    this.#putWindow(bytes, at);
    return at;
  }

  #putWindow(bytes: Buffer, at: number): void {
    put32(bytes, this.#window.expected, at + AT.expectedCommandNumber);
    put32(bytes, this.#window.max, at + AT.commandNumberMax);
  }

  #takeStatusNumber(): number {
    const number = this.#statusNumber;
    this.#statusNumber = next(number);
    return number;
  }
}

/**
 * Bytes that the command spoke of, less those that the initiator expected: overflow is positive,
 * underflow negative (§11.4.5). Data in the wrong direction counts as not expected.
 */
function residualOf(command: Command): number {
  const { task, expectedBytes } = command;
  if (task.dataIn.length > 0) return task.dataIn.length - (command.reads ? expectedBytes : 0);
  return task.dataOutWantedBytes - expectedBytes;
}

function residualFlagOf(residual: number): number {
  if (residual === 0) return 0;
  return residual > 0 ? OVERFLOW : UNDERFLOW;
}

/** SenseLength and the sense data (§11.4.7). */
function senseSegmentOf(task: ScsiTask): Buffer {
  if (task.sense === null) return Buffer.alloc(2);
  const sense = encodeSense(task.sense, task.unit.mode.senseFormat);
  const segment = Buffer.alloc(2 + sense.length);
  segment.writeUInt16BE(sense.length, 0);
  sense.copy(segment, 2);
  return segment;
}
