import { assert } from '../../assert.ts';

export interface Mount {
  readonly id: string;
  /** `major:minor` */
  readonly device: string;
  readonly source: string;
}

/** `\040` and the like, as the kernel escapes blanks in mount points. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/**
 * The mount that holds `realPath`, out of the text of /proc/self/mountinfo (proc(5)):
 * `36 35 98:0 /root /mount/point options [optional …] - type source super-options`.
 * The longest mount point wins; of two on the same point the later one covers the earlier.
 */
export function findMount(mountInfo: string, realPath: string): Mount {
  let best: Mount | null = null;
  let bestLength = -1;
  for (const line of mountInfo.split('\n')) {
    const [id, , device, , point] = line.split(' ');
    if (id === undefined || device === undefined || point === undefined) continue;
    const mountPoint = unescape(point);
    const prefix = mountPoint.endsWith('/') ? mountPoint : `${mountPoint}/`;
    if (realPath !== mountPoint && !realPath.startsWith(prefix)) continue;
    if (mountPoint.length < bestLength) continue;
    const source = line.slice(line.indexOf(' - ') + 3).split(' ')[1] ?? '';
    best = { id, device, source: unescape(source) };
    bestLength = mountPoint.length;
  }
  assert(best !== null, 'every path is on a mount');
  return best;
}
