import type { WorldEvent } from '../world/events.ts';
import type { World } from '../world/world.ts';

/** One promise, watched through a whole run. */
export interface Checker {
  /** The promise, as the file is named. */
  readonly name: string;
  heard?(event: WorldEvent): void;
  /** Everything is healed, in sync and quiet; the target still serves. */
  quiet?(): Promise<void>;
  /** The run is over. */
  finish?(): void;
}

/** @param fail ends the run; the sentence says what was promised and what was seen. */
export type MakeChecker = (world: World, fail: (sentence: string) => void) => Checker;
