/** The control plane and its operator: attaches, moves, replaces what is lost for good. */
import type { SimRandom } from '../../../core/platform/sim/index.ts';
import type { VolumeRecord } from '../../../core/volume/record.ts';
import type { World } from './world.ts';

const REPLACE_EVERY_MS = 2_000;

export class ControlPlane {
  readonly #world: World;
  readonly #random: SimRandom;
  #attaching = false;
  #replacing = false;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.simulation.fork('control plane');
  }

  start(): void {
    this.#watchLater();
  }

  /** A new attachment, with a token of its own, as soon as the store takes it. */
  attach(node: string): void {
    if (this.#attaching) return;
    this.#attaching = true;
    this.#attachWhenPossible(node);
  }

  #attachWhenPossible(node: string): void {
    const { keeper, simulation } = this.#world;
    if (keeper.away) {
      simulation.after(500, () => this.#attachWhenPossible(node));
      return;
    }
    const token = this.#random.uuid();
    const attachment = { token, node, initiatorNames: ['*'], chapSecret: null };
    this.#change((record) => ({ ...record, attachment }));
    this.#attaching = false;
  }

  #change(edit: (record: VolumeRecord) => VolumeRecord): boolean {
    const { keeper, simulation } = this.#world;
    if (keeper.away) return false;
    const { version, record } = keeper.current;
    const next = { ...edit(record), generation: record.generation + 1 };
    const result = keeper.apply(version, next, { kind: 'controlPlane' }, simulation.nowMs);
    return result.kind === 'committed';
  }

  #watchLater(): void {
    this.#world.simulation.after(REPLACE_EVERY_MS, () => {
      if (this.#world.over) return;
      this.#reattachAfterLoss();
      void this.#replaceLost();
      this.#watchLater();
    });
  }

  /** All caches were lost: the operator sees the error, and attaches anew (R15). */
  #reattachAfterLoss(): void {
    const { attachment } = this.#world.keeper.current.record;
    if (attachment === null) return;
    const target = this.#world.agentOf(attachment.node).target;
    if (target?.token === attachment.token && target.phase === 'cachesLost') {
      this.attach(attachment.node);
    }
  }

  /** R6: a lost replica never comes back; another id takes its place on its node. */
  async #replaceLost(): Promise<void> {
    if (this.#replacing) return;
    this.#replacing = true;
    await this.#replaceEach();
    this.#replacing = false;
  }

  async #replaceEach(): Promise<void> {
    for (const lost of this.#world.replicas.filter((replica) => replica.lost)) {
      const { record } = this.#world.keeper.current;
      const member = record.replicas.find(({ id }) => id === lost.id);
      if (member === undefined || member.state === 'inSync' || !lost.machine.up) continue;
      if (this.#world.keeper.away) return;
      const fresh = await this.#world.newReplica(lost.machine);
      if (fresh === null) continue;
      const done = this.#change((current) => ({
        ...current,
        replicas: [
          ...current.replicas.filter(({ id }) => id !== lost.id),
          { id: fresh.id, node: fresh.node, state: 'stale' },
        ],
      }));
      this.#world.retire(done ? lost : fresh);
    }
  }
}
