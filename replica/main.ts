/**
 * The process of one replica:
 *
 *     replica create --spec FILE      mints the folder; doing it again is harmless
 *     replica serve  --config FILE    serves it until SIGTERM
 *
 * One JSON line an event on stderr, the last one `fatal` with the reason when it fails. Exit
 * status: 0 done, 1 failed, 2 wrong usage or configuration.
 */
import { chmod, lstat, readFile, stat, unlink } from 'node:fs/promises';
import type { Server } from 'node:http';
import { codeOf, messageOf } from '../core/errors.ts';
import { ioFlusher, nodePlatform } from '../core/platform/node/index.ts';
import { startStatusServer } from './admin/status-server.ts';
import { ConfigError, configError, parseCreateSpec, parseServeConfig } from './config.ts';
import { createReplica, openReplica, type Replica } from './index.ts';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
/** What is started must end in this time after SIGTERM; then the process goes without it. */
const STOP_DEADLINE_MS = 8_000;
/**
 * Threads of the libuv pool: four for data and two for what takes long (an fdatasync, a hole). Many
 * more cost a third of the speed: with idle threads around, each request wakes one.
 */
const POOL_THREADS = 6;

const USAGE =
  'Usage: maya replica create --spec FILE\n' +
  '       maya replica serve --config FILE\n\n' +
  'FILE is JSON, readable by its owner only (mode 0600).\n';

type Log = (event: string, fields: Readonly<Record<string, unknown>>) => void;

export async function main(argv: string[]): Promise<number> {
  // Read by libuv when the pool is first used; it is not before here.
  process.env['UV_THREADPOOL_SIZE'] ??= `${POOL_THREADS}`;
  const [command, option, path, ...rest] = argv;
  if (command === '--help' || command === '-h') {
    process.stdout.write(USAGE);
    return 0;
  }
  const wanted = command === 'create' ? '--spec' : command === 'serve' ? '--config' : null;
  if (wanted === null || option !== wanted || path === undefined || rest.length > 0) {
    process.stderr.write(USAGE);
    return EXIT_USAGE;
  }
  // Before the first thread of the pool, which the line after it starts.
  const lack = command === 'serve' ? ioFlusher()(true) : null;
  try {
    const text = await readPrivate(path);
    if (lack !== null) log('note', { detail: lack });
    if (command === 'create') await create(text, path);
    else await serve(text, path);
    return 0;
  } catch (error) {
    // An operating error has a code; anything else is a bug and shows where it is.
    const stack = codeOf(error) === null && error instanceof Error ? error.stack : undefined;
    log('fatal', { code: codeOf(error), detail: messageOf(error), stack });
    return error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILURE;
  }
}

async function create(text: string, path: string): Promise<void> {
  const spec = parseCreateSpec(text, path);
  const made = await createReplica(nodePlatform(note), spec);
  log(made, { replica: spec.replicaId, volume: spec.volumeId, sizeBytes: spec.sizeBytes });
}

async function serve(text: string, path: string): Promise<void> {
  const config = parseServeConfig(text, path);
  const stopped = signalled();
  const own: Log = (event, fields) => log(event, { replica: config.replicaId, ...fields });
  const replica = await openReplica(nodePlatform(note), {
    ...config,
    log: own,
    defer: setImmediate,
    broken: (detail) => {
      log('fatal', { code: 'broken', replica: config.replicaId, detail });
      process.exit(EXIT_FAILURE);
    },
  });
  const admin = await startAdmin(config.adminSocket, replica);
  own('serving', { volume: config.volumeId, addresses: replica.addresses, pid: process.pid });
  own('stopping', { signal: await stopped });
  admin.close();
  await withinDeadline(replica.close());
  own('stopped', {});
}

async function startAdmin(socketPath: string, replica: Replica): Promise<Server> {
  const status = async () => ({ pid: process.pid, ...(await replica.status()) });
  const umaskBefore = process.umask(0o077);
  try {
    await removeOldSocket(socketPath);
    const server = await startStatusServer({ socketPath, status });
    await chmod(socketPath, 0o600);
    return server;
  } catch (error) {
    await replica.close();
    throw error;
  } finally {
    process.umask(umaskBefore);
  }
}

/** Of a process that was killed: it had the lock of the folder, which is ours now. */
async function removeOldSocket(path: string): Promise<void> {
  try {
    if ((await lstat(path)).isSocket()) await unlink(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

/** The file holds a secret: nobody else may read it. */
async function readPrivate(path: string): Promise<string> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) {
      const found = (mode & 0o777).toString(8).padStart(4, '0');
      throw configError(path, `its mode is ${found}, others may read its token: chmod 0600 it`);
    }
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw configError(path, `it cannot be read: ${messageOf(error)}`, error);
  }
}

function signalled(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
}

/** A request that is stuck in the kernel keeps nobody waiting: all that was answered is there. */
async function withinDeadline(closing: Promise<void>): Promise<void> {
  const deadline = setTimeout(() => {
    const detail = `what was in flight did not end within ${STOP_DEADLINE_MS} ms`;
    log('fatal', { code: 'stopTimeout', detail });
    process.exit(EXIT_FAILURE);
  }, STOP_DEADLINE_MS);
  await closing;
  clearTimeout(deadline);
}

function note(sentence: string, cause: unknown): void {
  log('note', { detail: sentence, cause: messageOf(cause) });
}

function log(event: string, fields: Readonly<Record<string, unknown>>): void {
  const line = { timestamp: new Date().toISOString(), service: 'replica', event, ...fields };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}
