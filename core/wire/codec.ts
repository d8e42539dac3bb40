import { assert } from '../assert.ts';
import { crc32c } from '../crc32c/index.ts';
import { CodedError } from '../errors.ts';
import { FRAME_PAYLOAD_BYTES_MAX } from '../limits.ts';
import { FRAME_HEADER_BYTES, FRAME_MAGIC, FRAME_VERSION, type FrameHeader } from './frame.ts';

export type WireErrorData = {
  readonly code:
    | 'badMagic'
    | 'badVersion'
    | 'badHeaderCrc'
    | 'badPayloadCrc'
    | 'tooLarge'
    | 'badNumber';
  readonly detail: string;
};

/** What came is not a stream of our frames: the connection must be dropped. */
export class WireError extends CodedError<WireErrorData> {
  override readonly name = 'WireError';
}

function wireError(code: WireErrorData['code'], detail: string): WireError {
  return new WireError({ code, detail }, `${code}: ${detail}`);
}

const NO_PAYLOAD = Buffer.alloc(0);
const TWO_32 = 0x1_0000_0000;

function putUint64(buffer: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'a 64-bit field is a safe integer');
  buffer.writeUInt32LE(value % TWO_32, at);
  buffer.writeUInt32LE(Math.floor(value / TWO_32), at + 4);
}

function putUint32(buffer: Buffer, value: number, at: number): void {
  assert(value >>> 0 === value, 'a 32-bit field is a whole number that fits');
  buffer.writeUInt32LE(value, at);
}

function getUint64(buffer: Buffer, at: number): number {
  const value = buffer.readUInt32LE(at + 4) * TWO_32 + buffer.readUInt32LE(at);
  if (!Number.isSafeInteger(value)) throw wireError('badNumber', `field at byte ${at} is ${value}`);
  return value;
}

/**
 * The header of a frame whose payload is `payload` (sent right after it, or empty). The payload
 * CRC may be given when the same payload goes to several replicas.
 */
export function encodeHeader(
  frame: Readonly<Omit<FrameHeader, 'payloadBytes'>>,
  payload: Buffer | null,
  payloadCrc: number = payload === null ? 0 : crc32c(payload),
): Buffer {
  const payloadBytes = payload === null ? 0 : payload.length;
  assert(payloadBytes <= FRAME_PAYLOAD_BYTES_MAX, 'a payload fits into a frame');
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  header.writeUInt32LE(FRAME_MAGIC, 0);
  header[4] = FRAME_VERSION;
  header[5] = frame.op;
  header[6] = frame.status;
  header[7] = 0;
  putUint64(header, frame.sequence, 8);
  putUint64(header, frame.epoch, 16);
  putUint64(header, frame.offsetBytes, 24);
  putUint32(header, frame.lengthBytes, 32);
  header.writeUInt32LE(payloadBytes, 36);
  header.writeUInt32LE(payloadBytes === 0 ? 0 : payloadCrc, 40);
  header.writeUInt32LE(crc32c(header.subarray(0, 44)), 44);
  return header;
}

/**
 * Called for each frame. The header object is reused for the next frame: copy what is kept.
 * The payload belongs to the receiver for good.
 */
export type FrameReceiver = (header: Readonly<FrameHeader>, payload: Buffer) => void;

/**
 * Bytes in, frames out. Chunks may be cut anywhere. A payload that lies within one chunk is a
 * view of it; one that spans chunks is copied once into a buffer of its own.
 */
export class FrameDecoder {
  readonly #receive: FrameReceiver;
  readonly #payloadBytesMax: number;
  readonly #frame: FrameHeader = {
    op: 0,
    status: 0,
    sequence: 0,
    epoch: 0,
    offsetBytes: 0,
    lengthBytes: 0,
    payloadBytes: 0,
  };
  readonly #partialHeader = Buffer.alloc(FRAME_HEADER_BYTES);
  #partialHeaderBytes = 0;
  #payloadCrc = 0;
  #payload: Buffer | null = null;
  #payloadFilled = 0;
  #dead = false;

  constructor(receive: FrameReceiver, payloadBytesMax: number = FRAME_PAYLOAD_BYTES_MAX) {
    this.#receive = receive;
    this.#payloadBytesMax = payloadBytesMax;
  }

  /**
   * @throws WireError when the stream is not ours; every later call does nothing.
   * What `receive` throws goes through, and the decoder is dead as well.
   */
  push(chunk: Buffer): void {
    if (this.#dead) return;
    this.#dead = true;
    let at = 0;
    while (at < chunk.length) {
      at = this.#payload === null ? this.#takeHeader(chunk, at) : this.#takePayload(chunk, at);
    }
    this.#dead = false;
  }

  /** True between frames: where an orderly end of the stream may come. */
  get atBoundary(): boolean {
    return this.#payload === null && this.#partialHeaderBytes === 0;
  }

  #takeHeader(chunk: Buffer, at: number): number {
    const missing = FRAME_HEADER_BYTES - this.#partialHeaderBytes;
    if (missing > chunk.length - at || this.#partialHeaderBytes > 0) {
      const taken = Math.min(missing, chunk.length - at);
      chunk.copy(this.#partialHeader, this.#partialHeaderBytes, at, at + taken);
      this.#partialHeaderBytes += taken;
      if (this.#partialHeaderBytes < FRAME_HEADER_BYTES) return at + taken;
      this.#partialHeaderBytes = 0;
      this.#parseHeader(this.#partialHeader, 0);
      return this.#startPayload(chunk, at + taken);
    }
    this.#parseHeader(chunk, at);
    return this.#startPayload(chunk, at + FRAME_HEADER_BYTES);
  }

  #parseHeader(buffer: Buffer, at: number): void {
    if (buffer.readUInt32LE(at) !== FRAME_MAGIC) {
      throw wireError('badMagic', 'the other side does not speak our protocol');
    }
    if (buffer[at + 4] !== FRAME_VERSION) {
      throw wireError('badVersion', `version ${buffer[at + 4]}, this is ${FRAME_VERSION}`);
    }
    if (crc32c(buffer.subarray(at, at + 44)) !== buffer.readUInt32LE(at + 44)) {
      throw wireError('badHeaderCrc', 'header damaged on the way');
    }
    const frame = this.#frame;
    frame.op = buffer[at + 5] ?? 0;
    frame.status = buffer[at + 6] ?? 0;
    if (buffer[at + 7] !== 0) throw wireError('badNumber', `flags are ${buffer[at + 7]}, not 0`);
    frame.sequence = getUint64(buffer, at + 8);
    frame.epoch = getUint64(buffer, at + 16);
    frame.offsetBytes = getUint64(buffer, at + 24);
    frame.lengthBytes = buffer.readUInt32LE(at + 32);
    frame.payloadBytes = buffer.readUInt32LE(at + 36);
    this.#payloadCrc = buffer.readUInt32LE(at + 40);
    if (frame.payloadBytes > this.#payloadBytesMax) {
      throw wireError('tooLarge', `payload of ${frame.payloadBytes} bytes`);
    }
  }

  #startPayload(chunk: Buffer, at: number): number {
    const { payloadBytes } = this.#frame;
    if (payloadBytes === 0) {
      this.#receive(this.#frame, NO_PAYLOAD);
      return at;
    }
    if (payloadBytes <= chunk.length - at) {
      this.#deliver(chunk.subarray(at, at + payloadBytes));
      return at + payloadBytes;
    }
    this.#payload = Buffer.allocUnsafe(payloadBytes);
    this.#payloadFilled = 0;
    return at;
  }

  #takePayload(chunk: Buffer, at: number): number {
    const payload = this.#payload;
    assert(payload !== null, 'a payload is being filled');
    const taken = Math.min(payload.length - this.#payloadFilled, chunk.length - at);
    chunk.copy(payload, this.#payloadFilled, at, at + taken);
    this.#payloadFilled += taken;
    if (this.#payloadFilled === payload.length) {
      this.#payload = null;
      this.#deliver(payload);
    }
    return at + taken;
  }

  #deliver(payload: Buffer): void {
    if (crc32c(payload) !== this.#payloadCrc) {
      throw wireError('badPayloadCrc', 'payload damaged on the way');
    }
    this.#receive(this.#frame, payload);
  }
}
