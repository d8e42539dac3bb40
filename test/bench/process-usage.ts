import { readFile } from 'node:fs/promises';
import { KiB } from '../../core/units.ts';

/** USER_HZ: what /proc counts CPU time in, on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

/** User and system time of all its threads so far (proc(5), fields 14 and 15 of stat). */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

export type MemoryUse = { readonly residentBytes: number; readonly residentBytesMax: number };

export async function memoryOf(pid: number): Promise<MemoryUse> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8');
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]);
  return { residentBytes: field('VmRSS') * KiB, residentBytesMax: field('VmHWM') * KiB };
}
