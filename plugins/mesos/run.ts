/** One command line of dvdcli to its exit status. */
import { AgentClient, ApiError } from '../../core/api/index.ts';
import { codeOf, messageOf } from '../../core/errors.ts';
import type { HttpTransport } from '../../core/platform/index.ts';
import { agentAddress, type Surroundings } from './agent-address.ts';
import { DRIVER, parseCommandLine, UsageError } from './command-line.ts';
import { type CommandContext, type Outcome, runCommand } from './commands.ts';

/** Everything that the command meets outside of itself. */
export interface DvdcliContext extends Surroundings, Pick<CommandContext, 'clock' | 'interrupted'> {
  readonly stdout: {
    /** Rejects when nobody reads any more. */
    write(text: string): Promise<void>;
  };
  readonly stderr: { write(text: string): void };
  readonly version: string;
  transport(address: string): HttpTransport;
}

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

const HELP = `Usage: dvdcli COMMAND --volumedriver=${DRIVER} [--volumename=NAME] [options]

Mounts OpenEBS volumes for the docker/volume isolator of Mesos, on the node that it runs on.

  mount     mount NAME, made with --volumeopts if it is not there; prints the path
  unmount   let go of NAME, however often it was mounted
  create    make NAME
  remove    delete NAME and all its data
  path      print where NAME is mounted here; nothing when it is not
  get       print NAME if it is there
  list      print the names of all volumes
  version   of this command

  --volumeopts=KEY=VALUE   size=10G, replicas=3, fs=xfs, ...; again for each one. A size without a
                           letter is in GiB, as Marathon writes it
  --explicitcreate         mount: a volume that is not there is an error
  --agent=ADDRESS          unix:/path or http://host:port (else OPENEBS_AGENT, else the socket in
                           OPENEBS_STATE, /var/lib/openebs for root)
`;

/** Mesos shows what stands on stderr when the status is not 0; stdout is the answer alone. */
export async function runDvdcli(argv: readonly string[], context: DvdcliContext): Promise<number> {
  try {
    const { command, agent } = parseCommandLine(argv);
    if (command.kind === 'help') return await print(HELP, context);
    if (command.kind === 'version') {
      return await print(`OpenEBS dvdcli ${context.version}\n`, context);
    }
    const address = agentAddress(agent, context);
    const client = new AgentClient(context.transport(address), `the agent at ${address}`);
    return await answer(await runCommand(command, { ...context, agent: client }), context);
  } catch (error) {
    context.stderr.write(`dvdcli: ${describe(error)}\n`);
    return error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE;
  }
}

/** A path that nobody has read is a mount that nobody would ever let go of. */
async function answer({ stdout, undo }: Outcome, context: DvdcliContext): Promise<number> {
  try {
    return await print(stdout, context);
  } catch (error) {
    await undo();
    throw error;
  }
}

async function print(text: string, context: DvdcliContext): Promise<number> {
  if (text !== '') await context.stdout.write(text);
  return 0;
}

/** An operating error is one sentence; a bug keeps its stack. */
function describe(error: unknown): string {
  if (error instanceof ApiError && error.data.code === 'unavailable' && error.cause !== undefined) {
    return `${error.message}: is it running? OPENEBS_AGENT or --agent says where it is`;
  }
  const isBug = error instanceof Error && codeOf(error) === null;
  return isBug ? (error.stack ?? error.message) : messageOf(error);
}
