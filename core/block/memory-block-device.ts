import { TRANSFER_BYTES_MAX, UNMAP_BYTES_MAX } from '../limits.ts';
import { MiB } from '../units.ts';
import {
  type BlockDevice,
  type BlockDone,
  type BlockError,
  checkRange,
  NO_DATA,
  type ReadDone,
} from './block-device.ts';

const PAGE_BYTES = MiB;

/** A BlockDevice in memory, thin in pages of 1 MiB: for tests and for the iSCSI layers alone. */
export class MemoryBlockDevice implements BlockDevice {
  readonly sizeBytes: number;
  readonly #pages = new Map<number, Buffer>();

  constructor(options: { readonly sizeBytes: number }) {
    this.sizeBytes = options.sizeBytes;
  }

  read(offsetBytes: number, lengthBytes: number, done: ReadDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, lengthBytes, TRANSFER_BYTES_MAX);
    if (error !== null) {
      queueMicrotask(() => done(error, NO_DATA));
      return;
    }
    const data = Buffer.alloc(lengthBytes);
    this.#forEachPage(offsetBytes, lengthBytes, (pageIndex, inPageBytes, length, position) => {
      this.#pages.get(pageIndex)?.copy(data, position, inPageBytes, inPageBytes + length);
    });
    queueMicrotask(() => done(null, data));
  }

  write(offsetBytes: number, data: Buffer, done: BlockDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, data.length, TRANSFER_BYTES_MAX);
    if (error === null) {
      this.#forEachPage(offsetBytes, data.length, (pageIndex, inPageBytes, length, position) => {
        let page = this.#pages.get(pageIndex);
        if (page === undefined) {
          page = Buffer.alloc(PAGE_BYTES);
          this.#pages.set(pageIndex, page);
        }
        data.copy(page, inPageBytes, position, position + length);
      });
    }
    this.#finish(error, done);
  }

  unmap(offsetBytes: number, lengthBytes: number, done: BlockDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, lengthBytes, UNMAP_BYTES_MAX);
    if (error === null) {
      this.#forEachPage(offsetBytes, lengthBytes, (pageIndex, inPageBytes, length) => {
        if (length === PAGE_BYTES) this.#pages.delete(pageIndex);
        else this.#pages.get(pageIndex)?.fill(0, inPageBytes, inPageBytes + length);
      });
    }
    this.#finish(error, done);
  }

  flush(done: BlockDone): void {
    this.#finish(null, done);
  }

  #finish(error: BlockError | null, done: BlockDone): void {
    queueMicrotask(() => done(error));
  }

  #forEachPage(
    offsetBytes: number,
    lengthBytes: number,
    visit: (pageIndex: number, inPageBytes: number, length: number, position: number) => void,
  ): void {
    let position = 0;
    while (position < lengthBytes) {
      const at = offsetBytes + position;
      const inPageBytes = at % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - inPageBytes, lengthBytes - position);
      visit(Math.floor(at / PAGE_BYTES), inPageBytes, length, position);
      position += length;
    }
  }
}
