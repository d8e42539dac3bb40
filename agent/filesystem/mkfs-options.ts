/**
 * `fsOptions` as a user types them, turned into arguments: a safe subset of mke2fs(8) and
 * mkfs.xfs(8). Nothing that names another device or file, forces, or only pretends is accepted.
 */
import { apiError } from '../../core/api/index.ts';

export type FileSystemKind = 'ext4' | 'xfs';

const NUMBER = /^[0-9]{1,12}$/;
const LABEL = /^[A-Za-z0-9_.-]{1,16}$/;
const FEATURES = /^[\^a-z0-9_]{1,40}(,[\^a-z0-9_]{1,40}){0,15}$/;

/** A comma-separated list of `key` or `key=value`, keys out of a list, values plain words. */
function keyed(...keys: readonly string[]): RegExp {
  const item = `(?:${keys.join('|')})(?:=[A-Za-z0-9_.]{1,32})?`;
  return new RegExp(`^${item}(?:,${item})*$`);
}

/** By option letter: what its value must look like. */
const ACCEPTED: Readonly<Record<FileSystemKind, Readonly<Record<string, RegExp>>>> = {
  ext4: {
    '-b': /^(1024|2048|4096)$/,
    '-C': NUMBER,
    '-E': keyed(
      'stride',
      'stripe_width',
      'stripe-width',
      'lazy_itable_init',
      'lazy_journal_init',
      'num_backup_sb',
      'packed_meta_blocks',
      'resize',
    ),
    '-g': NUMBER,
    '-G': NUMBER,
    '-i': NUMBER,
    '-I': NUMBER,
    '-J': keyed('size', 'fast_commit_size'),
    '-L': LABEL,
    '-m': /^[0-9]{1,2}(\.[0-9]{1,2})?$/,
    '-N': NUMBER,
    '-O': FEATURES,
    '-T': /^[a-z0-9]{1,16}(,[a-z0-9]{1,16}){0,3}$/,
  },
  xfs: {
    '-b': keyed('size'),
    '-d': keyed('agcount', 'agsize', 'sunit', 'swidth', 'su', 'sw', 'noalign'),
    '-i': keyed('maxpct', 'size', 'perblock', 'attr', 'projid32bit', 'sparse', 'nrext64'),
    '-l': keyed('size', 'sunit', 'su', 'version', 'lazy-count'),
    '-L': /^[A-Za-z0-9_.-]{1,12}$/,
    '-m': keyed('bigtime', 'crc', 'finobt', 'inobtcount', 'reflink', 'rmapbt'),
    '-n': keyed('size', 'version', 'ftype'),
    '-s': keyed('size'),
  },
};

/**
 * @param text `-m 1 -O ^has_journal`, or with the value joined to the letter: `-m1`.
 * @throws ApiError badRequest that names the option and the accepted letters.
 */
export function parseMkfsOptions(kind: FileSystemKind, text: string): readonly string[] {
  const accepted = ACCEPTED[kind];
  const words = text.split(/\s+/).filter((word) => word !== '');
  const parsed: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? '';
    const letter = word.slice(0, 2);
    const pattern = Object.hasOwn(accepted, letter) ? accepted[letter] : undefined;
    if (pattern === undefined) throw refused(kind, word, 'is not accepted');
    if (word.length === 2) index += 1;
    const value = word.length === 2 ? (words[index] ?? '') : word.slice(2);
    if (!pattern.test(value)) throw refused(kind, `${letter} ${value}`, 'has a value that is not');
    if (parsed.includes(letter)) throw refused(kind, letter, 'is there twice, which is not');
    parsed.push(letter, value);
  }
  return parsed;
}

function refused(kind: FileSystemKind, what: string, how: string) {
  const letters = Object.keys(ACCEPTED[kind]).join(' ');
  const shown = JSON.stringify(what.slice(0, 64));
  const detail = how === 'is not accepted' ? how : `${how} accepted`;
  return apiError(
    'badRequest',
    `fsOptions: ${shown} ${detail} for ${kind}; accepted options: ${letters}`,
  );
}
