/**
 * What an initiator may see, sector by sector. A sector is a register with unique values: a write
 * takes effect at some instant between its first attempt and its GOOD (for ever later, as long as
 * its outcome is unknown), as often as it was attempted. Each GOOD write and each read is an
 * observation: at some instant of its own interval the sector had that value. A value may then be
 * read after an observation of another one only if its write may still have taken effect later.
 */
import { assert } from '../../../core/assert.ts';
import { LOGICAL_BLOCK_BYTES } from '../../../core/limits.ts';
import { GARBAGE, writeIdIn, ZERO } from './payload.ts';

export interface WriteEntry {
  readonly id: number;
  readonly kind: 'write' | 'unmap';
  readonly firstSector: number;
  readonly sectorCount: number;
  readonly invokedMs: number;
  /** Infinity: the outcome is unknown, it may still take effect. */
  respondedMs: number;
}

export interface ReadEntry {
  readonly firstSector: number;
  readonly sectorCount: number;
  readonly invokedMs: number;
  /** How often all that was not flushed had been lost when it began. */
  readonly lossCount: number;
  readonly known: Knowledge;
}

export interface Violation {
  readonly kind: 'lostWrite' | 'changedBack' | 'garbage';
  readonly sentence: string;
}

interface Observation {
  readonly firstSector: number;
  readonly values: Int32Array;
  readonly by: ObservedBy;
  readonly invokedMs: number;
  readonly completedMs: number;
}

const ObservedBy = { nobody: 0, write: 1, read: 2 } as const;
type ObservedBy = (typeof ObservedBy)[keyof typeof ObservedBy];

/** Of each sector: the latest observation, and the latest one of any other value. */
class Knowledge {
  readonly values: Int32Array;
  readonly sinceMs: Float64Array;
  readonly otherSinceMs: Float64Array;
  readonly by: Uint8Array;
  readonly otherBy: Uint8Array;

  constructor(sectorCount: number) {
    this.values = new Int32Array(sectorCount);
    this.sinceMs = new Float64Array(sectorCount).fill(-1);
    this.otherSinceMs = new Float64Array(sectorCount).fill(-1);
    this.by = new Uint8Array(sectorCount);
    this.otherBy = new Uint8Array(sectorCount);
  }

  slice(first: number, count: number): Knowledge {
    const copy = new Knowledge(count);
    copy.values.set(this.values.subarray(first, first + count));
    copy.sinceMs.set(this.sinceMs.subarray(first, first + count));
    copy.otherSinceMs.set(this.otherSinceMs.subarray(first, first + count));
    copy.by.set(this.by.subarray(first, first + count));
    copy.otherBy.set(this.otherBy.subarray(first, first + count));
    return copy;
  }

  observe({ firstSector, values, by, invokedMs }: Observation): void {
    for (let index = 0; index < values.length; index += 1) {
      const sector = firstSector + index;
      const value = values[index] ?? ZERO;
      const since = this.sinceMs[sector] ?? -1;
      if (this.values[sector] === value) {
        this.sinceMs[sector] = Math.max(since, invokedMs);
      } else if (invokedMs >= since) {
        this.otherSinceMs[sector] = since;
        this.otherBy[sector] = this.by[sector] ?? ObservedBy.nobody;
        this.values[sector] = value;
        this.sinceMs[sector] = invokedMs;
        this.by[sector] = by;
      } else if (invokedMs > (this.otherSinceMs[sector] ?? -1)) {
        this.otherSinceMs[sector] = invokedMs;
        this.otherBy[sector] = by;
      }
    }
  }
}

export class History {
  readonly #writes: WriteEntry[] = [];
  /** Of each sector: until when an unmap can have taken effect; 0: at the start it was zeros. */
  readonly #zeroUntilMs: Float64Array;
  readonly #zerosPending: Uint16Array;
  readonly #written = new Set<number>();
  #known: Knowledge;
  /** What a power cut of everything leaves: as of the last GOOD flush. */
  #durable: Knowledge;
  #sinceFlush: Observation[] = [];
  #lossCount = 0;
  /** What was known right after the last loss. */
  #left: Knowledge;

  constructor(sizeBytes: number) {
    const count = sizeBytes / LOGICAL_BLOCK_BYTES;
    this.#zeroUntilMs = new Float64Array(count);
    this.#zerosPending = new Uint16Array(count);
    this.#known = new Knowledge(count);
    this.#durable = new Knowledge(count);
    this.#left = this.#known;
  }

  /** Sectors that any write ever touched. */
  get writtenSectors(): ReadonlySet<number> {
    return this.#written;
  }

  get writeCount(): number {
    return this.#writes.length;
  }

  /**
   * When the oldest observation that a power cut may undo began; null: there is none. A replica that
   * had answered can lose its power before the GOOD, which waits for the others.
   */
  get unflushedSinceMs(): number | null {
    // Without a GOOD write it is what was read of one that has no answer.
    const written = this.#sinceFlush.find(({ by }) => by === ObservedBy.write);
    return (written ?? this.#sinceFlush[0])?.invokedMs ?? null;
  }

  beginWrite(
    kind: WriteEntry['kind'],
    offsetBytes: number,
    lengthBytes: number,
    nowMs: number,
  ): WriteEntry {
    const entry: WriteEntry = {
      id: this.#writes.length + 1,
      kind,
      firstSector: offsetBytes / LOGICAL_BLOCK_BYTES,
      sectorCount: lengthBytes / LOGICAL_BLOCK_BYTES,
      invokedMs: nowMs,
      respondedMs: Number.POSITIVE_INFINITY,
    };
    this.#writes.push(entry);
    for (const sector of sectorsOf(entry)) {
      this.#written.add(sector);
      if (kind === 'unmap') this.#zerosPending[sector] = (this.#zerosPending[sector] ?? 0) + 1;
    }
    return entry;
  }

  /** GOOD, to the attempt that was made at `attemptMs`. */
  writeDone(entry: WriteEntry, attemptMs: number, nowMs: number): void {
    this.closeWrite(entry, nowMs);
    const value = entry.kind === 'unmap' ? ZERO : entry.id;
    this.#observe({
      firstSector: entry.firstSector,
      values: new Int32Array(entry.sectorCount).fill(value),
      by: ObservedBy.write,
      invokedMs: attemptMs,
      completedMs: nowMs,
    });
  }

  /** Whatever became of it, it takes no effect after `nowMs`. */
  closeWrite(entry: WriteEntry, nowMs: number): void {
    if (entry.respondedMs !== Number.POSITIVE_INFINITY) return;
    entry.respondedMs = nowMs;
    if (entry.kind !== 'unmap') return;
    for (const sector of sectorsOf(entry)) {
      this.#zerosPending[sector] = (this.#zerosPending[sector] ?? 0) - 1;
      this.#zeroUntilMs[sector] = Math.max(this.#zeroUntilMs[sector] ?? 0, nowMs);
    }
  }

  beginRead(offsetBytes: number, lengthBytes: number, nowMs: number): ReadEntry {
    const firstSector = offsetBytes / LOGICAL_BLOCK_BYTES;
    const sectorCount = lengthBytes / LOGICAL_BLOCK_BYTES;
    const known = this.#known.slice(firstSector, sectorCount);
    return { firstSector, sectorCount, invokedMs: nowMs, lossCount: this.#lossCount, known };
  }

  /** Null, or what is wrong with the first sector that cannot be. */
  readDone(entry: ReadEntry, data: Buffer, nowMs: number): Violation | null {
    assert(data.length === entry.sectorCount * LOGICAL_BLOCK_BYTES, 'a read gives what was asked');
    const { firstSector, sectorCount } = entry;
    const values = new Int32Array(sectorCount);
    // It was under way when things were lost: what it knew then is worth nothing.
    const before = entry.lossCount < this.#lossCount;
    const judged = before ? { ...entry, known: this.#left.slice(firstSector, sectorCount) } : entry;
    let violation: Violation | null = null;
    for (let index = 0; index < sectorCount; index += 1) {
      const sector = firstSector + index;
      const value = writeIdIn(data, index * LOGICAL_BLOCK_BYTES, sector);
      values[index] = value;
      violation ??= this.#judge(judged, index, value);
    }
    this.#observe({
      firstSector,
      values,
      by: ObservedBy.read,
      invokedMs: entry.invokedMs,
      completedMs: nowMs,
    });
    return violation;
  }

  /** A flush that arrived at `attemptMs` was answered GOOD. */
  flushDone(attemptMs: number): void {
    const kept: Observation[] = [];
    for (const observation of this.#sinceFlush) {
      if (observation.completedMs < attemptMs) this.#durable.observe(observation);
      else kept.push(observation);
    }
    this.#sinceFlush = kept;
  }

  /** All caches were lost, and that was seen: what was not flushed may be gone. */
  loseUnflushed(): void {
    const count = this.#durable.values.length;
    this.#known = this.#durable.slice(0, count);
    this.#left = this.#durable.slice(0, count);
    this.#lossCount += 1;
    this.#sinceFlush = [];
  }

  describe(writeId: number): string {
    if (writeId === ZERO) return 'zeros';
    if (writeId === GARBAGE) return 'garbage';
    const entry = this.#writes[writeId - 1];
    if (entry === undefined) return `write ${writeId}, which was never made`;
    const ended = entry.respondedMs === Number.POSITIVE_INFINITY ? '…' : ms(entry.respondedMs);
    return `write ${writeId} of [${ms(entry.invokedMs)}, ${ended}]`;
  }

  #judge(entry: ReadEntry, index: number, value: number): Violation | null {
    const sector = entry.firstSector + index;
    const untilMs = value === GARBAGE ? null : this.#possibleUntilMs(sector, value);
    const { values, sinceMs, otherSinceMs, by, otherBy } = entry.known;
    const same = values[index] === value;
    const boundMs = (same ? otherSinceMs[index] : sinceMs[index]) ?? -1;
    if (untilMs !== null && untilMs >= boundMs) return null;
    const where = `sector ${sector}, read at ${ms(entry.invokedMs)}, has ${this.describe(value)}`;
    if (untilMs === null) return { kind: 'garbage', sentence: where };
    const observer = same ? otherBy[index] : by[index];
    const seen = same ? 'another value' : this.describe(values[index] ?? ZERO);
    const how = observer === ObservedBy.write ? 'was written (GOOD)' : 'was read';
    return {
      kind: observer === ObservedBy.write ? 'lostWrite' : 'changedBack',
      sentence: `${where}, but ${seen} ${how} there after ${ms(boundMs)}`,
    };
  }

  /** Until when that value can have come to be there; null: never. */
  #possibleUntilMs(sector: number, value: number): number | null {
    if (value === ZERO) {
      const pending = (this.#zerosPending[sector] ?? 0) > 0;
      return pending ? Number.POSITIVE_INFINITY : (this.#zeroUntilMs[sector] ?? 0);
    }
    const entry = this.#writes[value - 1];
    if (entry === undefined || entry.kind !== 'write') return null;
    const within = sector >= entry.firstSector && sector < entry.firstSector + entry.sectorCount;
    return within ? entry.respondedMs : null;
  }

  #observe(observation: Observation): void {
    this.#known.observe(observation);
    this.#sinceFlush.push(observation);
  }
}

function* sectorsOf(entry: WriteEntry): Generator<number> {
  const { firstSector, sectorCount } = entry;
  for (let sector = firstSector; sector < firstSector + sectorCount; sector += 1) yield sector;
}

function ms(timeMs: number): string {
  return timeMs.toFixed(3);
}
