/** `maya target --config FILE`: serves one volume until it is released or superseded. */
import { readFileSync, statSync } from 'node:fs';
import { codeOf, messageOf } from '../core/errors.ts';
import { ioFlusher, NodeHttpTransport, nodePlatform } from '../core/platform/node/index.ts';
import { parseTargetConfig, type TargetConfig, TargetConfigError } from './config.ts';
import type { StopReason } from './replication/state.ts';
import { serve } from './serve.ts';

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;
/** Not to be started again for this attachment until somebody says so. */
const EXIT_HELD = 3;

const USAGE =
  'Usage: maya target --config FILE\n\n' +
  'FILE is JSON, readable by its owner only (mode 0600).\n';

export async function main(argv: readonly string[]): Promise<number> {
  const [option, path] = argv;
  if (option === '--help' || option === '-h') {
    process.stdout.write(USAGE);
    return 0;
  }
  if (option !== '--config' || path === undefined || argv.length !== 2) {
    process.stderr.write(USAGE);
    return EXIT_USAGE;
  }
  // Before the first thread of the libuv pool.
  const lack = ioFlusher()(true);
  process.umask(0o177);
  const config = readConfig(path);
  if (config === null) return EXIT_USAGE;
  const log = (event: string, fields: Readonly<Record<string, unknown>>): void => {
    const line = { time: new Date().toISOString(), event, volume: config.volumeName, ...fields };
    process.stderr.write(`${JSON.stringify(line)}\n`);
  };
  if (lack !== null) log('note', { detail: lack });
  const release = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => release.abort());
  const platform = nodePlatform((sentence) => log('note', { detail: sentence }));
  const transport = new NodeHttpTransport({ address: config.storeAddress });
  log('start', { instance: config.instance, portal: config.portal, pid: process.pid });
  try {
    const why = await serve(config, { platform, transport, log, pid: process.pid }, release.signal);
    return exitOf(why, log);
  } catch (error) {
    const detail = `volume ${config.volumeName}: ${sentenceOf(error, config)}`;
    log('fatal', { detail });
    return EXIT_FAILURE;
  } finally {
    transport.close();
  }
}

function readConfig(path: string): TargetConfig | null {
  try {
    if ((statSync(path).mode & 0o077) !== 0) {
      const what = 'holds secrets and may be read by others: chmod 0600';
      throw new TargetConfigError({ code: 'badConfig' }, `${path}: ${what}`);
    }
    return parseTargetConfig(readFileSync(path, 'utf8'), path);
  } catch (error) {
    process.stderr.write(`maya target: ${messageOf(error)}\n`);
    return null;
  }
}

function sentenceOf(error: unknown, { portal }: TargetConfig): string {
  // Of all that a target listens on only its portal has a port. That one is the volume's for life.
  const isPortTaken = codeOf(error) === 'EADDRINUSE' && error instanceof Error && 'port' in error;
  if (!isPortTaken) return messageOf(error);
  return `another program listens on ${portal}, the volume's own port: stop that one (ss -ltnp)`;
}

type Log = (event: string, fields: Readonly<Record<string, unknown>>) => void;

function exitOf(why: StopReason, log: Log): number {
  if (why.code === 'released') return 0;
  log('fatal', { code: why.code, detail: why.detail });
  return why.code === 'unreleased' ? EXIT_FAILURE : EXIT_HELD;
}
