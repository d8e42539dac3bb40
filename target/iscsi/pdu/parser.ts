import { NO_DATA } from '../../../core/block/block-device.ts';
import { crc32c } from '../../../core/crc32c/index.ts';
import { AT, DIGEST_BYTES, getDataBytes, HEADER_BYTES, paddingBytesOf } from './format.ts';

/** Why nothing more is read. With error recovery level 0 each of these ends the connection. */
export type PduViolation = 'headerDigest' | 'dataDigest' | 'dataSegmentTooLong';

export interface PduSink {
  /**
   * The data segment comes in several chunks. Gives a place of exactly `dataBytes` for it, or
   * null: a fresh buffer will do. The header is valid during the call.
   */
  placeFor(header: Buffer, at: number, dataBytes: number): Buffer | null;
  /**
   * One whole PDU, its digests right. The header begins at `at` and is valid during the call.
   * `data` belongs to the receiver: a view of the chunk, the place given by `placeFor`, or a
   * fresh buffer.
   */
  onPdu(header: Buffer, at: number, data: Buffer): void;
  /** Nothing else is called after it. */
  onViolation(violation: PduViolation, header: Buffer, at: number): void;
}

const AHS_BYTES_MAX = 255 * 4;
const TRAILER_BYTES_MAX = 3 + DIGEST_BYTES;

/**
 * Bytes in, PDUs out; chunks may be cut anywhere. In the common case header and data lie within
 * one chunk and nothing is copied. Additional header segments are skipped: we have no CDB longer
 * than 16 bytes and no bidirectional command.
 */
export class PduParser {
  /** A longer data segment is a violation: what we declared as MaxRecvDataSegmentLength. */
  dataBytesMax: number;
  /** Both may be changed within `onPdu`, for the PDUs after it. */
  headerDigest = false;
  dataDigest = false;

  readonly #sink: PduSink;
  readonly #header: Buffer = Buffer.alloc(HEADER_BYTES + AHS_BYTES_MAX + DIGEST_BYTES);
  #headerFilled = 0;
  /** The data segment that is being gathered, or null. */
  #data: Buffer | null = null;
  #dataFilled = 0;
  /** Padding and digest after it. */
  readonly #trailer: Buffer = Buffer.alloc(TRAILER_BYTES_MAX);
  #trailerFilled = 0;
  #trailerBytes = 0;
  #stopped = false;
  /** The chunk in hand, during `feed`. */
  #chunk: Buffer = NO_DATA;

  constructor(sink: PduSink, dataBytesMax: number) {
    this.#sink = sink;
    this.dataBytesMax = dataBytesMax;
  }

  /** Nothing is delivered any more, not even of the chunk in hand. */
  stop(): void {
    this.#stopped = true;
  }

  /** The chunk belongs to the parser, and parts of it to the sink, for good. */
  feed(chunk: Buffer): void {
    const end = chunk.length;
    let at = 0;
    this.#chunk = chunk;
    while (at < end && !this.#stopped) {
      if (this.#data !== null) at = this.#gather(at);
      else if (this.#headerFilled > 0) at = this.#fillHeader(at);
      else at = this.#takeInPlace(at);
    }
    this.#chunk = NO_DATA;
  }

  // Each of these takes the position in the chunk and gives the next one.

  #takeInPlace(at: number): number {
    const chunk = this.#chunk;
    if (chunk.length - at < HEADER_BYTES) return this.#fillHeader(at);
    const headerBytes = this.#wholeHeaderBytes(chunk, at);
    if (chunk.length - at < headerBytes) return this.#fillHeader(at);
    return this.#headerIsWhole(chunk, at, at + headerBytes);
  }

  #wholeHeaderBytes(header: Buffer, at: number): number {
    const ahsBytes = (header[at + AT.ahsWords] as number) * 4;
    return HEADER_BYTES + ahsBytes + (this.headerDigest ? DIGEST_BYTES : 0);
  }

  #fillHeader(at: number): number {
    const chunk = this.#chunk;
    const needed =
      this.#headerFilled < HEADER_BYTES ? HEADER_BYTES : this.#wholeHeaderBytes(this.#header, 0);
    const taken = Math.min(needed - this.#headerFilled, chunk.length - at);
    chunk.copy(this.#header, this.#headerFilled, at, at + taken);
    this.#headerFilled += taken;
    const next = at + taken;
    const isWhole =
      this.#headerFilled >= HEADER_BYTES &&
      this.#headerFilled === this.#wholeHeaderBytes(this.#header, 0);
    if (!isWhole) return next;
    this.#headerFilled = 0;
    return this.#headerIsWhole(this.#header, 0, next);
  }

  /** @param next where in the chunk the data segment begins. */
  #headerIsWhole(header: Buffer, at: number, next: number): number {
    const chunk = this.#chunk;
    if (this.headerDigest && !this.#headerDigestIsRight(header, at)) {
      return this.#violate('headerDigest', header, at);
    }
    const dataBytes = getDataBytes(header, at);
    if (dataBytes === 0) {
      this.#sink.onPdu(header, at, NO_DATA);
      return next;
    }
    if (dataBytes > this.dataBytesMax) {
      return this.#violate('dataSegmentTooLong', header, at);
    }
    const trailerBytes = paddingBytesOf(dataBytes) + (this.dataDigest ? DIGEST_BYTES : 0);
    const end = next + dataBytes + trailerBytes;
    if (end <= chunk.length) {
      const isRight = !this.dataDigest || digestIsRight(chunk, next, end - DIGEST_BYTES);
      if (!isRight) return this.#violate('dataDigest', header, at);
      this.#sink.onPdu(header, at, chunk.subarray(next, next + dataBytes));
      return end;
    }
    if (header !== this.#header) header.copy(this.#header, 0, at, at + HEADER_BYTES);
    const place = this.#sink.placeFor(this.#header, 0, dataBytes);
    this.#data = place ?? Buffer.allocUnsafeSlow(dataBytes);
    this.#dataFilled = 0;
    this.#trailerFilled = 0;
    this.#trailerBytes = trailerBytes;
    return next;
  }

  #gather(from: number): number {
    const chunk = this.#chunk;
    const data = this.#data as Buffer;
    let at = from;
    if (this.#dataFilled < data.length) {
      const taken = Math.min(data.length - this.#dataFilled, chunk.length - at);
      chunk.copy(data, this.#dataFilled, at, at + taken);
      this.#dataFilled += taken;
      at += taken;
      if (this.#dataFilled < data.length) return at;
    }
    const taken = Math.min(this.#trailerBytes - this.#trailerFilled, chunk.length - at);
    chunk.copy(this.#trailer, this.#trailerFilled, at, at + taken);
    this.#trailerFilled += taken;
    at += taken;
    if (this.#trailerFilled < this.#trailerBytes) return at;
    this.#data = null;
    if (this.dataDigest) {
      const paddingBytes = this.#trailerBytes - DIGEST_BYTES;
      const crc = crc32c(this.#trailer.subarray(0, paddingBytes), crc32c(data));
      if (crc !== this.#trailer.readUInt32LE(paddingBytes)) {
        return this.#violate('dataDigest', this.#header, 0);
      }
    }
    this.#sink.onPdu(this.#header, 0, data);
    return at;
  }

  #headerDigestIsRight(header: Buffer, at: number): boolean {
    return digestIsRight(header, at, at + this.#wholeHeaderBytes(header, at) - DIGEST_BYTES);
  }

  #violate(violation: PduViolation, header: Buffer, at: number): number {
    this.#stopped = true;
    this.#sink.onViolation(violation, header, at);
    return this.#chunk.length;
  }
}

/** RFC 7143 §13.1: the digest of `from` up to `end` stands at `end`, its least byte first. */
function digestIsRight(bytes: Buffer, from: number, end: number): boolean {
  return crc32c(bytes.subarray(from, end)) === bytes.readUInt32LE(end);
}
