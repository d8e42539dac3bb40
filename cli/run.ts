import { type Command, CommanderError } from 'commander';
import { COMPLETE_COMMAND, candidates, type Names, optionsOf } from './completion.ts';
import { type CliContext, serverAddress, serverOf } from './context.ts';
import { CliError, describe, EXIT_INTERRUPTED, EXIT_USAGE, exitStatusOf } from './failure.ts';
import { makeProgram } from './program.ts';

/** A key press waits no longer than this for names. */
const NAMES_TIMEOUT_MS = 1_000;

/** Runs one command line. @returns the exit status. */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  const program = makeProgram(context);
  let misused: Command | null = null;
  for (const command of allCommands(program)) {
    command.exitOverride((error) => {
      misused ??= command;
      throw error;
    });
  }
  if (argv[0] === COMPLETE_COMMAND) return complete(program, argv.slice(2), context);
  try {
    await program.parseAsync(argv, { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return reportUsage(error, misused ?? program, context);
    return report(error, program, context);
  }
}

function report(error: unknown, program: Command, context: CliContext): number {
  if (context.interrupted.aborted && !(error instanceof CliError)) {
    context.stderr.write('mayactl: interrupted\n');
    return EXIT_INTERRUPTED;
  }
  // A bad address has failed already, in words that need none.
  const address =
    error instanceof CliError ? '' : serverAddress(context, program.opts<{ server?: string }>());
  context.stderr.write(`mayactl: ${describe(error, address)}\n`);
  return exitStatusOf(error);
}

function allCommands(command: Command): readonly Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

/** Help that was asked for is a success; all else is said in one sentence with what is valid. */
function reportUsage(error: CommanderError, command: Command, context: CliContext): number {
  if (error.exitCode === 0) return 0;
  // Commander has printed the help of a command that lacks its subcommand.
  if (error.code === 'commander.help') return EXIT_USAGE;
  const sentence = error.message.replace(/^error: /, '').replace(/\.$/, '');
  context.stderr.write(`mayactl: ${sentence}; ${whatIsValid(error, command)}\n`);
  return EXIT_USAGE;
}

function whatIsValid(error: CommanderError, command: Command): string {
  if (error.code === 'commander.unknownOption') {
    const options = optionsOf(command).flatMap((option) => option.long ?? []);
    return `valid options: ${options.join(', ')}`;
  }
  if (error.code === 'commander.unknownCommand') {
    return `valid commands: ${command.commands.map((next) => next.name()).join(', ')}`;
  }
  return `usage: ${fullName(command)} ${command.usage()}`;
}

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`;
}

async function complete(
  program: Command,
  words: readonly string[],
  context: CliContext,
): Promise<number> {
  const { client } = serverOf(context, { output: 'table' });
  const limits = { timeoutMs: NAMES_TIMEOUT_MS };
  const names: Names = {
    volumes: async () => (await client.listVolumes(limits)).volumes.map((volume) => volume.name),
    nodes: async () => (await client.listNodes(limits)).nodes.map((node) => node.name),
  };
  // Without a cluster there is nothing to offer, and nobody to read why.
  const found = await candidates(program, words, names).catch(() => []);
  context.stdout.write(found.map((word) => `${word}\n`).join(''));
  return 0;
}
