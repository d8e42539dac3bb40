/** `maya provisioner`: makes the volumes that claims of a Kubernetes cluster ask for. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { AgentClient } from '../../core/api/index.ts';
import {
  COMMON_OPTIONS,
  type LogFormat,
  type LogLevel,
  ProgramArguments,
} from '../../core/config/program-arguments.ts';
import { createLogger } from '../../core/log/index.ts';
import { NodeHttpTransport, nodePlatform } from '../../core/platform/node/index.ts';
import {
  KubernetesApiClient,
  loadKubeConfig,
  ownNamespace,
  parseYaml,
  WatchedView,
} from './client/index.ts';
import { PROVISIONERS } from './names.ts';
import { runProvisioner } from './service.ts';

export const PROVISIONER_USAGE = `Usage: maya provisioner --agent ADDRESS [options]

Makes a volume for each claim of a Kubernetes cluster whose class is served by OpenEBS, and deletes
volumes that are released. Runs until SIGTERM; of several, one works and the others wait.

  --agent ADDRESS       of an OpenEBS agent: unix:/path or http://127.0.0.1:PORT
  --kubeconfig FILE     default: the Pod's own service account
  --namespace NAME      of the lease (default: the Pod's own, else default)
  --drivers NAME,...    provisioners of the classes that are served (default:
                        ${PROVISIONERS.join(',')});
                        beside the official provisioner: openebs.io/provisioner-iscsi
  --log-level LEVEL     error, warn, info or debug (default info)
  --log-format FORMAT   json or text (default json)
  --help                this text
`;

const EXIT_FAILURE = 1;
const LEASE_NAME = 'openebs-provisioner';

const text = { type: 'string' } as const;
const OPTIONS = {
  agent: text,
  kubeconfig: text,
  namespace: text,
  drivers: text,
  ...COMMON_OPTIONS,
} as const;
const program = new ProgramArguments('maya provisioner');
const usage = program.refusal.bind(program);

export interface ProvisionerArguments {
  readonly agent: string;
  /** Null: the Pod's own. */
  readonly kubeconfig: string | null;
  readonly namespace: string | null;
  readonly provisioners: readonly string[];
  readonly level: LogLevel;
  readonly format: LogFormat;
}

/** Null: the help was asked for. @throws UsageError */
export function parseProvisionerArguments(argv: readonly string[]): ProvisionerArguments | null {
  const values = program.values(argv, OPTIONS);
  if (values.help === true) return null;
  if (values.agent === undefined || values.agent === '') throw usage('--agent ADDRESS is missing');
  const { kubeconfig, namespace } = values;
  return {
    agent: program.address('agent', values.agent),
    kubeconfig: kubeconfig === undefined ? null : resolve(kubeconfig),
    namespace: namespace ?? null,
    provisioners: provisionersOf(values.drivers),
    ...program.logging(values),
  };
}

export async function main(argv: string[]): Promise<number> {
  const given = program.readOr(() => parseProvisionerArguments(argv), PROVISIONER_USAGE);
  if (typeof given === 'number') return given;
  return run(given);
}

async function run(given: ProvisionerArguments): Promise<number> {
  const log = createLogger({ service: 'provisioner', level: given.level, format: given.format });
  const { clock, random } = nodePlatform((sentence, cause) => log.warn(sentence, { cause }));
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort());
  const config = loadKubeConfig(given.kubeconfig);
  const place = { namespace: given.namespace ?? ownNamespace(), name: LEASE_NAME };
  log.info('the provisioner starts', { ...place, provisioners: given.provisioners });
  const outcome = await runProvisioner(
    {
      api: new KubernetesApiClient(config, place),
      openView: (changed) => WatchedView.open(config, { clock, log, changed }),
      agent: new AgentClient(new NodeHttpTransport({ address: given.agent })),
      clock,
      random,
      log,
      parseYaml,
      provisioners: given.provisioners,
      self: `${hostname()}_${random.uuid()}`,
    },
    stop.signal,
  );
  if (outcome === 'stopped') return 0;
  log.error('another provisioner leads; this one ends and comes back as one that waits');
  return EXIT_FAILURE;
}

function provisionersOf(text: string | undefined): readonly string[] {
  if (text === undefined) return PROVISIONERS;
  const names = text.split(',');
  const unknown = names.find((name) => !(PROVISIONERS as readonly string[]).includes(name));
  if (unknown === undefined) return names;
  throw usage(`--drivers ${JSON.stringify(unknown)} is not one of ${PROVISIONERS.join(', ')}`);
}
