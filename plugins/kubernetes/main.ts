/** `maya provisioner`: makes the volumes that claims of a Kubernetes cluster ask for. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { AgentClient } from '../../core/api/index.ts';
import { CodedError, messageOf } from '../../core/errors.ts';
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
const EXIT_USAGE = 2;
const LEASE_NAME = 'openebs-provisioner';

const LEVELS = ['error', 'warn', 'info', 'debug'] as const;
const FORMATS = ['json', 'text'] as const;

export class UsageError extends CodedError<{ readonly code: 'usage' }> {
  override readonly name = 'UsageError';
}

export interface ProvisionerArguments {
  readonly agent: string;
  /** Null: the Pod's own. */
  readonly kubeconfig: string | null;
  readonly namespace: string | null;
  readonly provisioners: readonly string[];
  readonly level: (typeof LEVELS)[number];
  readonly format: (typeof FORMATS)[number];
}

/** Null: the help was asked for. @throws UsageError */
export function parseProvisionerArguments(argv: readonly string[]): ProvisionerArguments | null {
  const values = parsedValues(argv);
  if (values.help === true) return null;
  if (values.agent === undefined || values.agent === '') throw usage('--agent is missing');
  const { kubeconfig, namespace } = values;
  return {
    agent: values.agent,
    kubeconfig: kubeconfig === undefined ? null : resolve(kubeconfig),
    namespace: namespace ?? null,
    provisioners: provisionersOf(values.drivers),
    level: oneOf('log-level', values['log-level'] ?? 'info', LEVELS),
    format: oneOf('log-format', values['log-format'] ?? 'json', FORMATS),
  };
}

export async function main(argv: string[]): Promise<number> {
  let given: ProvisionerArguments | null;
  try {
    given = parseProvisionerArguments(argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    process.stderr.write(`maya provisioner: ${error.message}\n`);
    return EXIT_USAGE;
  }
  if (given === null) {
    process.stdout.write(PROVISIONER_USAGE);
    return 0;
  }
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

function parsedValues(argv: readonly string[]) {
  const text = { type: 'string' } as const;
  const options = {
    agent: text,
    kubeconfig: text,
    namespace: text,
    drivers: text,
    'log-level': text,
    'log-format': text,
    help: { type: 'boolean', short: 'h' },
  } as const;
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: false }).values;
  } catch (error) {
    const [sentence] = messageOf(error).split(/\. |\n/);
    const valid = Object.keys(options).map((name) => `--${name}`);
    throw usage(`${sentence}; valid options: ${valid.join(', ')}`, error);
  }
}

function provisionersOf(text: string | undefined): readonly string[] {
  if (text === undefined) return PROVISIONERS;
  const names = text.split(',');
  const unknown = names.find((name) => !(PROVISIONERS as readonly string[]).includes(name));
  if (unknown === undefined) return names;
  throw usage(`--drivers ${JSON.stringify(unknown)} is not one of ${PROVISIONERS.join(', ')}`);
}

function oneOf<Word extends string>(option: string, text: string, words: readonly Word[]): Word {
  const word = words.find((candidate) => candidate === text);
  if (word !== undefined) return word;
  throw usage(`--${option} ${JSON.stringify(text)} is not one of ${words.join(', ')}`);
}

function usage(sentence: string, cause?: unknown): UsageError {
  return new UsageError({ code: 'usage' }, `${sentence}`, cause);
}
