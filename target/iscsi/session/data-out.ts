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

/**
 * A place for immediate data that comes in pieces: the beginning of a buffer for all of the data.
 * Null when the immediate data is all there is.
 */
export function placeForImmediate(expectedBytes: number, dataBytes: number): Buffer | null {
  const wholeBytes = Math.min(expectedBytes, TRANSFER_BYTES_MAX);
  return dataBytes < wholeBytes ? Buffer.allocUnsafeSlow(wholeBytes) : null;
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
  const { parameters } = options;
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
  command.data = options.place ?? data;
}

/** Where the data of this Data-Out belongs, when it is in order; null: nowhere. */
export function placeForDataOut(
  command: Command,
  header: Buffer,
  options: {
    readonly at: number;
    readonly dataBytes: number;
    readonly parameters: SessionParameters;
  },
): Buffer | null {
  const { at, dataBytes, parameters } = options;
  const offset = get32(header, at + AT.bufferOffset) >>> 0;
  if (isStopped(command) || offset !== command.receivedBytes) return null;
  const end = offset + dataBytes;
  const tag = get32(header, at + AT.transferTag);
  if (end > sequenceEnd(command, tag, parameters)) return null;
  return roomFor(command, end, parameters).subarray(offset, end);
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
  const end = sequenceEnd(command, tag, parameters);
  if (end < 0) {
    // Data that nobody asked for. What was asked for may still come, and ends the command.
    command.dataSense ??= SENSE.unexpectedUnsolicitedData;
    return false;
  }
  append(command, header, { at, data, end, parameters });
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

/** How far the sequence of this tag may go, or -1 when nobody waits for it. */
function sequenceEnd(command: Command, tag: number, parameters: SessionParameters): number {
  return tag === NO_TAG
    ? unsolicitedEnd(command, parameters)
    : solicitedEnd(command, tag, parameters);
}

/** The command has failed: the rest of its data is dropped. */
function isStopped(command: Command): boolean {
  return command.isDecided || command.dataSense !== null;
}

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
  options: {
    readonly at: number;
    readonly data: Buffer;
    readonly end: number;
    readonly parameters: SessionParameters;
  },
): void {
  const { at, data, end, parameters } = options;
  if (isStopped(command)) return;
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
  const buffer = roomFor(command, offset + data.length, parameters);
  const isInPlace = data.buffer === buffer.buffer && data.byteOffset === buffer.byteOffset + offset;
  if (!isInPlace) data.copy(buffer, offset);
  command.receivedBytes += data.length;
  command.dataNumber += 1;
}

/**
 * The buffer of this command's data, at least `endBytes` long. Grown at most twice: to the first
 * burst, and to what the CDB speaks of; what came before is copied then.
 */
function roomFor(command: Command, endBytes: number, parameters: SessionParameters): Buffer {
  const current = command.data;
  if (current !== null && current.length >= endBytes) return current;
  const firstBytes = command.unsolicitedIsOpen
    ? Math.min(command.expectedBytes, parameters.firstBurstBytes)
    : 0;
  const grown = Buffer.allocUnsafeSlow(Math.max(firstBytes, command.task.dataOutBytes, endBytes));
  current?.copy(grown, 0, 0, command.receivedBytes);
  command.data = grown;
  return grown;
}
