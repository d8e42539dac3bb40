/** `maya up`: a whole cluster on this machine, until Ctrl-C. */
import { accessSync, constants, existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../core/errors.ts';
import { NodeHttpTransport, nodePlatform } from '../core/platform/node/index.ts';
import { MiB } from '../core/units.ts';
import { ClusterStartError, LocalCluster, type StopOutcome } from './local/cluster.ts';
import { FolderLockError, lockFolder } from './local/folder-lock.ts';
import { type Layout, layoutOf } from './local/layout.ts';
import {
  defaultStateFolder,
  type Person,
  parseUpOptions,
  UP_ARGUMENTS,
  UP_USAGE,
  type UpOptions,
} from './local/options.ts';
import { NodeLocalProcesses } from './local/processes.ts';
import { RunRecordFolder } from './local/run-record.ts';
import { isServed } from './local/served-socket.ts';
import { readyText, stopText, tailOf } from './local/words.ts';

const EXIT_FAILURE = 1;
/** A log above this is put aside as `.1` when the cluster starts. */
const LOG_BYTES_MAX = 16 * MiB;
/** After a refused stop, so long for the second Ctrl-C. */
const FORCE_WINDOW_MS = 5_000;

export async function main(argv: string[]): Promise<number> {
  const options = UP_ARGUMENTS.readOr(() => parseUpOptions(argv, thisPerson()), UP_USAGE);
  if (typeof options === 'number') return options;
  try {
    return await up(withUsableDockerSocket(options));
  } catch (error) {
    if (!(error instanceof FolderLockError)) throw error;
    say(error.message);
    return EXIT_FAILURE;
  }
}

async function up(options: UpOptions): Promise<number> {
  const layout = layoutOf(options);
  makeFolder(layout);
  await using _lock = await lockFolder(layout.state);
  for (const service of [layout.apiserver, ...layout.nodes.map((node) => node.service)]) {
    putAside(service.logPath);
  }
  const { clock } = nodePlatform();
  const cluster = new LocalCluster(layout, {
    processes: new NodeLocalProcesses(clock),
    clock,
    record: new RunRecordFolder(layout.run),
    say,
    transport: (address) => new NodeHttpTransport({ address }),
    isServed,
  });
  const signals = new Signals();
  // The terminal may be gone before the cluster is stopped: then nobody reads.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  const mayactl = mayactlFor(layout);
  const { length: nodeCount } = layout.nodes;
  say(`starting ${nodeCount === 1 ? '1 node' : `${nodeCount} nodes`} in ${layout.state}`);
  const startedMs = clock.nowMs();
  try {
    await cluster.start(signals.first);
    const seconds = (clock.nowMs() - startedMs) / 1_000;
    process.stdout.write(`${readyText(layout, mayactl, seconds)}\n`);
  } catch (error) {
    if (!signals.first.aborted) return await giveUp(cluster, error);
  }
  await signals.come(signals.first);
  return await stop(cluster, signals, mayactl);
}

async function giveUp(cluster: LocalCluster, error: unknown): Promise<number> {
  if (!(error instanceof ClusterStartError)) throw error;
  say(error.message);
  if (error.data.code === 'stray' || error.data.code === 'served') return EXIT_FAILURE;
  process.stderr.write(`${tailOf(error.data.logPath)}\n`);
  await cluster.leaveVolumes();
  return EXIT_FAILURE;
}

async function stop(cluster: LocalCluster, signals: Signals, mayactl: string): Promise<number> {
  say('stopping; Ctrl-C again forces');
  const outcome = await cluster
    .stop({ force: false, signal: signals.second })
    .catch((error: unknown): StopOutcome => {
      if (signals.second.aborted) return { kind: 'failed', problems: [] };
      return { kind: 'failed', problems: [messageOf(error)] };
    });
  const text = stopText(outcome, mayactl);
  if (text === null) return stopped();
  if (!signals.second.aborted) {
    say(text);
    say(`Ctrl-C again within ${FORCE_WINDOW_MS / 1_000} s stops it by force`);
    const window = delay(FORCE_WINDOW_MS, undefined, { ref: false });
    await Promise.race([signals.come(signals.second), window]);
  }
  if (!signals.second.aborted) {
    say('the services go on for them without this terminal; the next maya up takes them over');
    return EXIT_FAILURE;
  }
  say('stopping by force');
  const forced = await cluster.stop({ force: true, signal: signals.third });
  const left = stopText(forced, mayactl);
  if (left === null) return stopped();
  say(left);
  return EXIT_FAILURE;
}

function stopped(): number {
  say('stopped');
  return 0;
}

/** Ctrl-C, SIGTERM and SIGHUP ask to stop; the second one forces, the third waits for nothing. */
class Signals {
  readonly #asked = [new AbortController(), new AbortController(), new AbortController()] as const;

  constructor() {
    let count = 0;
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => {
        this.#asked[count]?.abort(new Error(name));
        count += 1;
      });
    }
  }

  get first(): AbortSignal {
    return this.#asked[0].signal;
  }
  get second(): AbortSignal {
    return this.#asked[1].signal;
  }
  get third(): AbortSignal {
    return this.#asked[2].signal;
  }

  async come(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const came = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => came.resolve());
    await came.promise;
  }
}

/** Where dockerd's plugin folder cannot be had, the first node's socket is in its own folder. */
function withUsableDockerSocket(options: UpOptions): UpOptions {
  if (options.dockerSocket === null) return options;
  const folder = dirname(options.dockerSocket);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    accessSync(folder, constants.W_OK);
    return options;
  } catch (error) {
    say(`no Docker plugin in ${folder}: ${messageOf(error)}`);
    return { ...options, dockerSocket: null };
  }
}

/** @throws FolderLockError */
function makeFolder({ state, logs }: Layout): void {
  try {
    // Not both at once: Node's recursive mkdir says ENOENT of a file system that is read-only.
    mkdirSync(dirname(state), { recursive: true });
    if (!existsSync(state)) mkdirSync(state, { mode: 0o700 });
    mkdirSync(logs, { recursive: true, mode: 0o700 });
    accessSync(state, constants.W_OK);
  } catch (cause) {
    const sentence = `nothing can be kept in ${state} (${messageOf(cause)}): choose another folder`;
    throw new FolderLockError(
      { code: 'unusable', folder: state },
      `${sentence} with --state`,
      cause,
    );
  }
}

function putAside(logPath: string): void {
  const found = statSync(logPath, { throwIfNoEntry: false });
  if (found !== undefined && found.size > LOG_BYTES_MAX) renameSync(logPath, `${logPath}.1`);
}

function thisPerson(): Person {
  return { isRoot: process.getuid?.() === 0, environment: process.env };
}

/** With the variable that leads it to this cluster, unless it finds it by itself. */
function mayactlFor({ state }: Layout): string {
  const path = fileURLToPath(new URL('./mayactl', import.meta.url));
  return state === defaultStateFolder(thisPerson()) ? path : `OPENEBS_STATE=${state} ${path}`;
}

function say(line: string): void {
  const time = new Date().toTimeString().slice(0, 8);
  process.stderr.write(`${time} ${line}\n`);
}
