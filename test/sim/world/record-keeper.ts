/**
 * The record's store: linearizable, changed by compare-and-swap under the rules of
 * core/volume/swap.ts. Requests and answers take time, may be lost, may land late; the store may
 * be away, cut off from single nodes, or brought back from an old backup (R5).
 */
import type { Range, SimProcess, SimRandom, Simulation } from '../../../core/platform/sim/index.ts';
import type { VersionedRecord, VolumeRecord } from '../../../core/volume/record.ts';
import { type SwapActor, swapRefusal } from '../../../core/volume/swap.ts';
import type { RecordStore, StoredRecord, SwapResult } from '../../../target/replication/ports.ts';
import type { SimBreak } from './options.ts';

export interface Commit extends VersionedRecord {
  readonly actor: SwapActor;
  readonly sentAtMs: number;
  readonly committedAtMs: number;
}

const READ_TIMEOUT_MS = 3_000;
const SWAP_TIMEOUT_MS = 5_000;

export interface StoreWeather {
  /** One way, each way. */
  latencyMs: Range;
  /** An answer is lost although the swap was done. */
  lostAnswers: number;
  /** A request gets there late, perhaps long after its sender has given up. */
  lateRequests: number;
  lateMs: Range;
}

export const FAIR_WEATHER: StoreWeather = {
  latencyMs: [0.3, 4],
  lostAnswers: 0,
  lateRequests: 0,
  lateMs: [0, 0],
};

export class RecordKeeper {
  weather: StoreWeather = FAIR_WEATHER;
  away = false;
  readonly cutOff = new Set<string>();
  readonly addresses: Record<string, string> = {};
  /** All that ever were, rolled back ones included. */
  readonly commits: Commit[] = [];
  onCommit: (commit: Commit) => void = () => undefined;
  #rolledBack = false;
  readonly #simulation: Simulation;
  readonly #random: SimRandom;
  /** A store that looks at versions only. */
  readonly #trusts: boolean;
  #current: VersionedRecord;

  constructor(simulation: Simulation, first: VolumeRecord, breaks: ReadonlySet<SimBreak>) {
    this.#simulation = simulation;
    this.#trusts = breaks.has('R2-same-epoch');
    this.#random = simulation.fork('store');
    this.#current = { version: 1, record: first };
  }

  /** The truth, for the scenario and the checkers. */
  get current(): VersionedRecord {
    return this.#current;
  }

  get rolledBack(): boolean {
    return this.#rolledBack;
  }

  get isFair(): boolean {
    return this.weather === FAIR_WEATHER;
  }

  reaches(node: string): boolean {
    return !this.away && !this.cutOff.has(node);
  }

  /** As a process on a node sees it. */
  clientFor(process: SimProcess, actor: SwapActor): RecordStore {
    const node = process.machine.name;
    return {
      read: () => this.#exchange(process, node, READ_TIMEOUT_MS, () => this.#read()),
      swap: (version, next) => {
        const sentAtMs = this.#simulation.nowMs;
        // What is sent is fixed now, whatever becomes of the object.
        const copy = structuredClone(next);
        return this.#exchange(process, node, SWAP_TIMEOUT_MS, () =>
          this.apply(version, copy, actor, sentAtMs),
        );
      },
    };
  }

  apply(version: number, next: VolumeRecord, actor: SwapActor, sentAtMs: number): SwapResult {
    const { record } = this.#current;
    const refusal = this.#trusts ? null : swapRefusal(record, next, actor);
    if (version !== this.#current.version || refusal !== null) {
      const why = refusal ?? `version ${version} is not ${this.#current.version}`;
      this.#simulation.note('store', `refused a swap: ${why}`);
      return { kind: 'conflict' };
    }
    this.#current = { version: version + 1, record: next };
    const committedAtMs = this.#simulation.nowMs;
    const commit: Commit = { ...this.#current, actor, sentAtMs, committedAtMs };
    const members = next.replicas.map(({ id, state }) => `${id}:${state}`).join(' ');
    const { epoch, generation } = next;
    this.#simulation.note('store', `committed epoch ${epoch} generation ${generation} ${members}`);
    this.commits.push(commit);
    this.onCommit(commit);
    return { kind: 'committed', version: version + 1 };
  }

  /** An operator brings back a backup: as if the last `count` commits had never been. */
  rollBack(count: number): void {
    const kept = this.commits.at(-1 - count);
    if (kept === undefined) return;
    this.#rolledBack = true;
    this.#simulation.note('store', `rolled back to version ${kept.version}`);
    this.#current = { version: kept.version, record: kept.record };
  }

  #read(): StoredRecord {
    return { ...structuredClone(this.#current), addresses: { ...this.addresses } };
  }

  /** The promise is settled in the process that asked, or never once that is gone. */
  #exchange<Value>(
    process: SimProcess,
    node: string,
    timeoutMs: number,
    act: () => Value,
  ): Promise<Value> {
    return new Promise((resolve, reject) => {
      let open = true;
      const settle = (with_: () => void): void => {
        process.enter(() => {
          if (open) with_();
          open = false;
        });
      };
      this.#simulation.schedule(timeoutMs, () =>
        settle(() => reject(new Error('the store did not answer in time'))),
      );
      const reached = this.reaches(node);
      const late = this.#random.chance(this.weather.lateRequests);
      const goesMs = this.#random.between(late ? this.weather.lateMs : this.weather.latencyMs);
      // Cut off: what was sent is lost, or is in some buffer and gets there at the end of it.
      if (!reached && !late) {
        this.#simulation.schedule(goesMs, () => {
          if (this.#random.chance(0.5)) settle(() => reject(new Error('the store is not there')));
        });
        return;
      }
      this.#simulation.schedule(goesMs, () => {
        if (this.away) return;
        const value = act();
        if (this.#random.chance(this.weather.lostAnswers) || !this.reaches(node)) return;
        const backMs = this.#random.between(this.weather.latencyMs);
        this.#simulation.schedule(backMs, () => settle(() => resolve(value)));
      });
    });
  }
}
