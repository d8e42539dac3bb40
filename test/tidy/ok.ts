/**
 * `npm run ok`: format, lint, types and then the fast tests, side by side. A check's output is shown
 * whole when it ends, so that two checks never mix; the exit status is 0 when all passed.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';

type Check = {
  readonly name: string;
  readonly arguments: readonly string[];
  /** Has what the tests leave of the cores: their time limits are real ones. */
  readonly yields: boolean;
};
type Outcome = { readonly name: string; readonly status: number; readonly seconds: number };

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TEST_FOLDERS = ['test/unit', 'test/contract', 'test/sim', 'test/tidy'];
/**
 * The seeds of the one are those of the check "sim"; the other, which tests the simulator itself,
 * takes longer than it tells day by day. `npm test` runs both.
 */
const LEFT_OUT = ['test/sim/short.test.ts', 'test/sim/breaks.test.ts'];
/** What the simulated parts throw away is mostly buffers: see test/sim/pool.ts. */
const SEMI_SPACE_MB = 6;
/** All cores have work already. */
const COLLECTING = ['--single-threaded-gc'];
const SEED_COUNT = 200;
const YIELDING_BY = 10;

/** The first group tells within seconds what an editor would; the other one takes all cores. */
const GROUPS: readonly (readonly Check[])[] = [
  [
    {
      name: 'format',
      yields: false,
      arguments: ['node_modules/@biomejs/biome/bin/biome', 'check', '.'],
    },
    { name: 'types', yields: false, arguments: ['node_modules/typescript/bin/tsc', '--pretty'] },
    {
      name: 'lint',
      yields: false,
      arguments: ['node_modules/oxlint/bin/oxlint', '--type-aware', '--deny-warnings'],
    },
  ],
  [
    {
      name: 'tests',
      yields: false,
      arguments: [
        ...COLLECTING,
        `--max-semi-space-size=${SEMI_SPACE_MB}`,
        '--disable-warning=ExperimentalWarning',
        'node_modules/jest/bin/jest.js',
        ...LEFT_OUT.map((path) => `--testPathIgnorePatterns=${path}`),
        '--',
        ...TEST_FOLDERS.filter((folder) => existsSync(`${ROOT}/${folder}`)),
      ],
    },
    {
      name: 'sim',
      yields: true,
      arguments: [...COLLECTING, 'test/sim/main.ts', `--seeds=${SEED_COUNT}`, '--brief'],
    },
  ],
];

async function run(check: Check): Promise<Outcome> {
  const startedMs = performance.now();
  const { promise, resolve } = Promise.withResolvers<number>();
  const child = spawn(process.execPath, check.arguments, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (check.yields && child.pid !== undefined) {
    setPriority(child.pid, Math.min(constants.priority.PRIORITY_LOW, getPriority() + YIELDING_BY));
  }
  const output: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => output.push(chunk));
  child.on('close', (status) => resolve(status ?? 1));
  const status = await promise;
  const seconds = (performance.now() - startedMs) / 1000;
  process.stdout.write(`── ${check.name}\n${Buffer.concat(output).toString().trim()}\n\n`);
  return { name: check.name, status, seconds };
}

const startedMs = performance.now();
const outcomes: Outcome[] = [];
for (const group of GROUPS) outcomes.push(...(await Promise.all(group.map(run))));
for (const { name, status, seconds } of outcomes) {
  const verdict = status === 0 ? 'ok    ' : 'FAILED';
  process.stdout.write(`${verdict} ${name.padEnd(7)} ${seconds.toFixed(1)} s\n`);
}
const failedCount = outcomes.filter(({ status }) => status !== 0).length;
const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
process.stdout.write(
  failedCount === 0 ? `ok in ${seconds} s\n` : `not ok: ${failedCount} failed\n`,
);
process.exitCode = failedCount === 0 ? 0 : 1;
