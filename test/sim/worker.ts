/** A thread that runs seeds as they are given, one after the other. */
import { parentPort } from 'node:worker_threads';
import { messageOf } from '../../core/errors.ts';
import { runSeed, type Verdict } from './run.ts';

export type WorkerOrder = { readonly seed: number; readonly pace: number };
export type WorkerAnswer = { readonly seed: number; readonly verdict: Verdict };

/** What escaped from a run belongs to the seed that was running. */
const escaped: string[] = [];
process.on('unhandledRejection', (error) => {
  escaped.push(error instanceof Error ? `${error.stack}` : messageOf(error));
});

async function run({ seed, pace }: WorkerOrder): Promise<Verdict> {
  escaped.length = 0;
  const verdict = await runSeed({ seed, given: { pace } });
  const [first] = escaped;
  if (first === undefined || verdict.failure !== null) return verdict;
  return { ...verdict, failure: { checker: 'no-crash', sentence: `unhandled: ${first}` } };
}

parentPort?.on('message', (order: WorkerOrder) => {
  void run(order).then((verdict) => parentPort?.postMessage({ seed: order.seed, verdict }));
});
