/**
 * Copies all that the source has into an empty chain while live writes go on. The chain keeps the
 * order between the two: it takes of the copy only the blocks of which it knows nothing yet, and
 * asks here for a block that a live write covers in part (replication R22).
 */
import { assert } from '../../core/assert.ts';
import type { Clock, Network } from '../../core/platform/index.ts';
import { formatBytes, MiB } from '../../core/units.ts';
import {
  decodeExtents,
  EXTENTS_MAX,
  type Extent,
  encodeExtentsRequest,
} from '../../core/wire/extents.ts';
import { type HelloRequest, Op } from '../../core/wire/frame.ts';
import { BLOCK_BYTES, type Chain } from '../chain/index.ts';
import { SourceLink } from './source-link.ts';

const READ_BYTES = MiB;
const READS_MAX = 8;
/** Left free in the pool for records, maps and other volumes. */
export const ROOM_KEPT_BYTES = 16 * MiB;

export interface CopyOptions {
  readonly network: Network;
  readonly clock: Clock;
  readonly chain: Chain;
  readonly address: string;
  readonly hello: HelloRequest;
  readonly freeBytes: () => Promise<number>;
  /** Exactly once: null when all is copied, else why it stopped. */
  readonly onEnd: (error: string | null) => void;
}

interface Fetch {
  readonly block: number;
  readonly done: (error: Error | null, content: Buffer) => void;
}

export class Copy {
  readonly #options: CopyOptions;
  readonly #link: SourceLink;
  #open = false;
  #ended = false;
  #copiedBytes = 0;
  #totalBytes = 0;
  /** What is asked for next; all before it has been listed. */
  #listedBytes = 0;
  #allListed = false;
  #listing = false;
  #extents: Extent[] = [];
  #reads = 0;
  #writes = 0;
  #fetches = 0;
  /** Fetches that came before the source had answered hello. */
  #early: Fetch[] = [];
  #idle: (() => void) | null = null;

  constructor(options: CopyOptions) {
    this.#options = options;
    const { address, hello } = options;
    this.#link = new SourceLink(options, {
      address,
      hello,
      onOpen: () => {
        this.#open = true;
        this.#countFrom(0);
        for (const fetch of this.#early.splice(0)) this.fetchBlock(fetch.block, fetch.done);
      },
      onBroken: (error) => this.#end(error.message),
    });
  }

  get copiedBytes(): number {
    return this.#copiedBytes;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** One block from the source, as it is there now. */
  fetchBlock(block: number, done: (error: Error | null, content: Buffer) => void): void {
    if (!this.#open && !this.#ended) {
      this.#early.push({ block, done });
      return;
    }
    this.#fetches += 1;
    this.#link.request(Op.read, block * BLOCK_BYTES, BLOCK_BYTES, (error, content) => {
      this.#fetches -= 1;
      const short = error === null && content.length !== BLOCK_BYTES;
      done(short ? new Error('the source answered a block too short') : error, content);
      this.#checkFinished();
    });
  }

  /** Nothing new is started; `onEnd` comes with `reason` if it has not come yet. */
  stop(reason: string): void {
    this.#end(reason);
  }

  /** Calls back when no write of the copy is in flight; only after it has ended. */
  whenIdle(idle: () => void): void {
    assert(this.#ended && this.#idle === null, 'a copy is drained once, after its end');
    this.#idle = idle;
    this.#tellIdle();
  }

  /** First all is counted, so that progress has an end and a lack of room is known early. */
  #countFrom(offsetBytes: number): void {
    this.#list(offsetBytes, (extents, nextBytes) => {
      for (const { lengthBytes } of extents) this.#totalBytes += lengthBytes;
      if (nextBytes === null) this.#checkRoom();
      else this.#countFrom(nextBytes);
    });
  }

  #checkRoom(): void {
    this.#options.freeBytes().then(
      (freeBytes) => {
        if (this.#ended) return;
        const neededBytes = this.#totalBytes + ROOM_KEPT_BYTES;
        if (freeBytes >= neededBytes) this.#fill();
        else this.#end(noRoomSentence(neededBytes, freeBytes));
      },
      (error: Error) => this.#end(error.message),
    );
  }

  #fill(): void {
    while (!this.#ended && this.#reads + this.#writes < READS_MAX) {
      const extent = this.#extents[0];
      if (extent === undefined) {
        this.#listMore();
        return;
      }
      const lengthBytes = Math.min(extent.lengthBytes, READ_BYTES);
      const rest = extent.lengthBytes - lengthBytes;
      if (rest === 0) this.#extents.shift();
      else this.#extents[0] = { offsetBytes: extent.offsetBytes + lengthBytes, lengthBytes: rest };
      this.#read(extent.offsetBytes, lengthBytes);
    }
  }

  #listMore(): void {
    if (this.#allListed) {
      this.#checkFinished();
    } else if (!this.#listing) {
      this.#listing = true;
      this.#list(this.#listedBytes, (extents, nextBytes) => {
        this.#listing = false;
        this.#extents = [...extents];
        this.#allListed = nextBytes === null;
        this.#listedBytes = nextBytes ?? this.#listedBytes;
        this.#fill();
      });
    }
  }

  /** `next` gets the extents and where to go on, null at the end. */
  #list(
    offsetBytes: number,
    next: (extents: readonly Extent[], nextBytes: number | null) => void,
  ): void {
    const { sizeBytes } = this.#options.chain;
    const payload = encodeExtentsRequest(sizeBytes - offsetBytes);
    this.#link.requestWith(Op.extents, offsetBytes, payload, (error, answer) => {
      if (this.#ended) return;
      const extents = error === null ? decodeExtents(answer) : null;
      if (error !== null || extents === null || !fits(extents, offsetBytes, sizeBytes)) {
        this.#end(error?.message ?? 'the source answered impossible extents');
        return;
      }
      const last = extents.at(-1);
      const endBytes = last === undefined ? sizeBytes : last.offsetBytes + last.lengthBytes;
      const more = extents.length >= EXTENTS_MAX && endBytes < sizeBytes;
      next(extents, more ? endBytes : null);
    });
  }

  #read(offsetBytes: number, lengthBytes: number): void {
    this.#reads += 1;
    this.#link.request(Op.read, offsetBytes, lengthBytes, (error, data) => {
      this.#reads -= 1;
      if (this.#ended) return;
      if (error === null && data.length === lengthBytes) this.#write(offsetBytes, data);
      else this.#end(error?.message ?? 'the source answered a read too short');
    });
  }

  #write(offsetBytes: number, data: Buffer): void {
    this.#writes += 1;
    this.#options.chain.fillAbsent(offsetBytes, data, (error) => {
      this.#writes -= 1;
      if (error === null) this.#copiedBytes += data.length;
      if (this.#ended) {
        this.#tellIdle();
      } else if (error === null) {
        this.#fill();
      } else {
        this.#end(`writing the copy failed: ${error.message}`);
      }
    });
  }

  /** The source is let go only when nobody waits for a block of it any more. */
  #checkFinished(): void {
    if (this.#ended || !this.#allListed || this.#extents.length > 0) return;
    if (this.#reads + this.#writes > 0) return;
    // What is not copied now the source never had: it reads as zeros.
    this.#options.chain.fetchBlock = null;
    if (this.#fetches === 0) this.#end(null);
  }

  #end(error: string | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#link.close();
    for (const fetch of this.#early.splice(0)) this.fetchBlock(fetch.block, fetch.done);
    this.#options.onEnd(error);
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.#writes > 0 || this.#idle === null) return;
    const idle = this.#idle;
    this.#idle = null;
    queueMicrotask(idle);
  }
}

/** Whole blocks, within what was asked for: a source is not believed what it cannot have. */
function fits(extents: readonly Extent[], fromBytes: number, sizeBytes: number): boolean {
  return extents.every(
    ({ offsetBytes, lengthBytes }) =>
      offsetBytes >= fromBytes &&
      offsetBytes + lengthBytes <= sizeBytes &&
      offsetBytes % BLOCK_BYTES === 0 &&
      lengthBytes % BLOCK_BYTES === 0,
  );
}

export function noRoomSentence(neededBytes: number, freeBytes: number): string {
  return (
    `no room: the pool has ${formatBytes(freeBytes)} free, ` +
    `the copy needs ${formatBytes(neededBytes)}`
  );
}
