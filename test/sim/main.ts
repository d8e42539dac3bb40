/**
 * `npm run sim`: many seeds on all cores. `npm run sim -- --seed N` replays one exactly, with
 * `--verbose` line by line.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { runSeeds } from './pool.ts';
import { runSeed, type Verdict } from './run.ts';

const SEEDS = 20_000;
const PROGRESS_MS = 2_000;
const BRIEF_PACE = 2;
const USAGE = `Usage: npm run sim -- [--seeds N] [--from N] [--brief] [--keep-going]
       npm run sim -- --seed N [--brief] [--verbose]

  --seeds N      runs N seeds (default ${SEEDS}), on all cores
  --from N       the first of them (default 1)
  --workers N    threads (default: the cores of this machine)
  --brief        the same number of faults in half the time
  --keep-going   does not stop at the first failing seed
  --seed N       replays one seed and prints the end of its trace when it fails
  --verbose      prints the whole trace
`;

interface Options {
  readonly seeds: number;
  readonly from: number;
  readonly workers: number;
  readonly brief: boolean;
  readonly keepGoing: boolean;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

function describe(verdict: Verdict, brief: boolean): string {
  const { seed, failure, simulatedMs, commandCount, lastEvents } = verdict;
  if (failure === null) return `seed ${seed}: ok`;
  const events = lastEvents.map((line) => `    ${line}`).join('\n');
  return (
    `seed ${seed} FAILED: ${failure.checker}\n  ${failure.sentence}\n` +
    `  at ${simulatedMs.toFixed(3)} ms, after ${commandCount} commands; the last events:\n` +
    `${events}\n  replay: npm run sim -- --seed ${seed}${brief ? ' --brief' : ''} --verbose`
  );
}

async function replay(seed: number, brief: boolean, verbose: boolean): Promise<number> {
  const given = { pace: brief ? BRIEF_PACE : 1 };
  const verdict = await runSeed({ seed, given, ...(verbose ? { onLine: print } : {}) });
  print(describe(verbose ? { ...verdict, lastEvents: [] } : verdict, brief));
  const hash = (verdict.traceHash >>> 0).toString(16).padStart(8, '0');
  print(`  ${verdict.eventCount} events, trace hash ${hash}`);
  return verdict.failure === null ? 0 : 1;
}

async function runMany(options: Options): Promise<number> {
  const startedMs = performance.now();
  const failures: Verdict[] = [];
  let done = 0;
  let commands = 0;
  let simulatedMs = 0;
  const tell = (): void => {
    const seconds = (performance.now() - startedMs) / 1000;
    const rate = (done / seconds).toFixed(1);
    print(`${done} of ${options.seeds} seeds, ${rate} a second, ${failures.length} failed`);
  };
  const progress = setInterval(tell, PROGRESS_MS);
  await runSeeds({
    from: options.from,
    count: options.seeds,
    threads: options.workers,
    pace: options.brief ? BRIEF_PACE : 1,
    stopAtFailure: !options.keepGoing,
    onVerdict: (verdict) => {
      done += 1;
      commands += verdict.commandCount;
      simulatedMs += verdict.simulatedMs;
      if (verdict.failure === null) return;
      failures.push(verdict);
      print(describe(options.keepGoing ? { ...verdict, lastEvents: [] } : verdict, options.brief));
    },
  });
  clearInterval(progress);
  tell();
  const hours = (simulatedMs / 3_600_000).toFixed(1);
  print(`${hours} simulated hours, ${commands} commands`);
  if (failures.length > 0) print(`failed: ${failures.map(({ seed }) => seed).join(' ')}`);
  return failures.length === 0 ? 0 : 1;
}

function wholeNumber(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${text} is not a number`);
  return value;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string' },
      from: { type: 'string' },
      workers: { type: 'string' },
      seed: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      brief: { type: 'boolean', default: false },
      'keep-going': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (values.seed !== undefined) {
    return replay(wholeNumber(values.seed, 0), values.brief, values.verbose);
  }
  return runMany({
    seeds: wholeNumber(values.seeds, SEEDS),
    from: wholeNumber(values.from, 1),
    workers: Math.max(1, wholeNumber(values.workers, availableParallelism())),
    brief: values.brief,
    keepGoing: values['keep-going'],
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  process.exitCode = 2;
}
