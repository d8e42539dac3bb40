/**
 * Whether the volume has all that it needs to go on at once: a target that serves, the store, and
 * two members in sync that nothing is wrong with (data-path promise 6). Looked at every now and
 * then, never within the product.
 */
import type { TargetHost } from './target-host.ts';
import type { World } from './world.ts';

/** After a trouble ends, so long until it is over for whoever waits. */
const AFTERMATH_MS = 3_000;

export class Health {
  readonly #world: World;
  /** By node: its replica is in trouble until then. */
  readonly #troubledUntilMs = new Map<string, number>();
  readonly #seenSickMs = new Map<string, number>();
  #calmSinceMs: number | null = null;
  #calmTarget: TargetHost | null = null;

  constructor(world: World) {
    this.#world = world;
  }

  /** Since when everything needed is there; null: it is not. */
  get calmSinceMs(): number | null {
    return this.#calmSinceMs;
  }

  trouble(node: string, durationMs: number): void {
    const untilMs = this.#world.simulation.nowMs + durationMs;
    this.#troubledUntilMs.set(node, Math.max(untilMs, this.#troubledUntilMs.get(node) ?? 0));
  }

  look(): void {
    const target = this.#world.currentTarget;
    const { nowMs } = this.#world.simulation;
    const calm = target !== null && this.#isCalm(target);
    if (!calm) this.#calmSinceMs = null;
    else if (this.#calmSinceMs === null || target !== this.#calmTarget) this.#calmSinceMs = nowMs;
    this.#calmTarget = target;
  }

  #isCalm(target: TargetHost): boolean {
    const { keeper, simulation } = this.#world;
    const { record } = keeper.current;
    const inSync = record.replicas.filter(({ state }) => state === 'inSync');
    const well = inSync.filter(({ id, node }) => this.#isWell(target, id, node));
    const servingMs = simulation.nowMs - (target.servingSinceMs ?? simulation.nowMs);
    return (
      well.length >= 2 &&
      servingMs > 2 * AFTERMATH_MS &&
      !target.paused &&
      keeper.reaches(target.node) &&
      keeper.isFair &&
      record.targetInstance === target.instance
    );
  }

  #isWell(target: TargetHost, id: string, node: string): boolean {
    const { nowMs, network } = this.#world.simulation;
    const replica = this.#world.replicas.find((each) => each.id === id);
    const machine = this.#world.machine(node);
    const home = target.process.machine;
    const member = target.coordinator.state.members.find((each) => each.id === id);
    const sick =
      member === undefined ||
      member.lostCache ||
      member.diverged ||
      member.facts?.failed === true ||
      replica === undefined ||
      !replica.running ||
      replica.process?.state !== 'running' ||
      !machine.up ||
      nowMs < (this.#troubledUntilMs.get(node) ?? 0) ||
      network.isBlocked(machine, home) ||
      network.isBlocked(home, machine);
    if (sick) this.#seenSickMs.set(id, nowMs);
    return nowMs - (this.#seenSickMs.get(id) ?? Number.NEGATIVE_INFINITY) > AFTERMATH_MS;
  }
}
