/**
 * The composition root of every service: `maya target`, `maya replica`, ... each loads its own
 * main.ts and nothing else, so that a target or a replica starts fast and stays small.
 */
import { flushCompileCache } from 'node:module';
import { codeOf, messageOf } from '../core/errors.ts';

/** Takes what follows the subcommand; resolves to the exit status (none means 0). */
type Main = (argv: string[]) => Promise<number | void>;

type Subcommand = { readonly summary: string; readonly module: string };

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  up: { summary: 'run a whole cluster on this machine, until Ctrl-C', module: './up.ts' },
  agent: { summary: 'run the agent of this node', module: './agent.ts' },
  apiserver: { summary: 'run the cluster services', module: '../cluster/main.ts' },
  csi: { summary: 'serve the CSI driver of this node', module: '../plugins/csi/main.ts' },
  provisioner: {
    summary: 'make the volumes that a Kubernetes cluster claims',
    module: '../plugins/kubernetes/main.ts',
  },
  target: { summary: 'serve one volume over iSCSI', module: '../target/main.ts' },
  replica: { summary: 'keep one copy of one volume', module: '../replica/main.ts' },
};

/** Node keeps compiled code when a process ends; ours run long, and may end by SIGKILL. */
const COMPILE_CACHE_FLUSH_MS = 2_000;

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

function usage(): string {
  const lines = Object.entries(SUBCOMMANDS).map(
    ([name, { summary }]) => `  ${name.padEnd(11)} ${summary}\n`,
  );
  const more = 'maya SUBCOMMAND --help tells more.\n';
  return `Usage: maya SUBCOMMAND [options]\n\n${lines.join('')}\n${more}`;
}

async function run(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  if (name === undefined) {
    process.stderr.write(usage());
    return EXIT_USAGE;
  }
  if (name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(usage());
    return 0;
  }
  const subcommand = Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined;
  if (subcommand === undefined) {
    const known = Object.keys(SUBCOMMANDS).join(', ');
    process.stderr.write(`maya: there is no subcommand "${name}"; there are: ${known}.\n`);
    return EXIT_USAGE;
  }
  const { main } = (await import(subcommand.module)) as { main: Main };
  return (await main(rest)) ?? 0;
}

/** An operating error (it has a code) is one sentence; anything else is a bug, with its stack. */
function describeFailure(error: unknown): string {
  if (codeOf(error) === null && error instanceof Error) return error.stack ?? error.message;
  return messageOf(error);
}

async function statusOf(argv: readonly string[]): Promise<number> {
  try {
    return await run(argv);
  } catch (error) {
    process.stderr.write(`maya: ${describeFailure(error)}\n`);
    return EXIT_FAILURE;
  }
}

setTimeout(flushCompileCache, COMPILE_CACHE_FLUSH_MS).unref();
// When a service's main is over the process is: a timer or an idle connection keeps nobody waiting.
// Nothing that was written is lost, for files, pipes and terminals are written at once on Linux.
process.exit(await statusOf(process.argv.slice(2)));
