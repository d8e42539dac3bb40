import { AgentClient, ApiserverClient, type NodeView } from '../core/api/index.ts';
import type { HttpTransport } from '../core/platform/index.ts';
import { usageError } from './failure.ts';

export interface TextStream {
  readonly isTerminal: boolean;
  write(text: string): void;
}

/** Everything that the command line meets outside of itself, so that a test can stand in for it. */
export interface CliContext {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly stdinIsTerminal: boolean;
  /** One line from the terminal. */
  ask(question: string): Promise<string>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isRoot: boolean;
  readonly homeFolder: string;
  readonly version: string;
  transport(address: string): HttpTransport;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
  readonly clock: CliClock;
  readonly files: CliFiles;
}

export interface CliFiles {
  /** The file, or the files of a folder without the folders in it, by name. */
  readAll(path: string): Promise<readonly { readonly path: string; readonly text: string }[]>;
  /** Writes it whole or not at all. */
  replace(path: string, text: string): Promise<void>;
}

export interface CliClock {
  nowMs(): number;
  /** Calls again and again until the returned function is called. */
  every(intervalMs: number, call: () => void): () => void;
}

/** What stands before a command's own options. */
export interface GlobalOptions {
  readonly server?: string;
  readonly output: OutputFormat;
}

export const OUTPUT_FORMATS = ['table', 'json', 'yaml'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface Server {
  readonly address: string;
  readonly client: ApiserverClient;
}

/**
 * The apiserver: `--server`, else OPENEBS_APISERVER, else the socket in the state folder
 * (OPENEBS_STATE, else where `maya up` keeps it for this user).
 */
export function serverOf(context: CliContext, options: GlobalOptions): Server {
  const address = serverAddress(context, options);
  return { address, client: new ApiserverClient(context.transport(address)) };
}

export function agentOf(context: CliContext, node: NodeView): AgentClient {
  return new AgentClient(context.transport(node.agentAddress), `the agent of ${node.name}`);
}

export function serverAddress(context: CliContext, { server }: { server?: string }): string {
  const { environment } = context;
  const given = server ?? filled(environment['OPENEBS_APISERVER']);
  if (given !== undefined) return checkedAddress(given.startsWith('/') ? `unix:${given}` : given);
  const ownState = context.isRoot
    ? '/var/lib/openebs'
    : `${context.homeFolder}/.local/share/openebs`;
  return `unix:${filled(environment['OPENEBS_STATE']) ?? ownState}/apiserver.sock`;
}

function checkedAddress(address: string): string {
  const isHttp = address.startsWith('http://') && URL.canParse(address);
  if (isHttp || address.startsWith('unix:/')) return address;
  const shown = JSON.stringify(address);
  throw usageError(`${shown} is no address of an apiserver: give unix:/path or http://host:port`);
}

/** An empty environment variable is none. */
function filled(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
