import { CodedError } from '../../core/errors.ts';

/**
 * 3260 is iSCSI's port (RFC 7143 §4.2.7); the rest is free for use on most machines, but for the
 * services below.
 */
export const DEFAULT_PORTAL_PORTS = '3260-4259';

/** MySQL, LDAP catalogue, RDP, STUN, distcc, Subversion, Bonjour's neighbours: too often there. */
const WELL_KNOWN_PORTS = new Set([3268, 3269, 3306, 3389, 3478, 3632, 3690, 4000, 4200]);

export class PortRangeError extends CodedError<{ readonly code: 'badPortRange' }> {
  override readonly name = 'PortRangeError';
}

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** @throws PortRangeError with one sentence. */
export function parsePortRange(text: string): PortRange {
  const match = /^([0-9]{1,5})-([0-9]{1,5})$/.exec(text);
  const from = Number(match?.[1]);
  const to = Number(match?.[2]);
  if (match !== null && from >= 1 && from <= to && to <= 65_535) return { from, to };
  throw new PortRangeError(
    { code: 'badPortRange' },
    `--portal-ports ${JSON.stringify(text.slice(0, 64))} is not FROM-TO with ports from 1 to ` +
      `65535, such as ${DEFAULT_PORTAL_PORTS}`,
  );
}

export interface PortalPorts {
  readonly range: PortRange;
  /** Nobody listens there now. */
  readonly isFree: (port: number) => Promise<boolean>;
}

/** The lowest port that no volume has and nobody listens on; null: there is none. */
export async function choosePort(
  { range, isFree }: PortalPorts,
  taken: ReadonlySet<number>,
): Promise<number | null> {
  for (let port = range.from; port <= range.to; port += 1) {
    if (taken.has(port) || WELL_KNOWN_PORTS.has(port)) continue;
    if (await isFree(port)) return port;
  }
  return null;
}

export function portOf(portal: string): number {
  return Number(portal.slice(portal.lastIndexOf(':') + 1));
}
