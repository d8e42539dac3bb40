/** `maya agent`: the agent of this node, in the foreground. */
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentClient, nodeNameSchema, zoneNameSchema } from '../core/api/index.ts';
import {
  COMMON_OPTIONS,
  type LogFormat,
  type LogLevel,
  ProgramArguments,
} from '../core/config/program-arguments.ts';
import { messageOf } from '../core/errors.ts';
import { createLogger } from '../core/log/index.ts';
import type { Logger } from '../core/platform/index.ts';
import { ioFlusher, NodeHttpTransport, nodePlatform } from '../core/platform/node/index.ts';
import packageJson from '../package.json' with { type: 'json' };
import { NodeCommands } from './host/commands.ts';
import { nodePlaces } from './host/places.ts';
import { NodeProcesses } from './host/processes.ts';
import { nodeSystemFiles } from './host/system-files.ts';
import { nodeLogFiles } from './instances/process/log-file.ts';
import { type AgentHandle, openAgent } from './node/agent.ts';
import type { AgentDependencies, AgentOptions } from './node/parts.ts';
import { DEFAULT_POOL_NAME, type PoolOption, parsePoolOption } from './pools/pool-option.ts';

export type { AgentHandle } from './node/agent.ts';
export type { AgentDependencies } from './node/parts.ts';

export const AGENT_USAGE = `Usage: maya agent --apiserver ADDRESS [options]

Runs the agent of this node until SIGTERM or Ctrl-C. Replicas, targets and mounts go on without it,
and the next agent takes them over.

  --apiserver ADDRESS     unix:/path or http://127.0.0.1:PORT
  --node NAME             name of this node (default: its host name)
  --zone NAME             zone of this node, for placement and topology (default: none)
  --state DIR             the agent's own folder (default: /var/lib/openebs/agent)
  --pool PATH[:NAME]      a folder for replicas; repeatable (default: DIR/pool)
  --pool-keep BYTES       kept free on each file system with a pool (default: 5 %, at least 1 GiB)
  --attach-method METHOD  auto, kernel or userspace (default auto: the kernel's, where it has one)
  --docker-socket PATH    serve the Docker volume plugin there
  --csi-socket PATH       serve the CSI plugin there
  --log-level LEVEL       error, warn, info or debug (default info)
  --log-format FORMAT     json or text (default json)
  --help                  this text
`;

const DEFAULT_STATE_FOLDER = '/var/lib/openebs/agent';
const METHODS = ['auto', 'kernel', 'userspace'] as const;

const text = { type: 'string' } as const;
const OPTIONS = {
  apiserver: text,
  node: text,
  zone: text,
  state: text,
  pool: { type: 'string', multiple: true },
  'pool-keep': text,
  'attach-method': text,
  'docker-socket': text,
  'csi-socket': text,
  ...COMMON_OPTIONS,
} as const;
const program = new ProgramArguments('maya agent');
const usage = program.refusal.bind(program);

export interface AgentArguments {
  readonly options: Omit<AgentOptions, 'version' | 'launcher'>;
  readonly dockerSocket: string | null;
  readonly csiSocket: string | null;
  readonly level: LogLevel;
  readonly format: LogFormat;
}

/** Null: the help was asked for. @throws UsageError */
export function parseAgentArguments(argv: readonly string[]): AgentArguments | null {
  const values = program.values(argv, OPTIONS);
  if (values.help === true) return null;
  const stateFolder = resolve(values.state ?? DEFAULT_STATE_FOLDER);
  const pools = (values.pool ?? []).map(poolOf);
  const paths = pools.map(({ path }) => path);
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) throw usage(`--pool ${twice} is there twice`);
  return {
    options: {
      node: nodeNameOf(values.node),
      zone: zoneOf(values.zone),
      stateFolder,
      pools:
        pools.length > 0 ? pools : [{ path: join(stateFolder, 'pool'), name: DEFAULT_POOL_NAME }],
      apiserver: apiserverOf(values.apiserver),
      keepBytes: keepBytesOf(values['pool-keep']),
      attachMethod: program.oneOf('attach-method', values['attach-method'] ?? 'auto', METHODS),
    },
    dockerSocket: socketOf(values['docker-socket']),
    csiSocket: socketOf(values['csi-socket']),
    ...program.logging(values),
  };
}

/** Starts an agent in this process: what a composition root puts front doors beside. */
export async function startAgent(
  options: Omit<AgentOptions, 'version' | 'launcher'> & Partial<AgentOptions>,
  dependencies: Partial<AgentDependencies> = {},
): Promise<AgentHandle> {
  return openAgent(
    { version: packageJson.version, launcher: mayaLauncher(), ...options },
    { ...realDependencies(dependencies.log), ...dependencies },
    (transport) => new AgentClient(transport),
  );
}

/** @returns a front door that is closed before the agent ends. */
export type StartBeside = (
  agent: AgentHandle,
  given: AgentArguments,
  log: Logger,
) => Promise<AsyncDisposable>;

/** @param beside starts what was asked for beside the agent, in the same process. */
export async function main(argv: string[], beside?: StartBeside): Promise<number> {
  const given = program.readOr(() => parseAgentArguments(argv), AGENT_USAGE);
  if (typeof given === 'number') return given;
  const log = createLogger({ service: 'agent', level: given.level, format: given.format });
  const stopped = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.resolve());
  await using agent = await startAgent(given.options, { log });
  await using _door = beside === undefined ? null : await beside(agent, given, log);
  await Promise.race([stopped.promise, agent.exitAsked]);
  log.info('agent ends');
  return 0;
}

/** How this checkout starts its other processes, whatever the working folder. */
function mayaLauncher(): readonly string[] {
  const path = (name: string) => fileURLToPath(new URL(`../bin/${name}`, import.meta.url));
  return [path('node24'), '--disable-warning=ExperimentalWarning', path('maya.ts')];
}

function realDependencies(log = createLogger({ service: 'agent' })): AgentDependencies {
  const platform = nodePlatform((sentence, cause) => log.warn(sentence, { cause }));
  const system = nodeSystemFiles;
  return {
    platform,
    system,
    places: nodePlaces,
    commands: new NodeCommands(),
    processes: new NodeProcesses({ ...platform, system, ioFlusher: ioFlusher() }),
    logFiles: nodeLogFiles,
    transport: (address) => new NodeHttpTransport({ address }),
    log,
    isRoot: process.getuid?.() === 0,
    pid: process.pid,
  };
}

function poolOf(given: string): PoolOption {
  try {
    return parsePoolOption(given);
  } catch (error) {
    throw usage(messageOf(error), error);
  }
}

function nodeNameOf(given: string | undefined): string {
  const name = given ?? hostname().toLowerCase();
  const parsed = nodeNameSchema.safeParse(name);
  if (parsed.success) return parsed.data;
  throw usage(`--node ${JSON.stringify(name)}: ${parsed.error.issues[0]?.message ?? 'no name'}`);
}

function zoneOf(given: string | undefined): string | null {
  if (given === undefined) return null;
  const parsed = zoneNameSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw usage(`--zone ${JSON.stringify(given)}: ${parsed.error.issues[0]?.message ?? 'no zone'}`);
}

function apiserverOf(given: string | undefined): string {
  if (given === undefined) throw usage('--apiserver ADDRESS is missing');
  return program.address('apiserver', given);
}

function socketOf(given: string | undefined): string | null {
  return given === undefined ? null : resolve(given);
}

function keepBytesOf(given: string | undefined): number | null {
  if (given === undefined) return null;
  const bytes = /^[0-9]{1,15}$/.test(given) ? Number(given) : Number.NaN;
  if (Number.isSafeInteger(bytes)) return bytes;
  throw usage(`--pool-keep ${given}: give a whole number of bytes`);
}
