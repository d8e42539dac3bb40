import type { Command, Option } from 'commander';
import { usageError } from './failure.ts';

export const SHELLS = ['bash', 'zsh', 'fish'];

/** `mayactl __complete -- WORD...` prints what the last word may become, one a line. */
export const COMPLETE_COMMAND = '__complete';

/** They ask the very program that is typed: in a checkout it is `bin/mayactl`, and not on PATH. */
const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# mayactl completion for bash: source <(mayactl completion bash)
_mayactl() {
  local IFS=$'\\n' words program=\${COMP_WORDS[0]/#\\~/$HOME}
  words=$("$program" ${COMPLETE_COMMAND} -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _mayactl mayactl
`,
  zsh: `#compdef mayactl
# mayactl completion for zsh: source <(mayactl completion zsh)
_mayactl() {
  local program=\${(Q)words[1]}
  compadd -- \${(f)"$($program ${COMPLETE_COMMAND} -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"}
}
compdef _mayactl mayactl
`,
  fish: `# mayactl completion for fish: mayactl completion fish | source
function __mayactl_complete
  set -l words (commandline -opc)
  $words[1] ${COMPLETE_COMMAND} -- $words[2..-1] (commandline -ct) 2>/dev/null
end
complete -c mayactl -f -a '(__mayactl_complete)'
`,
};

export function completionScript(shell: string): string {
  const script = Object.hasOwn(SCRIPTS, shell) ? SCRIPTS[shell] : undefined;
  if (script !== undefined) return script;
  throw usageError(`there is no completion for "${shell}"; there is for: ${SHELLS.join(', ')}`);
}

export interface Names {
  volumes(): Promise<readonly string[]>;
  nodes(): Promise<readonly string[]>;
}

/** What the last of `words` may become; the words before it have been typed. */
export async function candidates(
  program: Command,
  words: readonly string[],
  names: Names,
): Promise<readonly string[]> {
  const typed = words.slice(0, -1);
  const last = words.at(-1) ?? '';
  const { command, argumentCount } = commandAt(program, typed);
  const pending = optionOf(command, typed.at(-1));
  const all =
    pending !== undefined && (pending.required || pending.optional)
      ? await valuesOf(pending, names)
      : last.startsWith('-')
        ? optionsOf(command).flatMap((option) => option.long ?? [])
        : await wordsOf(command, argumentCount, names);
  return all.filter((word) => word.startsWith(last));
}

/** Follows the words down to the command they name; options and their values are passed over. */
function commandAt(program: Command, typed: readonly string[]) {
  let command = program;
  let argumentCount = 0;
  for (const [index, word] of typed.entries()) {
    if (word.startsWith('-') || takesValue(command, typed[index - 1])) continue;
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (next === undefined) argumentCount += 1;
    else command = next;
  }
  return { command, argumentCount };
}

function takesValue(command: Command, word: string | undefined): boolean {
  return optionOf(command, word)?.required === true;
}

function optionOf(command: Command, word: string | undefined): Option | undefined {
  if (word === undefined) return undefined;
  return optionsOf(command).find((option) => option.long === word || option.short === word);
}

/** Its own and those that hold for every command. */
export function optionsOf(command: Command): readonly Option[] {
  const above = command.parent === null ? [] : optionsOf(command.parent);
  return [...command.options, ...above];
}

async function valuesOf(option: Option, names: Names): Promise<readonly string[]> {
  if (option.argChoices !== undefined) return option.argChoices;
  if (option.long === '--node') return names.nodes();
  if (option.long === '--fs') return ['ext4', 'xfs', 'none'];
  if (option.long === '--initiator') return ['any'];
  return [];
}

async function wordsOf(
  command: Command,
  argumentCount: number,
  names: Names,
): Promise<readonly string[]> {
  if (command.commands.length > 0) return command.commands.map((next) => next.name());
  if (argumentCount > 0) return [];
  const argument = command.registeredArguments[0]?.name();
  if (argument === 'shell') return SHELLS;
  // A name that is taken is no name for a new volume.
  return argument === 'name' && command.name() !== 'create' ? names.volumes() : [];
}
