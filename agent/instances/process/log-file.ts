/** Log files of instances: rotated by size when they start, read for the reason when they end. */
import * as fsp from 'node:fs/promises';
import { KiB, MiB } from '../../../core/units.ts';

const ROTATE_ABOVE_BYTES = 8 * MiB;
/** A running process that says this much is cut: it writes with O_APPEND, so that is safe. */
const CUT_ABOVE_BYTES = 64 * MiB;
const TAIL_BYTES = 16 * KiB;
const REASON_CHARACTERS_MAX = 300;

export interface LogFiles {
  /** Before a start: moves a long log aside (one older is kept). @returns its length in bytes. */
  rotate(path: string): Promise<number>;
  /** What was written since `fromBytes`, at most the last 16 KiB. */
  tail(path: string, fromBytes: number): Promise<string>;
  /** Keeps the log of a process that runs for months from filling the disk. */
  cut(path: string): Promise<void>;
}

async function sizeBytes(path: string): Promise<number> {
  try {
    return (await fsp.stat(path)).size;
  } catch {
    return 0;
  }
}

export const nodeLogFiles: LogFiles = {
  rotate: async (path) => {
    const size = await sizeBytes(path);
    if (size <= ROTATE_ABOVE_BYTES) return size;
    await fsp.rename(path, `${path}.1`);
    return 0;
  },
  tail: async (path, fromBytes) => {
    const size = await sizeBytes(path);
    if (size === 0) return '';
    await using handle = await fsp.open(path, 'r');
    // A log that was cut meanwhile is shorter than where it began.
    const start = Math.max(fromBytes > size ? 0 : fromBytes, size - TAIL_BYTES);
    const buffer = Buffer.alloc(size - start);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, start);
    return buffer.subarray(0, bytesRead).toString('utf8');
  },
  cut: async (path) => {
    if ((await sizeBytes(path)) <= CUT_ABOVE_BYTES) return;
    await fsp.copyFile(path, `${path}.1`);
    await fsp.truncate(path, 0);
  },
};

/**
 * Why a process ended, out of the last lines it wrote: the `detail` of its last
 * `{"event":"fatal",…}`, else its last line of plain text, else nothing.
 */
export function reasonFrom(tail: string): string {
  let plain = '';
  for (const line of tail.split('\n').toReversed()) {
    const event = eventOf(line);
    if (event !== null && event['event'] === 'fatal') return shortened(String(event['detail']));
    if (event === null && plain === '' && line.trim() !== '') plain = line.trim();
  }
  return shortened(plain);
}

function eventOf(line: string): Readonly<Record<string, unknown>> | null {
  if (!line.startsWith('{')) return null;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : null;
  } catch {
    return null;
  }
}

function shortened(text: string): string {
  return text.length <= REASON_CHARACTERS_MAX ? text : `${text.slice(0, REASON_CHARACTERS_MAX)}…`;
}
