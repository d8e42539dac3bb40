/**
 * Rebuilds one stale member from nothing (replication R22–R24): live writes from one position of
 * the streams on, a copy from replica to replica of what the source had there, checksums of both
 * at one position region by region, and only then the proposal to count it as in sync.
 */
import { blockError } from '../../core/block/block-device.ts';
import type { Clock } from '../../core/platform/index.ts';
import { Op } from '../../core/wire/frame.ts';
import { regionsOf } from './equaliser.ts';
import type { EventLog, MemberPort } from './ports.ts';
import { checksumsOf, extentsOf, orderRebuild, promiseOf, request, sleep } from './requests.ts';
import type { Break } from './state.ts';

export interface RebuildPlan {
  readonly rebuildId: string;
  readonly sizeBytes: number;
  readonly epoch: number;
  readonly instance: string;
  readonly cache: string;
  readonly member: MemberPort;
  readonly source: MemberPort;
  readonly sourceAddress: string;
}

export interface RebuildDependencies {
  readonly clock: Clock;
  readonly log: EventLog;
  /** Rules switched off: only in the simulator's own tests. */
  readonly breaks: ReadonlySet<Break>;
  /** Live writes go to the member as well, from this moment on. */
  readonly startFan: () => void;
  /** R24: from now on no write is GOOD without it. */
  readonly bind: () => void;
  /** Proposes it as in sync; resolves when the record says so. */
  readonly admit: () => Promise<void>;
  /** False: the member or its source is not what it was; give up. */
  readonly valid: () => boolean;
  readonly progress: (copiedBytes: number, totalBytes: number) => void;
}

const POLL_MS = 200;
const REGIONS_AT_ONCE = 4;

/** Resolves when the member is in sync; rejects when it was given up (nothing binds any more). */
export async function rebuildMember(
  plan: RebuildPlan,
  dependencies: RebuildDependencies,
): Promise<void> {
  const { member, rebuildId } = plan;
  const promised = await promiseOf(member, plan.epoch, plan.instance);
  if (promised.kind !== 'promised') throw blockError('refused', `no promise: ${promised.kind}`);
  await orderRebuild(member, { action: 'begin', rebuildId });
  check(dependencies);
  await startLive(plan, dependencies);
  const source = { address: plan.sourceAddress, replicaId: plan.source.id };
  await orderRebuild(member, { action: 'copy', rebuildId, source });
  await waitForCopy(plan, dependencies);
  dependencies.bind();
  await verify(plan, dependencies);
  await orderRebuild(member, { action: 'commit', rebuildId });
  check(dependencies);
  await dependencies.admit();
  await orderRebuild(member, { action: 'finish', rebuildId });
}

function check(dependencies: RebuildDependencies): void {
  if (!dependencies.valid()) throw blockError('refused', 'the membership changed meanwhile');
}

/**
 * R22: the member's stream of live writes begins at the same position as the barrier in the
 * source's stream; once the source has passed it, a copy from there misses nothing.
 */
async function startLive(plan: RebuildPlan, dependencies: RebuildDependencies): Promise<void> {
  const { epoch, instance, rebuildId, cache } = plan;
  plan.member.openSession({ epoch, instance, rebuildId, cache });
  await request(plan.member, Op.barrier, { offsetBytes: 0, lengthBytes: 0 });
  check(dependencies);
  dependencies.startFan();
  if (dependencies.breaks.has('R22-no-barrier')) return;
  await request(plan.source, Op.barrier, { offsetBytes: 0, lengthBytes: 0 });
  check(dependencies);
}

async function waitForCopy(plan: RebuildPlan, dependencies: RebuildDependencies): Promise<void> {
  for (;;) {
    const { rebuildId } = plan;
    const answer = await orderRebuild(plan.member, { action: 'status', rebuildId });
    check(dependencies);
    dependencies.progress(answer.copiedBytes, answer.totalBytes);
    if (answer.phase === 'copied') return;
    if (answer.phase !== 'copying') {
      throw blockError('refused', `the copy stopped: ${answer.error ?? answer.phase}`);
    }
    await sleep(dependencies.clock, POLL_MS);
    check(dependencies);
  }
}

/**
 * R24: each region is summed by both at one position of the streams: both requests are queued in
 * one turn, and every write goes to both. Regions that neither has allocated are zeros on both.
 */
async function verify(plan: RebuildPlan, dependencies: RebuildDependencies): Promise<void> {
  if (dependencies.breaks.has('R24-no-verify')) return;
  const whole = { offsetBytes: 0, lengthBytes: plan.sizeBytes };
  const extents = await Promise.all([extentsOf(plan.source, whole), extentsOf(plan.member, whole)]);
  const regions = regionsOf(whole, extents);
  let next = 0;
  const work = async (): Promise<void> => {
    for (;;) {
      const region = regions[next];
      next += 1;
      if (region === undefined) return;
      const [expected, found] = await Promise.all([
        checksumsOf(plan.source, region),
        checksumsOf(plan.member, region),
      ]);
      check(dependencies);
      if (expected.equals(found)) continue;
      dependencies.log('rebuildMismatch', { replica: plan.member.id, ...region });
      throw blockError('mediumError', `checksums differ in the region at ${region.offsetBytes}`);
    }
  };
  await Promise.all(Array.from({ length: REGIONS_AT_ONCE }, work));
}
