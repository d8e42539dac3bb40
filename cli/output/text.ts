import type { CliContext, TextStream } from '../context.ts';

/** Names, messages and reasons come over the network: they must not steer the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ');
}

export type Paint = (text: string) => string;

export interface Palette {
  readonly good: Paint;
  readonly warning: Paint;
  readonly bad: Paint;
  readonly faint: Paint;
}

const plain: Paint = (text) => text;
const NO_COLOURS: Palette = { good: plain, warning: plain, bad: plain, faint: plain };
const COLOURS: Palette = {
  good: ansi('32'),
  warning: ansi('33'),
  bad: ansi('31'),
  faint: ansi('2'),
};

/** Colours on a terminal only, and not where NO_COLOR (no-color.org) or TERM=dumb forbid them. */
export function paletteOf(context: CliContext, stream: TextStream): Palette {
  const { environment } = context;
  const isForbidden = (environment['NO_COLOR'] ?? '') !== '' || environment['TERM'] === 'dumb';
  return stream.isTerminal && !isForbidden ? COLOURS : NO_COLOURS;
}

function ansi(code: string): Paint {
  return (text) => (text === '' ? '' : `\u001b[${code}m${text}\u001b[0m`);
}

export type Tone = keyof Palette;

/** The tone of every word that tells how something is. */
const TONES: Readonly<Record<string, Tone>> = {
  healthy: 'good',
  online: 'good',
  inSync: 'good',
  'in sync': 'good',
  serving: 'good',
  running: 'good',
  degraded: 'warning',
  rebuilding: 'warning',
  starting: 'warning',
  waiting: 'warning',
  stale: 'warning',
  creating: 'warning',
  deleting: 'warning',
  faulted: 'bad',
  failed: 'bad',
  lost: 'bad',
  unknown: 'faint',
  stopped: 'faint',
};

export function painted(state: string, palette: Palette): string {
  const tone = Object.hasOwn(TONES, state) ? TONES[state] : undefined;
  return tone === undefined ? state : palette[tone](state);
}
