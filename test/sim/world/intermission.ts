/**
 * Now and then, and whenever a member was admitted, initiators hold their breath until nothing is
 * in flight, and the members in sync are compared behind the target's back.
 */
import type { SimRandom } from '../../../core/platform/sim/index.ts';
import { differenceBetweenMembers } from './members.ts';
import type { TargetHost } from './target-host.ts';
import type { World } from './world.ts';

export type Occasion = 'admission' | 'pause' | 'end';

const QUIET_WITHIN_MS = 6_000;
const COMPARED_WITHIN_MS = 5_000;
const LOOK_MS = 20;

export class Intermissions {
  readonly #world: World;
  readonly #random: SimRandom;
  #running = false;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.simulation.fork('intermissions');
  }

  start(): void {
    const { pauses, faultsForMs } = this.#world.options;
    for (let pause = 0; pause < pauses; pause += 1) {
      this.#world.simulation.after(this.#random.between([1_000, faultsForMs]), () =>
        this.begin('pause'),
      );
    }
  }

  begin(occasion: Occasion): void {
    if (this.#running || this.#world.over) return;
    this.#running = true;
    this.#world.holdIssuing();
    const endMs = this.#world.nowMs + QUIET_WITHIN_MS;
    this.#awaitQuiet(occasion, endMs);
  }

  #awaitQuiet(occasion: Occasion, endMs: number): void {
    const target = this.#world.currentTarget;
    const ready =
      target !== null && isStill(target) && this.#world.isQuiet && !this.#world.keeper.rolledBack;
    if (ready) this.#compare(occasion, target);
    else if (this.#world.nowMs > endMs) this.#end();
    else this.#world.simulation.after(LOOK_MS, () => this.#awaitQuiet(occasion, endMs));
  }

  #compare(occasion: Occasion, target: TargetHost): void {
    const { volume } = target.coordinator;
    const { version } = this.#world.keeper.current;
    let open = true;
    const finish = (difference: string | null): void => {
      if (!open) return;
      open = false;
      const { keeper, currentTarget } = this.#world;
      const same = keeper.current.version === version && currentTarget === target;
      if (difference !== null && same && isStill(target)) {
        this.#world.tell({ kind: 'membersDiffer', occasion, difference });
      }
      volume.unlockRange(range);
      this.#end();
    };
    // Waits for what is still being made equal after a write that failed (R12).
    const range = volume.lockRange(0, this.#world.options.sizeBytes, () => {
      void differenceBetweenMembers(this.#world).then(finish, () => finish(null));
    });
    this.#world.simulation.after(COMPARED_WITHIN_MS, () => {
      if (open && range.granted === null) finish(null);
      else if (open) this.#end();
    });
  }

  #end(): void {
    this.#running = false;
    this.#world.goOnIssuing();
  }
}

/** Every member in sync is there, and nothing is in flight. */
function isStill(target: TargetHost): boolean {
  return target.isSteady && target.coordinator.volume.inFlightCount === 0;
}
