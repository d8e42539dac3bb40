import { type ContentChange, Image, PAGE_BYTES } from './image.ts';
import type { SimRandom } from './random.ts';

const SECTOR_BYTES = 512;

/** How a power cut treats what was not flushed; drawn once per cut, so that extremes occur. */
export interface CrashMood {
  readonly keepProbability: number;
  /** Of a write that is neither kept nor lost as a whole. */
  readonly tornProbability: number;
}

export function drawMood(random: SimRandom): CrashMood {
  return {
    keepProbability: random.pick([0, 0.1, 0.5, 0.9, 1]),
    tornProbability: random.pick([0, 0.2, 0.6]),
  };
}

/**
 * A file: what processes see (`cached`), what survives a power cut for certain (`durable`), and
 * the changes in between, in their order.
 */
export class SimInode {
  readonly kind = 'file';
  /** Handles that are open; an unlinked file lives on until the last is closed. */
  openCount = 0;
  linked = true;
  /** Somebody has its one lock. */
  locked = false;
  cached = new Image();
  #durable = new Image();
  #unflushed: ContentChange[] = [];
  /** Changes that have left `#unflushed` at its front. */
  #flushedCount = 0;

  get unflushedCount(): number {
    return this.#unflushed.length;
  }

  change(change: ContentChange): void {
    this.cached.apply(change);
    this.#unflushed.push(change);
  }

  /** All changes so far: what an fdatasync that begins now must make durable. */
  mark(): number {
    return this.#flushedCount + this.#unflushed.length;
  }

  /** The changes up to `mark` are on the medium. */
  commit(mark: number): void {
    for (const change of this.#takeUntil(mark)) this.#durable.apply(change);
  }

  /**
   * What Linux does when write-back fails: the pages are marked clean. Some had reached the
   * medium; the others are still read from the cache and will never be written again, and nobody
   * is told twice.
   */
  forget(mark: number, random: SimRandom): void {
    for (const change of this.#takeUntil(mark)) {
      if (random.chance(0.5)) this.#durable.apply(change);
    }
  }

  /** The cache lets go of clean pages: what a failed write-back forgot is read as it was before. */
  dropCache(): void {
    this.cached = this.#durable.clone();
    for (const change of this.#unflushed) this.cached.apply(change);
  }

  /**
   * Power is gone. Each unflushed write is kept, lost or torn by itself. Changes of size and holes
   * go through the file system's journal, so they are kept up to some point and lost from there
   * on, and with one of them every later write to the blocks it would have freed.
   */
  crash(mood: CrashMood, random: SimRandom): void {
    const lost: { startBytes: number; endBytes: number }[] = [];
    for (const change of this.#unflushed) {
      if (change.kind === 'write') {
        const { startBytes, endBytes } = pagesOf(change.offsetBytes, change.data.length);
        const onLostBlocks = lost.some(
          (range) => startBytes < range.endBytes && range.startBytes < endBytes,
        );
        if (!onLostBlocks) crashWrite(this.#durable, change, mood, random);
      } else if (lost.length === 0 && random.chance(mood.keepProbability)) {
        this.#durable.apply(change);
      } else {
        lost.push(freedBy(change));
      }
    }
    this.#unflushed = [];
    this.#flushedCount = 0;
    this.cached = this.#durable.clone();
  }

  #takeUntil(mark: number): readonly ContentChange[] {
    const count = Math.max(0, mark - this.#flushedCount);
    const taken = this.#unflushed.slice(0, count);
    this.#unflushed = this.#unflushed.slice(count);
    this.#flushedCount += taken.length;
    return taken;
  }
}

function freedBy(change: Exclude<ContentChange, { kind: 'write' }>) {
  if (change.kind === 'punch') return pagesOf(change.offsetBytes, change.lengthBytes);
  return { ...pagesOf(change.sizeBytes, 1), endBytes: Number.POSITIVE_INFINITY };
}

function pagesOf(offsetBytes: number, lengthBytes: number) {
  return {
    startBytes: Math.floor(offsetBytes / PAGE_BYTES) * PAGE_BYTES,
    endBytes: Math.ceil((offsetBytes + lengthBytes) / PAGE_BYTES) * PAGE_BYTES,
  };
}

function crashWrite(
  image: Image,
  write: Extract<ContentChange, { kind: 'write' }>,
  mood: CrashMood,
  random: SimRandom,
): void {
  if (!random.chance(mood.tornProbability)) {
    if (random.chance(mood.keepProbability)) image.apply(write);
    return;
  }
  let at = 0;
  while (at < write.data.length) {
    const position = write.offsetBytes + at;
    const length = Math.min(SECTOR_BYTES - (position % SECTOR_BYTES), write.data.length - at);
    if (random.chance(0.5)) image.write(position, write.data.subarray(at, at + length));
    at += length;
  }
}
