/** `maya csi`: the CSI plugin as a process of its own; `maya agent --csi-socket` runs it inside. */
import { resolve } from 'node:path';
import { AgentClient, type Door } from '../../core/api/index.ts';
import {
  COMMON_OPTIONS,
  type LogFormat,
  type LogLevel,
  ProgramArguments,
} from '../../core/config/program-arguments.ts';
import { messageOf } from '../../core/errors.ts';
import { createLogger } from '../../core/log/index.ts';
import type { HttpTransport, Logger } from '../../core/platform/index.ts';
import { NodeHttpTransport } from '../../core/platform/node/index.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { type Endpoint, parseEndpoint } from './grpc/endpoint.ts';
import { DRIVER_NAME } from './identity.ts';
import { MESOS_PATIENCE_MS, PatientTransport } from './patient-transport.ts';
import { CSI_MODES, type CsiMode, type CsiPluginOptions, startCsiPlugin } from './plugin.ts';
import { serveRegistration } from './registration/registration.ts';

export const CSI_USAGE = `Usage: maya csi --agent ADDRESS [options]

Serves the CSI driver maya.csi.openebs.io until SIGTERM or Ctrl-C, through the agent of this node,
which does the work: the plugin itself mounts nothing and needs no privilege.

  --agent ADDRESS        unix:/path or http://127.0.0.1:PORT (default: OPENEBS_AGENT)
  --endpoint ENDPOINT    unix:///path, unix:path, /path or tcp://127.0.0.1:PORT
                         (default: CSI_ENDPOINT)
  --mode MODE            all, controller or node (default all)
  --orchestrator NAME    kubernetes, nomad, mesos or csi (default csi): who calls, for "in use by"
  --kubelet-registration DIR
                         register with the kubelet of this node, which watches DIR
                         (/var/lib/kubelet/plugins_registry)
  --kubelet-csi-socket PATH
                         what the kubelet calls the endpoint's socket (default: as we do)
  --log-level LEVEL      error, warn, info or debug (default info)
  --log-format FORMAT    json or text (default json)
  --help                 this text
`;

const ORCHESTRATORS = ['kubernetes', 'nomad', 'mesos', 'csi'] as const satisfies readonly Door[];

const text = { type: 'string' } as const;
const OPTIONS = {
  agent: text,
  endpoint: text,
  mode: text,
  orchestrator: text,
  'kubelet-registration': text,
  'kubelet-csi-socket': text,
  ...COMMON_OPTIONS,
} as const;
const program = new ProgramArguments('maya csi');
const usage = program.refusal.bind(program);

export interface CsiArguments {
  readonly agent: string;
  readonly endpoint: Endpoint;
  readonly mode: CsiMode;
  readonly door: (typeof ORCHESTRATORS)[number];
  readonly kubelet: KubeletPlace | null;
  readonly level: LogLevel;
  readonly format: LogFormat;
}

/** Where the kubelet of this node learns of the plugin. */
export interface KubeletPlace {
  readonly registrationFolder: string;
  readonly csiSocket: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

export async function main(argv: string[]): Promise<number> {
  const given = program.readOr(() => parseCsiArguments(argv, process.env), CSI_USAGE);
  if (typeof given === 'number') return given;
  const { agent, endpoint, mode, door, kubelet, level, format } = given;
  const log = createLogger({ service: 'csi', level, format });
  const stopped = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.resolve());
  const client = new AgentClient(transportTo(agent, door));
  const plugin = await startCsi({ endpoint, mode, door, agent: client, log });
  const registration = kubelet === null ? null : await register(kubelet, log);
  await stopped.promise;
  log.info('the CSI plugin ends', {});
  // First the kubelet is told not to call any more.
  await registration?.close();
  await plugin.close();
  return 0;
}

function transportTo(address: string, door: Door): HttpTransport {
  const transport = new NodeHttpTransport({ address });
  if (door !== 'mesos') return transport;
  return new PatientTransport(transport, { patienceMs: MESOS_PATIENCE_MS });
}

function register({ registrationFolder: folder, csiSocket }: KubeletPlace, log: Logger) {
  return serveRegistration({ folder, driver: DRIVER_NAME, csiSocket, log });
}

/** For a composition root that runs it beside the agent. @throws SocketError */
export function startCsi(options: Omit<CsiPluginOptions, 'version'>) {
  return startCsiPlugin({ version: packageJson.version, ...options });
}

/** Null: the help was asked for. @throws UsageError */
export function parseCsiArguments(
  argv: readonly string[],
  environment: Environment,
): CsiArguments | null {
  const values = program.values(argv, OPTIONS);
  if (values.help === true) return null;
  const endpoint = values.endpoint ?? environment['CSI_ENDPOINT'];
  if (endpoint === undefined) throw usage('--endpoint ENDPOINT is missing, and CSI_ENDPOINT too');
  const parsed = endpointOf(endpoint);
  return {
    agent: agentOf(values.agent ?? environment['OPENEBS_AGENT']),
    endpoint: parsed,
    kubelet: kubeletOf(values['kubelet-registration'], values['kubelet-csi-socket'], parsed),
    mode: program.oneOf('mode', values.mode ?? 'all', CSI_MODES),
    door: program.oneOf('orchestrator', values.orchestrator ?? 'csi', ORCHESTRATORS),
    ...program.logging(values),
  };
}

function agentOf(given: string | undefined): string {
  if (given === undefined) throw usage('--agent ADDRESS is missing, and OPENEBS_AGENT too');
  return program.address('agent', given);
}

function kubeletOf(
  folder: string | undefined,
  socket: string | undefined,
  endpoint: Endpoint,
): KubeletPlace | null {
  if (folder === undefined) {
    if (socket === undefined) return null;
    throw usage('--kubelet-csi-socket PATH is nothing without --kubelet-registration DIR');
  }
  if (endpoint.kind !== 'unix') throw usage('a kubelet needs an --endpoint that is a unix socket');
  if (socket !== undefined && !socket.startsWith('/')) {
    throw usage(`--kubelet-csi-socket ${socket}: give an absolute path`);
  }
  return { registrationFolder: resolve(folder), csiSocket: socket ?? endpoint.path };
}

function endpointOf(given: string): Endpoint {
  try {
    return parseEndpoint(given);
  } catch (error) {
    throw usage(messageOf(error), error);
  }
}
