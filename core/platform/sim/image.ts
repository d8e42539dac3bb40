import type { AllocatedRange } from '../files.ts';

/** Bytes of a page: what is allocated, cached and written back as a unit. */
export const PAGE_BYTES = 4096;

export type ContentChange =
  | { readonly kind: 'write'; readonly offsetBytes: number; readonly data: Buffer }
  | { readonly kind: 'punch'; readonly offsetBytes: number; readonly lengthBytes: number }
  | { readonly kind: 'truncate'; readonly sizeBytes: number };

/**
 * One page's bytes: those of `bytes` from `at` on. A shared one is never written: it may be part of
 * what a write brought, or a page of another image as well.
 */
interface Page {
  readonly bytes: Buffer;
  readonly at: number;
  shared: boolean;
}

/** The content of a sparse file. It may keep what is written to it: that is not to change again. */
export class Image {
  sizeBytes = 0;
  readonly #pages = new Map<number, Page>();

  get pageCount(): number {
    return this.#pages.size;
  }

  clone(): Image {
    const copy = new Image();
    copy.sizeBytes = this.sizeBytes;
    for (const [index, page] of this.#pages) {
      page.shared = true;
      copy.#pages.set(index, page);
    }
    return copy;
  }

  /** @returns bytes read: less than the buffer has at the end of the file. */
  read(buffer: Buffer, offsetBytes: number): number {
    const readBytes = Math.max(0, Math.min(buffer.length, this.sizeBytes - offsetBytes));
    let done = 0;
    while (done < readBytes) {
      const at = offsetBytes + done;
      const inPage = at % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - inPage, readBytes - done);
      const page = this.#pages.get(Math.floor(at / PAGE_BYTES));
      if (page === undefined) buffer.fill(0, done, done + length);
      else page.bytes.copy(buffer, done, page.at + inPage, page.at + inPage + length);
      done += length;
    }
    return readBytes;
  }

  apply(change: ContentChange): void {
    switch (change.kind) {
      case 'write':
        this.write(change.offsetBytes, change.data);
        return;
      case 'punch':
        this.#punch(change.offsetBytes, change.lengthBytes);
        return;
      case 'truncate':
        this.#punch(change.sizeBytes, Math.max(0, this.sizeBytes - change.sizeBytes));
        this.sizeBytes = change.sizeBytes;
    }
  }

  write(offsetBytes: number, data: Buffer): void {
    let done = 0;
    while (done < data.length) {
      const at = offsetBytes + done;
      const inPage = at % PAGE_BYTES;
      const length = Math.min(PAGE_BYTES - inPage, data.length - done);
      const index = Math.floor(at / PAGE_BYTES);
      if (length === PAGE_BYTES) {
        this.#pages.set(index, { bytes: data, at: done, shared: true });
      } else {
        data.copy(this.#ownPage(index).bytes, inPage, done, done + length);
      }
      done += length;
    }
    this.sizeBytes = Math.max(this.sizeBytes, offsetBytes + data.length);
  }

  /** How many pages a write there would allocate. */
  missingPages(offsetBytes: number, lengthBytes: number): number {
    let missing = 0;
    const end = Math.ceil((offsetBytes + lengthBytes) / PAGE_BYTES);
    for (let index = Math.floor(offsetBytes / PAGE_BYTES); index < end; index += 1) {
      if (!this.#pages.has(index)) missing += 1;
    }
    return missing;
  }

  /** What SEEK_DATA and SEEK_HOLE would tell, ascending. */
  allocatedRanges(range: AllocatedRange, countMax: number): readonly AllocatedRange[] {
    const endBytes = Math.min(range.offsetBytes + range.lengthBytes, this.sizeBytes);
    const first = Math.floor(range.offsetBytes / PAGE_BYTES);
    const last = Math.ceil(endBytes / PAGE_BYTES) - 1;
    const indexes = [...this.#pages.keys()]
      .filter((index) => index >= first && index <= last)
      .toSorted((one, other) => one - other);
    const ranges: { startBytes: number; stopBytes: number }[] = [];
    for (const index of indexes) {
      const startBytes = Math.max(index * PAGE_BYTES, range.offsetBytes);
      const stopBytes = Math.min((index + 1) * PAGE_BYTES, endBytes);
      const before = ranges.at(-1);
      if (before?.stopBytes === startBytes) before.stopBytes = stopBytes;
      else if (ranges.length === countMax) break;
      else ranges.push({ startBytes, stopBytes });
    }
    return ranges.map(({ startBytes, stopBytes }) => ({
      offsetBytes: startBytes,
      lengthBytes: stopBytes - startBytes,
    }));
  }

  #punch(offsetBytes: number, lengthBytes: number): void {
    const endBytes = Math.min(offsetBytes + lengthBytes, this.sizeBytes);
    if (endBytes <= offsetBytes) return;
    // A range may be a terabyte of nothing: go by whichever is fewer, its pages or the file's.
    const first = Math.floor(offsetBytes / PAGE_BYTES);
    const last = Math.ceil(endBytes / PAGE_BYTES) - 1;
    if (last - first + 1 <= this.#pages.size) {
      for (let index = first; index <= last; index += 1) {
        this.#punchPage(index, offsetBytes, endBytes);
      }
      return;
    }
    for (const index of this.#pages.keys()) {
      if (index >= first && index <= last) this.#punchPage(index, offsetBytes, endBytes);
    }
  }

  #punchPage(index: number, startBytes: number, endBytes: number): void {
    const from = Math.max(0, startBytes - index * PAGE_BYTES);
    const to = Math.min(PAGE_BYTES, endBytes - index * PAGE_BYTES);
    const reachesEnd = endBytes >= this.sizeBytes;
    if (from === 0 && (to === PAGE_BYTES || reachesEnd)) this.#pages.delete(index);
    else if (this.#pages.has(index)) this.#ownPage(index).bytes.fill(0, from, to);
  }

  /** The page there, with bytes that are nobody else's and start at 0; made if there is none. */
  #ownPage(index: number): Page {
    const found = this.#pages.get(index);
    if (found?.shared === false) return found;
    const bytes = Buffer.allocUnsafe(PAGE_BYTES);
    if (found === undefined) bytes.fill(0);
    else found.bytes.copy(bytes, 0, found.at, found.at + PAGE_BYTES);
    const page = { bytes, at: 0, shared: false };
    this.#pages.set(index, page);
    return page;
  }
}
