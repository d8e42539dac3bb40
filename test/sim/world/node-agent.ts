/**
 * What the agent of a node does for replicas and targets: starts them again when they end, one
 * target at a time, for the attachment that the store names; tells a new target which earlier
 * ones are dead for certain.
 */
import type { SimMachine, SimRandom } from '../../../core/platform/sim/index.ts';
import type { ReplicaHost } from './replica-host.ts';
import type { TargetHost } from './target-host.ts';
import type { World } from './world.ts';

const POLL_MS = [300, 1_500] as const;
const RELEASE_DEADLINE_MS = 35_000;

export class NodeAgent {
  readonly machine: SimMachine;
  readonly replicas: ReplicaHost[] = [];
  target: TargetHost | null = null;
  readonly #world: World;
  readonly #random: SimRandom;
  /** Instances started here whose process has ended. */
  readonly #dead: string[] = [];
  readonly #starting = new Set<ReplicaHost>();
  /** An operator has to look first (R5). */
  readonly #evidence = new Set<string>();
  #portCount = 0;

  constructor(world: World, machine: SimMachine) {
    this.#world = world;
    this.machine = machine;
    this.#random = world.simulation.fork(`agent/${machine.name}`);
  }

  get node(): string {
    return this.machine.name;
  }

  start(): void {
    for (const replica of this.replicas) this.startReplica(replica);
    this.#pollLater();
  }

  /** Now or after a while, unless it runs. */
  startReplica(replica: ReplicaHost, delayMs = 0): void {
    if (replica.process !== null || replica.held || this.#starting.has(replica)) return;
    this.#starting.add(replica);
    this.#world.simulation.after(delayMs, () => {
      this.#starting.delete(replica);
      const startable = this.machine.up && replica.process === null && !replica.held;
      if (!startable || this.#world.over) return;
      const address = this.#addressFor(replica);
      this.#world.keeper.addresses[replica.id] = address;
      replica.start(address, () => {
        if (!this.#world.over && this.machine.up) this.startReplica(replica, this.#restartMs());
      });
    });
  }

  /** Stable for some seeds, another port after every start for others. */
  #addressFor(replica: ReplicaHost): string {
    const known = this.#world.keeper.addresses[replica.id];
    if (known !== undefined && this.#world.options.stablePorts) return known;
    this.#portCount += 1;
    return `tcp:${this.node}:${7_000 + this.#portCount}`;
  }

  #restartMs(): number {
    return this.#random.between(this.#random.chance(0.15) ? [2_000, 15_000] : [50, 1_500]);
  }

  #pollLater(): void {
    this.#world.simulation.after(this.#random.between(POLL_MS), () => {
      if (this.#world.over) return;
      if (this.machine.up) this.#poll();
      this.#pollLater();
    });
  }

  #poll(): void {
    for (const replica of this.replicas) this.startReplica(replica);
    const { keeper } = this.#world;
    if (!keeper.reaches(this.node)) return;
    const { attachment } = keeper.current.record;
    const wanted = attachment?.node === this.node ? attachment.token : null;
    const { target } = this;
    if (target !== null && target.token !== wanted) this.#release(target);
    else if (target === null && wanted !== null && !this.#evidence.has(wanted)) {
      this.#startTarget(wanted);
    }
  }

  #startTarget(token: string): void {
    const target = this.#world.newTarget(this.machine, token, [...this.#dead]);
    this.target = target;
    target.process.onGone(() => {
      this.#dead.push(target.instance);
      if (target.stopped?.code === 'evidence') this.#evidence.add(token);
      if (this.target === target) this.target = null;
    });
  }

  /** SIGTERM, and SIGKILL when that does not help. */
  #release(target: TargetHost): void {
    if (target.closing) return;
    target.release();
    this.#world.simulation.after(RELEASE_DEADLINE_MS, () => target.process.kill());
  }
}
