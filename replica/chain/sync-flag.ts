/**
 * Says, in the page cache, that an fdatasync of this layer is (or was just) under way, or failed.
 * It is there for a process that is killed between a failed fdatasync and the durable mark of it
 * (R14): the kernel tells of a failure once, and the next fdatasync would succeed without the pages
 * that were forgotten. Whoever finds it set at the start cannot know how that fdatasync ended (see
 * disk/write-back-check.ts and adr/0004).
 *
 * It survives a kill and need not survive the kernel, whose page cache is what it speaks of: so it
 * stands in the header page of `.live`, which counts for one boot and mount only, and is written
 * without any sync. Sixteen bytes at the page's end, which every header leaves zero:
 *
 *   0 u32 state   4 u32 errors known   8 u32 CRC32C of bytes 0..7   12 zeros
 */
import { crc32c } from '../../core/crc32c/index.ts';
import type { Clock, File, FileDone, Timer } from '../../core/platform/index.ts';
import { INDEX_PAGE_BYTES } from './index-page.ts';

export const SYNC_FLAG_BYTES = 16;
export const SYNC_FLAG_AT = INDEX_PAGE_BYTES - SYNC_FLAG_BYTES;

const CRC_AT = 8;
const NONE = 0;
const SYNCING = 1;
const FAILED = 2;

export type SyncFlagState =
  | { readonly kind: 'none' }
  /** It was not known yet how it ended. */
  | { readonly kind: 'syncing'; readonly errorsKnown: number }
  | { readonly kind: 'failed' };

/** Damage says nothing, so it counts as `syncing`: what is cautious, and can be found out. */
export function parseSyncFlag(bytes: Buffer): SyncFlagState {
  if (bytes.every((byte) => byte === 0)) return { kind: 'none' };
  if (bytes.length !== SYNC_FLAG_BYTES) return { kind: 'syncing', errorsKnown: 0 };
  const errorsKnown = bytes.readUInt32LE(4);
  if (crc32c(bytes.subarray(0, CRC_AT)) !== bytes.readUInt32LE(CRC_AT)) {
    return { kind: 'syncing', errorsKnown: 0 };
  }
  return bytes.readUInt32LE(0) === FAILED ? { kind: 'failed' } : { kind: 'syncing', errorsKnown };
}

interface FlagWrite {
  readonly state: number;
  readonly done: FileDone;
}

/**
 * So long after the last fdatasync it is taken back. Where one follows the other it just stays, and
 * costs nothing; set for nothing it costs one look at the next start.
 */
const LINGER_MS = 1_000;

export class SyncFlag {
  readonly #live: File;
  readonly #clock: Clock;
  readonly #errorsKnown: number;
  /** As last written; NONE also where nobody knows. */
  #state = NONE;
  #running = false;
  #endedMs = 0;
  #timer: Timer | null = null;
  /** One at a time: a later one must not be overtaken by an earlier one. The first is running. */
  readonly #writes: FlagWrite[] = [];

  /** @param errorsKnown write-back errors found in the pool before this process: see the check. */
  constructor(live: File, clock: Clock, errorsKnown: number) {
    this.#live = live;
    this.#clock = clock;
    this.#errorsKnown = errorsKnown;
  }

  /** Before each fdatasync; `done` within this call when it is set still. */
  set(done: FileDone): void {
    this.#running = true;
    if (this.#state === SYNCING && this.#writes.length === 0) done(null);
    else this.#write(SYNCING, done);
  }

  /** After it has succeeded. */
  clear(): void {
    this.#running = false;
    this.#endedMs = this.#clock.nowMs();
    this.#timer ??= this.#clock.timer(LINGER_MS, () => this.#look());
  }

  /** It has failed, which no look could tell better; for good. */
  fail(done: () => void): void {
    this.#cancel();
    // Where even this is refused the durable mark has to do.
    this.#write(FAILED, () => done());
  }

  /** Calls back when nothing of it is in flight any more: then the file may be closed. */
  close(done: () => void): void {
    const lingers = this.#timer !== null && !this.#running;
    this.#cancel();
    const last = this.#writes.at(-1);
    if (lingers) this.#write(NONE, () => done());
    else if (last === undefined) done();
    else this.#write(last.state, () => done());
  }

  #look(): void {
    this.#timer = null;
    if (this.#running) return;
    const restMs = this.#endedMs + LINGER_MS - this.#clock.nowMs();
    if (restMs > 0) this.#timer = this.#clock.timer(restMs, () => this.#look());
    else this.#write(NONE, () => undefined);
  }

  #cancel(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #write(state: number, done: FileDone): void {
    this.#writes.push({ state, done });
    if (this.#writes.length === 1) this.#writeFirst();
  }

  #writeFirst(): void {
    const write = this.#writes[0];
    if (write === undefined) return;
    this.#live.write(encode(write.state, this.#errorsKnown), SYNC_FLAG_AT, (error) => {
      this.#state = error === null ? write.state : NONE;
      this.#writes.shift();
      this.#writeFirst();
      write.done(error);
    });
  }
}

function encode(state: number, errorsKnown: number): Buffer {
  const bytes = Buffer.alloc(SYNC_FLAG_BYTES);
  if (state === NONE) return bytes;
  bytes.writeUInt32LE(state, 0);
  bytes.writeUInt32LE(errorsKnown, 4);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, CRC_AT)), CRC_AT);
  return bytes;
}
