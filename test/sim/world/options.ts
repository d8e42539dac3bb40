/** What a seed decides before anything happens: the size of things and what may go wrong. */
import type { SimRandom } from '../../../core/platform/sim/index.ts';
import { KiB, MiB } from '../../../core/units.ts';
import type { ReplicaBreak } from '../../../replica/index.ts';
import type { Break } from '../../../target/replication/state.ts';
import type { WorkloadOptions } from '../client/workload.ts';
import { FAULT_NAMES, type Fault, type FaultName } from './faults.ts';

/** Rules that a run may go without, to show that the simulator notices. */
export type SimBreak = Break | ReplicaBreak | 'R6-minted-at-start' | 'R15-resume-unordered';

/** A fault at a time of its own, beside those that are drawn. */
export interface PlannedFault {
  readonly fault: FaultName;
  /** How exactly; default: as the fault of that name does. */
  readonly begin?: Fault['begin'];
  readonly atMs: readonly [number, number];
  readonly forMs: readonly [number, number];
  /** A node, or relative to where the volume is attached; default: any. */
  readonly where?: 'attached' | 'elsewhere' | 'n1' | 'n2' | 'n3';
}

export interface WorldOptions {
  readonly seed: number | string;
  readonly breaks: ReadonlySet<SimBreak>;
  /** So many times as fast as usual do faults follow each other, and so much sooner do they end. */
  readonly pace: number;
  /** How long faults go on. */
  readonly faultsForMs: number;
  readonly sizeBytes: number;
  readonly workload: WorkloadOptions;
  readonly depth: number;
  readonly thinkMs: readonly [number, number];
  readonly faults: readonly FaultName[];
  readonly plan: readonly PlannedFault[];
  readonly betweenFaultsMs: readonly [number, number];
  /** So many replicas may be in trouble at once. */
  readonly troubledMax: number;
  readonly stablePorts: boolean;
  /** How often initiators stop for a comparison of the members. */
  readonly pauses: number;
  /** What the verification of a rebuild finds is no failure of the run. */
  readonly rebuildsMayDiffer: boolean;
  /** Bytes of the pool's disk on each node. */
  readonly poolBytes: number;
}

/** Swarm testing: each seed has some of the faults only, so that rare pairs meet often. */
export function drawOptions(
  seed: number | string,
  random: SimRandom,
  given: Partial<WorldOptions> = {},
): WorldOptions {
  const sizeBytes = 16 * MiB;
  const { pace = 1 } = given;
  const share = random.between([0.15, 0.7]);
  const faults = FAULT_NAMES.filter(() => random.chance(share));
  const slowest = random.pick([1_500, 3_000, 6_000, 12_000]);
  const write = random.between([2, 8]);
  const depth = random.pick([1, 2, 4, 8]);
  return {
    seed,
    breaks: new Set(),
    pace,
    faultsForMs: random.pick([10_000, 20_000, 30_000]) / pace,
    sizeBytes,
    workload: {
      sizeBytes,
      areaCount: 1 + random.below(3),
      areaBytes: random.pick([32 * KiB, 128 * KiB, 512 * KiB]),
      mix: {
        write,
        read: random.between([2, 6]),
        unmap: random.chance(0.6) ? random.between([0, 1]) : 0,
        flush: random.pick([0.05, 0.5, 1.5]),
      },
    },
    depth,
    thinkMs: [1, random.pick([50, 120, 300]) * depth],
    faults,
    plan: [],
    betweenFaultsMs: [100 / pace, slowest / pace],
    troubledMax: random.pick([1, 1, 2, 3]),
    stablePorts: random.chance(0.7),
    pauses: random.below(3),
    rebuildsMayDiffer: false,
    poolBytes: 1024 * MiB,
    ...given,
  };
}
