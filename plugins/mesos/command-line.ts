/**
 * The words of the original dvdcli (github.com/rexray/dvdcli 0.2), which Mesos' docker/volume
 * isolator calls as `dvdcli mount --volumedriver=D --volumename=N [--volumeopts=KEY=VALUE]...` and
 * `dvdcli unmount --volumedriver=D --volumename=N`. People may also write `--flag value` and the
 * flags in any case, as the original's own documentation does.
 */
import { CodedError } from '../../core/errors.ts';

/** The one driver behind this command; Marathon calls it `dvdi/driver`. */
export const DRIVER = 'openebs';

export type VolumeOptions = Readonly<Record<string, string>>;

export type Command =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'list' }
  | { readonly kind: 'unmount' | 'path' | 'get' | 'remove'; readonly name: string }
  | { readonly kind: 'create'; readonly name: string; readonly options: VolumeOptions }
  | {
      readonly kind: 'mount';
      readonly name: string;
      readonly options: VolumeOptions;
      /** A volume that does not exist is an error. */
      readonly explicitCreate: boolean;
    };

export interface CommandLine {
  readonly command: Command;
  /** `--agent`; null without. */
  readonly agent: string | null;
}

export class UsageError extends CodedError<{ readonly code: 'usage' }> {
  override readonly name = 'UsageError';
}

const KINDS = ['mount', 'unmount', 'create', 'remove', 'path', 'get', 'list', 'version', 'help'];
const VALUE_FLAGS = ['volumedriver', 'volumename', 'volumeopts', 'agent'];
const SWITCHES = ['explicitcreate', 'help'];

/** @throws UsageError that names the word and what is valid. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const { words, flags } = parseWords(argv);
  const [kind, extra] = words;
  if (kind === undefined || kind === 'help' || isOn(flags, 'help')) {
    return { command: { kind: 'help' }, agent: null };
  }
  if (!KINDS.includes(kind)) {
    throw usage(`there is no command ${shown(kind)}; there are: ${KINDS.join(', ')}`);
  }
  if (extra !== undefined) throw usage(`${shown(extra)} is one word too many`);
  return { command: commandOf(kind, flags), agent: one(flags, 'agent') };
}

function commandOf(kind: string, flags: Flags): Command {
  if (kind !== 'mount' && kind !== 'create') refuse(flags, 'volumeopts', kind);
  if (kind !== 'mount') refuse(flags, 'explicitcreate', kind);
  if (kind === 'version') return { kind };
  checkDriver(one(flags, 'volumedriver'));
  if (kind === 'list') return { kind };
  const name = one(flags, 'volumename');
  if (name === null || name === '') throw usage('name the volume: --volumename=NAME');
  switch (kind) {
    case 'mount':
      return {
        kind,
        name,
        options: optionsOf(flags),
        explicitCreate: isOn(flags, 'explicitcreate'),
      };
    case 'create':
      return { kind, name, options: optionsOf(flags) };
    default:
      return { kind: kind as 'unmount' | 'path' | 'get' | 'remove', name };
  }
}

function checkDriver(driver: string | null): void {
  if (driver === DRIVER) return;
  if (driver === null || driver === '') throw usage(`name the driver: --volumedriver=${DRIVER}`);
  throw usage(`volume driver ${shown(driver)} is not behind this command, only ${DRIVER} is`);
}

/**
 * One option a flag, cut at its first `=` only: values such as `-O a=1,b` stay whole. (The original
 * cuts at every comma and every `=`, and loses what follows.)
 */
function optionsOf(flags: Flags): VolumeOptions {
  const options = new Map<string, string>();
  for (const text of flags.get('volumeopts') ?? []) {
    const at = text.indexOf('=');
    if (at <= 0) throw usage(`volume option ${shown(text)} is not KEY=VALUE`);
    const [key, value] = [text.slice(0, at), text.slice(at + 1)];
    const before = options.get(key);
    if (before !== undefined && before !== value) {
      throw usage(`volume option ${shown(key)} is given twice: ${shown(before)}, ${shown(value)}`);
    }
    options.set(key, value);
  }
  return Object.fromEntries(options);
}

/** Every value that each flag was given, in order. */
type Flags = ReadonlyMap<string, readonly string[]>;

function parseWords(argv: readonly string[]): { words: string[]; flags: Flags } {
  const words: string[] = [];
  const flags = new Map<string, string[]>();
  for (let index = 0; index < argv.length; index += 1) {
    const word = argv[index] ?? '';
    if (word === '-h') flags.set('help', ['true']);
    else if (!word.startsWith('-')) words.push(word);
    else {
      const { flag, inline } = parseFlag(word);
      const isSwitch = SWITCHES.includes(flag);
      if (inline === null && !isSwitch) index += 1;
      const value = inline ?? (isSwitch ? 'true' : argv[index]);
      if (value === undefined) throw usage(`${word} lacks its value`);
      flags.set(flag, [...(flags.get(flag) ?? []), value]);
    }
  }
  return { words, flags };
}

function parseFlag(word: string): { flag: string; inline: string | null } {
  const at = word.indexOf('=');
  const flag = word.slice(2, at < 0 ? undefined : at).toLowerCase();
  const all = [...VALUE_FLAGS, ...SWITCHES];
  if (word.startsWith('--') && all.includes(flag)) {
    return { flag, inline: at < 0 ? null : word.slice(at + 1) };
  }
  const valid = all.map((name) => `--${name}`).join(', ');
  throw usage(`there is no option ${shown(word)}; valid options: ${valid}`);
}

function one(flags: Flags, flag: string): string | null {
  const values = flags.get(flag) ?? [];
  if (values.length > 1) throw usage(`--${flag} is given twice`);
  return values[0] ?? null;
}

/** As Go's flags read a boolean. */
function isOn(flags: Flags, flag: string): boolean {
  const value = one(flags, flag) ?? 'false';
  if (/^(1|t|true)$/i.test(value)) return true;
  if (/^(0|f|false)$/i.test(value)) return false;
  throw usage(`--${flag}=${value} is neither true nor false`);
}

function refuse(flags: Flags, flag: string, kind: string): void {
  if (flags.has(flag)) throw usage(`--${flag} does not go with ${kind}`);
}

function usage(sentence: string): UsageError {
  return new UsageError({ code: 'usage' }, sentence);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
