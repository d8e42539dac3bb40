/** A closed loop: so many commands in flight, each answered one followed by the next. */
import { randomBytes } from 'node:crypto';
import { LOGICAL_BLOCK_BYTES } from '../../core/limits.ts';
import { MiB } from '../../core/units.ts';
import type { InitiatorError } from '../fixtures/iscsi-answer.ts';
import type { IscsiInitiator } from '../fixtures/iscsi-initiator.ts';
import { LatencyHistogram } from './latency-histogram.ts';

export type LoadCase = {
  readonly kind: 'read' | 'write';
  readonly sizeBytes: number;
  readonly queueDepth: number;
};

export type LoadResult = {
  readonly operationCount: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly maxUs: number;
  /** Of the generator itself: near 1, it was the limit and not the system. */
  readonly generatorCpuShare: number;
};

export type LoadOptions = {
  /** The part of the volume that is used, from its start. */
  readonly spanBytes: number;
  readonly durationMs: number;
};

export async function runLoad(
  initiator: IscsiInitiator,
  load: LoadCase,
  { spanBytes, durationMs }: LoadOptions,
): Promise<LoadResult> {
  const latencies = new LatencyHistogram();
  const nextBlock = blockSequence(spanBytes, load.sizeBytes);
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  const untilMs = startMs + durationMs;
  let runningCount = load.queueDepth;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const startLane = (buffer: Buffer) => {
    let sentMs = 0;
    const done = (error: InitiatorError | null) => {
      const nowMs = performance.now();
      if (error !== null) {
        reject(error);
        return;
      }
      latencies.add((nowMs - sentMs) * 1000);
      if (nowMs < untilMs) {
        next(nowMs);
        return;
      }
      runningCount -= 1;
      if (runningCount === 0) resolve();
    };
    const next = (nowMs: number) => {
      sentMs = nowMs;
      if (load.kind === 'read') initiator.read(nextBlock(), buffer, done);
      else initiator.write(nextBlock(), buffer, done);
    };
    next(performance.now());
  };
  for (let lane = 0; lane < load.queueDepth; lane += 1) startLane(randomBytes(load.sizeBytes));
  await promise;
  const seconds = (performance.now() - startMs) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  return {
    operationCount: latencies.count,
    seconds,
    p50Us: latencies.percentileUs(0.5),
    p99Us: latencies.percentileUs(0.99),
    maxUs: Math.round(latencies.maxUs),
    generatorCpuShare: (cpu.user + cpu.system) / 1e6 / seconds,
  };
}

/** Writes the whole span once, so that reads meet data and writes meet allocated blocks. */
export async function fill(initiator: IscsiInitiator, spanBytes: number): Promise<void> {
  const piece = randomBytes(MiB);
  for (let at = 0; at < spanBytes; at += piece.length) {
    await new Promise<void>((resolve, reject) => {
      const block = at / LOGICAL_BLOCK_BYTES;
      initiator.write(block, piece, (error) => (error === null ? resolve() : reject(error)));
    });
  }
  await new Promise<void>((resolve, reject) => {
    initiator.flush((error) => (error === null ? resolve() : reject(error)));
  });
}

/** Scattered, and the same for every system: a linear congruential generator (Numerical Recipes). */
function blockSequence(spanBytes: number, sizeBytes: number): () => number {
  const slotCount = Math.floor(spanBytes / sizeBytes);
  const blocksPerSlot = sizeBytes / LOGICAL_BLOCK_BYTES;
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    // The high bits: the low ones of such a generator repeat soon.
    return Math.floor((state / 2 ** 32) * slotCount) * blocksPerSlot;
  };
}
