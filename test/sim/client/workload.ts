/** What an initiator does next: a few small hot areas, so that commands meet each other. */
import { LOGICAL_BLOCK_BYTES } from '../../../core/limits.ts';
import type { SimRandom } from '../../../core/platform/sim/index.ts';
import { KiB } from '../../../core/units.ts';

export interface Mix {
  readonly write: number;
  readonly read: number;
  readonly unmap: number;
  readonly flush: number;
}

export interface WorkloadOptions {
  readonly sizeBytes: number;
  readonly areaCount: number;
  readonly areaBytes: number;
  readonly mix: Mix;
}

export interface Wish {
  readonly kind: keyof Mix;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

const WRITE_BYTES = [512, 1024, 4 * KiB, 4 * KiB, 4 * KiB, 16 * KiB, 64 * KiB] as const;
const PAGE_BYTES = 4 * KiB;

export class Workload {
  readonly #options: WorkloadOptions;
  readonly #areas: readonly number[];

  constructor(options: WorkloadOptions, random: SimRandom) {
    this.#options = options;
    const slots = Math.floor(options.sizeBytes / options.areaBytes);
    this.#areas = Array.from(
      { length: options.areaCount },
      () => random.below(slots) * options.areaBytes,
    );
  }

  next(random: SimRandom): Wish {
    const kind = this.#kind(random);
    if (kind === 'flush') return { kind, offsetBytes: 0, lengthBytes: 0 };
    const { areaBytes } = this.#options;
    const area = this.#areas[random.below(this.#areas.length)] ?? 0;
    const unit = random.chance(0.6) ? PAGE_BYTES : LOGICAL_BLOCK_BYTES;
    const wanted = random.pick(WRITE_BYTES);
    const factor = kind === 'unmap' || kind === 'read' ? 1 + random.below(4) : 1;
    const rounded = Math.max(unit, Math.floor((wanted * factor) / unit) * unit);
    const lengthBytes = Math.min(rounded, areaBytes);
    const places = Math.floor((areaBytes - lengthBytes) / unit) + 1;
    return { kind, offsetBytes: area + random.below(places) * unit, lengthBytes };
  }

  #kind(random: SimRandom): keyof Mix {
    const { write, read, unmap, flush } = this.#options.mix;
    let draw = random.fraction() * (write + read + unmap + flush);
    if ((draw -= write) < 0) return 'write';
    if ((draw -= read) < 0) return 'read';
    if ((draw -= unmap) < 0) return 'unmap';
    return 'flush';
  }
}
