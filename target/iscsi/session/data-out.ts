/**
 * The data of a write on its way in: with the command, unasked after it, and asked for by R2T
 * (RFC 7143 §4.2.5, §11.7, §11.8). Functions over the command that gathers it.
 *
 * DataPDUInOrder and DataSequenceInOrder are Yes, so that data comes in the order of its offset
 * and R2Ts are answered one after the other. Whatever is out of that order fails the command, once
 * the rest of what was announced has come and was dropped.
 */
import { TRANSFER_BYTES_MAX } from '../../../core/limits.ts';
import { SENSE } from '../../scsi/index.ts';
import type { SessionParameters } from '../login/parameters.ts';
import { AT, FINAL, get32, NO_TAG } from '../pdu/format.ts';
import type { Command } from './command.ts';

/** The buffer that the data is gathered in: no larger than what any command can use. */
function allocate(expectedBytes: number): Buffer {
  return Buffer.allocUnsafeSlow(Math.min(expectedBytes, TRANSFER_BYTES_MAX));
}

/**
 * A place for immediate data that comes in pieces: the beginning of the buffer for all of it.
 * Null when the immediate data is all there is.
 */
export function placeForImmediate(expectedBytes: number, dataBytes: number): Buffer | null {
  const canTakeMore = dataBytes < Math.min(expectedBytes, TRANSFER_BYTES_MAX);
  return canTakeMore ? allocate(expectedBytes) : null;
}

/**
 * @param data the immediate data, maybe none.
 * @param place the buffer from `placeForImmediate` whose beginning `data` is, or null.
 */
export function takeImmediate(
  command: Command,
  data: Buffer,
  options: {
    readonly place: Buffer | null;
    readonly isFinal: boolean;
    readonly parameters: SessionParameters;
  },
): void {
  const { parameters, place } = options;
  command.unsolicitedIsOpen = !options.isFinal;
  if (!options.isFinal && parameters.initialR2T) {
    command.dataSense = SENSE.unexpectedUnsolicitedData;
  }
  if (data.length === 0) return;
  if (!parameters.immediateData) {
    command.dataSense = SENSE.unexpectedUnsolicitedData;
    return;
  }
  if (data.length > Math.min(command.expectedBytes, parameters.firstBurstBytes)) {
    command.dataSense = SENSE.wrongAmountOfData;
    return;
  }
  command.receivedBytes = data.length;
  if (place !== null) command.data = place;
  else if (data.length === command.expectedBytes) command.data = data;
  else {
    command.data = allocate(command.expectedBytes);
    data.copy(command.data);
  }
}

/** Where the data of this Data-Out belongs, when it is in order; null: nowhere. */
export function placeForDataOut(
  command: Command,
  header: Buffer,
  range: { readonly at: number; readonly dataBytes: number },
): Buffer | null {
  const offset = get32(header, range.at + AT.bufferOffset) >>> 0;
  const isNext = command.dataSense === null && offset === command.receivedBytes;
  if (!isNext || offset + range.dataBytes > command.expectedBytes) return null;
  command.data ??= allocate(command.expectedBytes);
  const end = offset + range.dataBytes;
  return end <= command.data.length ? command.data.subarray(offset, end) : null;
}

/**
 * One Data-Out PDU. True: the sequence that it belongs to has ended (F bit), see what is next.
 */
export function takeDataOut(
  command: Command,
  header: Buffer,
  options: {
    readonly at: number;
    readonly data: Buffer;
    readonly parameters: SessionParameters;
  },
): boolean {
  const { at, data, parameters } = options;
  const isFinal = ((header[at + 1] as number) & FINAL) !== 0;
  const tag = get32(header, at + AT.transferTag);
  const end =
    tag === NO_TAG ? unsolicitedEnd(command, parameters) : solicitedEnd(command, tag, parameters);
  if (end < 0) {
    // Data that nobody asked for. What was asked for may still come, and ends the command.
    command.dataSense ??= SENSE.unexpectedUnsolicitedData;
    return false;
  }
  append(command, header, { at, data, end });
  if (!isFinal) return false;
  command.dataNumber = 0;
  if (tag === NO_TAG) {
    command.unsolicitedIsOpen = false;
  } else {
    command.r2tDoneCount += 1;
    if (command.receivedBytes !== end) command.dataSense ??= SENSE.wrongAmountOfData;
  }
  return true;
}

/** How far unasked data may go, or -1 when none is expected. */
function unsolicitedEnd(command: Command, parameters: SessionParameters): number {
  if (!command.unsolicitedIsOpen) return -1;
  return Math.min(parameters.firstBurstBytes, command.expectedBytes);
}

/** The end of the burst that this tag asked for, or -1 when it is not the one whose turn it is. */
function solicitedEnd(command: Command, tag: number, parameters: SessionParameters): number {
  const isCurrent = tag === ((command.firstTransferTag + command.r2tDoneCount) | 0);
  if (!isCurrent || command.r2tDoneCount >= command.r2tSentCount) return -1;
  return burstOf(command, command.r2tDoneCount, parameters).endBytes;
}

/** The n-th burst of solicited data. */
export function burstOf(
  command: Command,
  index: number,
  parameters: SessionParameters,
): { readonly startBytes: number; readonly endBytes: number } {
  const startBytes = command.solicitedFromBytes + index * parameters.maxBurstBytes;
  const endBytes = Math.min(startBytes + parameters.maxBurstBytes, command.task.dataOutBytes);
  return { startBytes, endBytes };
}

function append(
  command: Command,
  header: Buffer,
  options: { readonly at: number; readonly data: Buffer; readonly end: number },
): void {
  const { at, data, end } = options;
  if (command.dataSense !== null) return;
  const offset = get32(header, at + AT.bufferOffset) >>> 0;
  const isInOrder =
    offset === command.receivedBytes && get32(header, at + AT.dataNumber) === command.dataNumber;
  if (!isInOrder) {
    // §7.9: with error recovery level 0 a gap is what is left of a lost PDU.
    command.dataSense = SENSE.protocolServiceCrc;
    return;
  }
  if (offset + data.length > end) {
    command.dataSense = SENSE.wrongAmountOfData;
    return;
  }
  const buffer = (command.data ??= allocate(command.expectedBytes));
  const isInPlace = data.buffer === buffer.buffer && data.byteOffset === buffer.byteOffset + offset;
  if (!isInPlace) data.copy(buffer, offset);
  command.receivedBytes += data.length;
  command.dataNumber += 1;
}
