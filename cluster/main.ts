/** maya apiserver: composition root of the cluster services. */
import { mkdirSync } from 'node:fs';
import * as net from 'node:net';
import { resolve as resolvePath } from 'node:path';
import { COMMON_OPTIONS, ProgramArguments } from '../core/config/program-arguments.ts';
import { CodedError, codeOf, messageOf } from '../core/errors.ts';
import { createLogger, type Logger } from '../core/log/index.ts';
import type { Clock, Files, Random } from '../core/platform/index.ts';
import { NodeHttpTransport, nodePlatform } from '../core/platform/node/index.ts';
import packageJson from '../package.json' with { type: 'json' };
import { openCluster } from './apiserver/apiserver.ts';
import { HttpServer } from './apiserver/http-server.ts';
import { parseListenAddress } from './apiserver/listen-address.ts';
import { DEFAULT_PORTAL_PORTS, parsePortRange } from './apiserver/portal-ports.ts';
import { AgentsRuntime, type AgentTransport } from './runtime/agents/agents-runtime.ts';
import { SqliteStore } from './store/sqlite/sqlite-store.ts';

const USAGE = `Usage: maya apiserver --state DIR [options]

  --state DIR             folder of the store, made if it is not there
  --listen ADDRESS        unix:/path or http://127.0.0.1:PORT (default unix:DIR/apiserver.sock)
  --portal-ports FROM-TO  ports for the volumes' targets (default ${DEFAULT_PORTAL_PORTS})
  --log-level LEVEL       error, warn, info or debug (default info)
  --log-format FORMAT     json or text (default json)
`;

const EXIT_FAILURE = 1;
const OPTIONS = {
  state: { type: 'string' },
  listen: { type: 'string' },
  'portal-ports': { type: 'string' },
  ...COMMON_OPTIONS,
} as const;
const program = new ProgramArguments('maya apiserver');

export interface ApiserverOptions {
  /** Made if it is not there. */
  readonly stateFolder: string;
  /** Default: `unix:` and apiserver.sock in the state folder. */
  readonly listen?: string;
  /** `FROM-TO`. */
  readonly portalPorts?: string;
}

export interface ApiserverDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: Files;
  readonly log: Logger;
  readonly connect: (agentAddress: string) => AgentTransport;
  readonly isPortFree: (port: number) => Promise<boolean>;
}

export interface Apiserver extends AsyncDisposable {
  /** Where it listens, with the port that was chosen where 0 was asked for. */
  readonly address: string;
  /** Resolves when the store is lost: nothing is answered any more, start it again. */
  readonly storeLost: Promise<Error>;
  close(): Promise<void>;
}

export class ApiserverStartError extends CodedError<{
  readonly code: 'stateFolder' | 'locked';
  readonly folder: string;
}> {
  override readonly name = 'ApiserverStartError';
}

/** @throws StoreError, ListenError, PortRangeError, ApiserverStartError: one sentence each. */
export async function startApiserver(
  options: ApiserverOptions,
  dependencies: Partial<ApiserverDependencies> = {},
): Promise<Apiserver> {
  const deps = { ...realDependencies(dependencies.log), ...dependencies };
  const folder = resolvePath(options.stateFolder);
  const listen = parseListenAddress(options.listen ?? `unix:${folder}/apiserver.sock`);
  const range = parsePortRange(options.portalPorts ?? DEFAULT_PORTAL_PORTS);
  await using stack = new AsyncDisposableStack();
  await lockFolder(stack, folder, deps.files);
  const store = stack.use(await SqliteStore.open(`${folder}/store.sqlite`));
  const runtime = stack.use(new AgentsRuntime(deps.connect));
  const lost = Promise.withResolvers<Error>();
  let storeAddress = '';
  const cluster = await openCluster({
    version: packageJson.version,
    store,
    runtime,
    portals: { range, isFree: deps.isPortFree },
    storeAddress: () => storeAddress,
    onStoreLost: lost.resolve,
    ...deps,
  });
  stack.use(cluster.reconciler);
  const server = stack.use(await HttpServer.open(cluster, listen));
  storeAddress = server.address;
  cluster.reconciler.start();
  deps.log.info('apiserver listens', { address: server.address, stateFolder: folder });
  const parts = stack.move();
  const close = async () => parts.disposeAsync();
  return {
    address: server.address,
    storeLost: lost.promise,
    close,
    [Symbol.asyncDispose]: close,
  };
}

export async function main(argv: string[]): Promise<number> {
  const given = program.readOr(() => parseApiserverArguments(argv), USAGE);
  if (typeof given === 'number') return given;
  const { state, listen, ports, level, format } = given;
  const log = createLogger({ service: 'apiserver', level, format });
  await using apiserver = await startApiserver(
    {
      stateFolder: state,
      ...(listen === undefined ? {} : { listen }),
      ...(ports === undefined ? {} : { portalPorts: ports }),
    },
    { log },
  );
  const stopped = Promise.withResolvers<null>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => stopped.resolve(null));
  }
  const failure = await Promise.race([stopped.promise, apiserver.storeLost]);
  if (failure === null) {
    log.info('apiserver stops');
    return 0;
  }
  log.error('store lost, apiserver stops', { error: failure });
  return EXIT_FAILURE;
}

/** Null: the help was asked for. @throws UsageError */
function parseApiserverArguments(argv: readonly string[]) {
  const values = program.values(argv, OPTIONS);
  if (values.help === true) return null;
  const { state, listen, 'portal-ports': ports } = values;
  if (state === undefined || state === '') throw program.refusal('--state DIR is missing');
  return { state, listen, ports, ...program.logging(values) };
}

function realDependencies(log = createLogger({ service: 'apiserver' })): ApiserverDependencies {
  const note = (sentence: string, cause: unknown) => log.warn(sentence, { cause });
  const { clock, random, files } = nodePlatform(note);
  const connect = (address: string) => new NodeHttpTransport({ address });
  return { clock, random, files, log, connect, isPortFree };
}

/** The state folder belongs to one apiserver: others are refused before they touch the store. */
async function lockFolder(
  stack: AsyncDisposableStack,
  folder: string,
  files: Files,
): Promise<void> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = await files.lock(`${folder}/apiserver.lock`);
    stack.defer(() => lock.release());
  } catch (cause) {
    if (codeOf(cause) === 'EBUSY') {
      throw new ApiserverStartError(
        { code: 'locked', folder },
        `another apiserver runs on the state folder ${folder}: stop it first`,
        cause,
      );
    }
    throw new ApiserverStartError(
      { code: 'stateFolder', folder },
      `the state folder ${folder} cannot be used: ${messageOf(cause)}`,
      cause,
    );
  }
}

function isPortFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = net.createServer();
  probe.once('error', () => resolve(false));
  probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
    probe.close(() => resolve(true));
  });
  return promise;
}
