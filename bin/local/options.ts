import { homedir } from 'node:os';
import { resolve } from 'node:path';
import { ProgramArguments } from '../../core/config/program-arguments.ts';

export interface UpOptions {
  readonly state: string;
  readonly nodeCount: number;
  /** Of the first node; null: its own folder. */
  readonly dockerSocket: string | null;
  readonly docker: boolean;
  /** `A-B`; null: the apiserver's own. */
  readonly portalPorts: string | null;
}

const OPTIONS = {
  state: { type: 'string' },
  nodes: { type: 'string' },
  'docker-socket': { type: 'string' },
  'no-docker': { type: 'boolean' },
  'portal-ports': { type: 'string' },
  foreground: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;
export const UP_ARGUMENTS = new ProgramArguments('maya up');
const usage = UP_ARGUMENTS.refusal.bind(UP_ARGUMENTS);

export const UP_USAGE = `Usage: maya up [options]

Runs a cluster on this machine until Ctrl-C: the apiserver and one agent for each node, each with
its own folder and pool. Volumes of an earlier run are there again.

  --state DIR           where everything is kept (default: OPENEBS_STATE, else /var/lib/openebs
                        for root, ~/.local/share/openebs for others)
  --nodes COUNT         how many nodes (default 3)
  --docker-socket PATH  the first node's Docker plugin (default for root:
                        /run/docker/plugins/openebs.sock); the others' are in their folders
  --no-docker           no Docker plugins
  --portal-ports A-B    TCP ports of 127.0.0.1 that the volumes' targets listen on
  --foreground          stay in the foreground; it always does
  --help                this text
`;

const NODES_MAX = 16;
export const DOCKER_PLUGIN_SOCKET = '/run/docker/plugins/openebs.sock';

export interface Person {
  readonly isRoot: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Null: the help was asked for. @throws UsageError */
export function parseUpOptions(argv: readonly string[], person: Person): UpOptions | null {
  const values = UP_ARGUMENTS.values(argv, OPTIONS);
  if (values.help === true) return null;
  const docker = values['no-docker'] !== true;
  const socket = values['docker-socket'];
  if (!docker && socket !== undefined) {
    throw usage('--docker-socket and --no-docker contradict each other');
  }
  const ownSocket = person.isRoot ? DOCKER_PLUGIN_SOCKET : null;
  return {
    state: stateFolder(values.state, person),
    nodeCount: nodeCountOf(values.nodes ?? '3'),
    docker,
    dockerSocket: docker ? (socket === undefined ? ownSocket : resolve(socket)) : null,
    portalPorts: portRange(values['portal-ports']),
  };
}

function stateFolder(given: string | undefined, person: Person): string {
  const named = given ?? person.environment['OPENEBS_STATE'];
  return named === undefined || named === '' ? defaultStateFolder(person) : resolve(named);
}

/** Where `mayactl` looks without being told. */
export function defaultStateFolder({ isRoot, environment }: Person): string {
  const home = environment['HOME'] ?? homedir();
  return isRoot ? '/var/lib/openebs' : resolve(home, '.local/share/openebs');
}

function nodeCountOf(text: string): number {
  const count = /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= NODES_MAX) return count;
  throw usage(`--nodes ${text}: give a number from 1 to ${NODES_MAX}`);
}

function portRange(text: string | undefined): string | null {
  if (text === undefined) return null;
  const match = /^([0-9]{1,5})-([0-9]{1,5})$/.exec(text);
  const [first, last] = [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)];
  if (first >= 1 && last <= 65_535 && first <= last) return `${first}-${last}`;
  throw usage(`--portal-ports ${text}: give two ports such as 3260-3360, the lower one first`);
}
