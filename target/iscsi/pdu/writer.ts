import { assert } from '../../../core/assert.ts';
import { crc32c } from '../../../core/crc32c/index.ts';
import { KiB } from '../../../core/units.ts';
import { AT, DIGEST_BYTES, HEADER_BYTES, paddingBytesOf, put24 } from './format.ts';

const SLAB_BYTES = 64 * KiB;
/** Header, its digest, padding and data digest. */
const PDU_BYTES_MAX = HEADER_BYTES + DIGEST_BYTES + 3 + DIGEST_BYTES;
/**
 * Data up to here is copied next to its header, so that a batch of answers is one buffer: that
 * costs less than one more buffer in the list that the socket gathers.
 */
const COPIED_BYTES_MAX = 256;

export interface PduOutput {
  /** In order. The bytes are not touched again. */
  send(bytes: Buffer): void;
  /** Something is to be sent: `PduWriter.flush` is to be called soon. */
  wantsFlush(): void;
}

/**
 * Lays out PDUs one after the other in slabs of zeroed memory, each byte of which is used once:
 * what was sent is never modified. Neighbouring PDUs leave as one buffer.
 *
 *     const at = writer.begin();           // 48 zeros at writer.bytes[at]
 *     ... fields ...
 *     writer.end(at) | writer.endWith(at, data)
 */
export class PduWriter {
  headerDigest = false;
  dataDigest = false;
  /** The slab in which the PDU that has begun stands. */
  bytes: Buffer = Buffer.alloc(SLAB_BYTES);
  readonly #output: PduOutput;
  /** From here to `#filled` the slab is not handed over yet. */
  #handedOver = 0;
  #filled = 0;
  #wantsFlush = false;

  constructor(output: PduOutput) {
    this.#output = output;
  }

  /** @returns where the header stands in `bytes`, all zeros. */
  begin(): number {
    if (SLAB_BYTES - this.#filled < PDU_BYTES_MAX + COPIED_BYTES_MAX) this.#renew();
    return this.#filled;
  }

  end(at: number): void {
    assert(at === this.#filled, 'a PDU ends before the next one begins');
    this.#filled += HEADER_BYTES;
    if (this.headerDigest) this.#digest(at);
    this.#announce();
  }

  /** @param data belongs to the writer: nobody modifies it any more. */
  endWith(at: number, data: Buffer): void {
    assert(at === this.#filled, 'a PDU ends before the next one begins');
    put24(this.bytes, data.length, at + AT.dataBytes);
    this.#filled += HEADER_BYTES;
    if (this.headerDigest) this.#digest(at);
    const dataAt = this.#filled;
    if (data.length <= COPIED_BYTES_MAX) {
      data.copy(this.bytes, dataAt);
      this.#filled += data.length + paddingBytesOf(data.length);
      if (this.dataDigest) this.#digest(dataAt);
    } else {
      this.#handOver();
      this.#output.send(data);
      this.#filled += paddingBytesOf(data.length);
      if (this.dataDigest) {
        this.#put(crc32c(this.bytes.subarray(dataAt, this.#filled), crc32c(data)));
      }
    }
    this.#announce();
  }

  /** Everything that has ended is handed over. */
  flush(): void {
    this.#wantsFlush = false;
    this.#handOver();
  }

  #announce(): void {
    if (this.#wantsFlush) return;
    this.#wantsFlush = true;
    this.#output.wantsFlush();
  }

  #handOver(): void {
    if (this.#handedOver === this.#filled) return;
    this.#output.send(this.bytes.subarray(this.#handedOver, this.#filled));
    this.#handedOver = this.#filled;
  }

  #renew(): void {
    this.#handOver();
    this.bytes = Buffer.alloc(SLAB_BYTES);
    this.#filled = 0;
    this.#handedOver = 0;
  }

  /** The digest of everything from `from` on. */
  #digest(from: number): void {
    this.#put(crc32c(this.bytes.subarray(from, this.#filled)));
  }

  #put(digest: number): void {
    this.bytes.writeUInt32LE(digest, this.#filled);
    this.#filled += DIGEST_BYTES;
  }
}
