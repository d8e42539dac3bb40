/** Seeds on several threads, for the command and for the tests alike. */
import { Worker } from 'node:worker_threads';
import type { Verdict } from './run.ts';
import type { WorkerAnswer, WorkerOrder } from './worker.ts';

export interface PoolOptions {
  readonly from: number;
  readonly count: number;
  readonly threads: number;
  /** See `WorldOptions`. */
  readonly pace: number;
  /** After the first seed that fails no other one is begun. */
  readonly stopAtFailure: boolean;
  /** Called for every seed that ended, in the order of their ends. */
  readonly onVerdict: (verdict: Verdict) => void;
}

/**
 * What a run throws away is mostly buffers, which a small young generation is rid of before there
 * are so many that the whole heap has to be collected.
 */
const YOUNG_GENERATION_MB_MAX = 6;

/** Resolves when every seed has ended. */
export async function runSeeds(options: PoolOptions): Promise<void> {
  const { threads, stopAtFailure, onVerdict, pace } = options;
  const end = options.from + options.count;
  let next = options.from;
  const drive = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./worker.ts', import.meta.url), {
        resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB_MAX },
      });
      const give = (): void => {
        if (next >= end) {
          void worker.terminate().then(() => resolve());
          return;
        }
        worker.postMessage({ seed: next, pace } satisfies WorkerOrder);
        next += 1;
      };
      worker.on('error', reject);
      worker.on('message', ({ verdict }: WorkerAnswer) => {
        if (verdict.failure !== null && stopAtFailure) next = end;
        onVerdict(verdict);
        give();
      });
      give();
    });
  await Promise.all(Array.from({ length: Math.min(threads, options.count) }, drive));
}
