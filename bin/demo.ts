/** `make demo`: a volume that survives the loss of a replica and of its target, in a minute. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../core/errors.ts';
import { leftoversAfter, removeByForce } from './demo/machine.ts';
import { Scene } from './demo/scene.ts';
import { STORY } from './demo/story.ts';
import { tailOf } from './local/words.ts';

const EXIT_FAILURE = 1;
const EXIT_INTERRUPTED = 130;
const POLITE_STOP_MS = 8_000;
const FORCED_STOP_MS = 25_000;
const GONE_TIMEOUT_MS = 5_000;

async function main(): Promise<number> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    const why = 'because it mounts a file system';
    process.stderr.write(`demo: needs Linux and root, ${why}: sudo make demo\n`);
    return EXIT_FAILURE;
  }
  const interrupt = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interrupt.abort(new Error(`ended by ${name}`)));
  }
  const scene = new Scene(interrupt.signal);
  try {
    await tellStory(scene);
    return 0;
  } catch (error) {
    process.stdout.write('FAILED\n');
    process.stderr.write(`demo: ${messageOf(error)}\n${causesOf(error)}`);
    if (!interrupt.signal.aborted) process.stderr.write(logTails(scene.folder));
    await cleanUp(scene);
    return interrupt.signal.aborted ? EXIT_INTERRUPTED : EXIT_FAILURE;
  }
}

async function tellStory(scene: Scene): Promise<void> {
  const startedMs = performance.now();
  for (const [index, step] of STORY.entries()) {
    process.stdout.write(`${String(index + 1).padStart(2)}. ${step.title} ... `);
    const stepMs = performance.now();
    const seen = await step.tell(scene);
    const seconds = ((performance.now() - stepMs) / 1_000).toFixed(1);
    process.stdout.write(`${seconds} s: ${seen}\n`);
  }
  const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
  process.stdout.write(`\nAll of it in ${seconds} s, and no byte was lost.\n`);
}

/** As polite as it goes, then by force; what nevertheless stays is named. */
async function cleanUp(scene: Scene): Promise<void> {
  process.stderr.write('demo: cleaning up\n');
  // A writer that still has files open would keep the volume in use.
  await scene.quiet();
  if (scene.up !== null && (await scene.up.interrupt(POLITE_STOP_MS)) === null) {
    await scene.up.interrupt(FORCED_STOP_MS);
  }
  await removeByForce(scene.folder);
  const left = await leftoversAfter(scene.folder, GONE_TIMEOUT_MS);
  const verdict = left.length === 0 ? 'nothing was left behind' : `left behind: ${left.join(', ')}`;
  process.stderr.write(`demo: ${verdict}\n`);
}

function causesOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? '' : `  because: ${messageOf(cause)}\n${causesOf(cause)}`;
}

function logTails(folder: string): string {
  const paths = ['logs', 'node-1/logs', 'node-2/logs', 'node-3/logs']
    .map((name) => join(folder, name))
    .filter((path) => existsSync(path))
    .flatMap((path) => readdirSync(path).map((name) => join(path, name)))
    .filter((path) => path.endsWith('.log'));
  return [join(folder, 'up.log'), ...paths].map((path) => `${path}\n${tailOf(path)}\n`).join('');
}

process.exitCode = await main();
