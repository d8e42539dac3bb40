/** One thing that may happen, and the world after it. */
import { type World } from './world.ts';

export interface Action {
  readonly name: string;
  readonly next: World;
}

export type Add = (name: string, next: World) => void;
