/** One negotiated key at a time: offer in, answer and result out (RFC 7143 §6.2, §13). */
import {
  FIRST_BURST_BYTES_MAX,
  MAX_BURST_BYTES_MAX,
  OUTSTANDING_R2T_COUNT_MAX,
  type SessionParameters,
} from './parameters.ts';
import { decodeNumber } from './text.ts';

export const REJECT = 'Reject';
export const IRRELEVANT = 'Irrelevant';
export const NOT_UNDERSTOOD = 'NotUnderstood';

/** What becomes of an offered value. `change` is null when the default stays. */
export interface Negotiated {
  readonly answer: string;
  readonly change: Partial<SessionParameters> | null;
}

type Negotiate = (offer: string) => Negotiated;

const REFUSED: Negotiated = { answer: REJECT, change: null };

/** The smaller of both numbers. */
function smaller(
  range: { readonly min: number; readonly max: number },
  ours: number,
  change: (value: number) => Partial<SessionParameters> | null,
): Negotiate {
  return (offer) => {
    const offered = decodeNumber(offer);
    if (offered === null || offered < range.min || offered > range.max) return REFUSED;
    const value = Math.min(offered, ours);
    return { answer: `${value}`, change: change(value) };
  };
}

/** The larger of both numbers. */
function larger(range: { readonly min: number; readonly max: number }, ours: number): Negotiate {
  return (offer) => {
    const offered = decodeNumber(offer);
    if (offered === null || offered < range.min || offered > range.max) return REFUSED;
    return { answer: `${Math.max(offered, ours)}`, change: null };
  };
}

/** Yes or No, combined with ours by AND or by OR. */
function flag(
  combine: 'and' | 'or',
  ours: boolean,
  change: (value: boolean) => Partial<SessionParameters> | null,
): Negotiate {
  return (offer) => {
    if (offer !== 'Yes' && offer !== 'No') return REFUSED;
    const offered = offer === 'Yes';
    const value = combine === 'and' ? offered && ours : offered || ours;
    return { answer: value ? 'Yes' : 'No', change: change(value) };
  };
}

/** The first of the offered values that we support (§6.2.1). */
function firstOf(
  supported: readonly string[],
  change: (value: string) => Partial<SessionParameters> | null,
): Negotiate {
  return (offer) => {
    const value = offer.split(',').find((candidate) => supported.includes(candidate));
    return value === undefined ? REFUSED : { answer: value, change: change(value) };
  };
}

function always(answer: string): Negotiate {
  return () => ({ answer, change: null });
}

const keep = () => null;
const DIGESTS = ['CRC32C', 'None'];
const BURST_RANGE = { min: 512, max: 2 ** 24 - 1 };
const SECONDS_RANGE = { min: 0, max: 3600 };
const COUNT_RANGE = { min: 1, max: 65535 };

/** Keys that are answered, in any session type. Those of §13 that only declare are elsewhere. */
export const NEGOTIATED_KEYS: Readonly<Record<string, Negotiate>> = {
  HeaderDigest: firstOf(DIGESTS, (value) => ({ headerDigest: value === 'CRC32C' })),
  DataDigest: firstOf(DIGESTS, (value) => ({ dataDigest: value === 'CRC32C' })),
  MaxConnections: smaller(COUNT_RANGE, 1, keep),
  InitialR2T: flag('or', false, (initialR2T) => ({ initialR2T })),
  ImmediateData: flag('and', true, (immediateData) => ({ immediateData })),
  MaxBurstLength: smaller(BURST_RANGE, MAX_BURST_BYTES_MAX, (maxBurstBytes) => ({
    maxBurstBytes,
  })),
  FirstBurstLength: smaller(BURST_RANGE, FIRST_BURST_BYTES_MAX, (firstBurstBytes) => ({
    firstBurstBytes,
  })),
  MaxOutstandingR2T: smaller(COUNT_RANGE, OUTSTANDING_R2T_COUNT_MAX, (maxOutstandingR2T) => ({
    maxOutstandingR2T,
  })),
  DefaultTime2Wait: larger(SECONDS_RANGE, 0),
  // Nothing of a session outlives its connection with error recovery level 0.
  DefaultTime2Retain: smaller(SECONDS_RANGE, 0, keep),
  DataPDUInOrder: flag('or', true, keep),
  DataSequenceInOrder: flag('or', true, keep),
  ErrorRecoveryLevel: smaller({ min: 0, max: 2 }, 0, keep),
  TaskReporting: firstOf(['RFC3720'], keep),
  iSCSIProtocolLevel: smaller({ min: 0, max: 31 }, 1, keep),
  // Obsolete keys (§13.25): never NotUnderstood.
  IFMarker: always('No'),
  OFMarker: always('No'),
  IFMarkInt: always(REJECT),
  OFMarkInt: always(REJECT),
};

/** Keys that mean nothing in a discovery session (§13, "Irrelevant when"). */
export const NORMAL_SESSION_ONLY: ReadonlySet<string> = new Set([
  'MaxConnections',
  'InitialR2T',
  'ImmediateData',
  'MaxBurstLength',
  'FirstBurstLength',
  'MaxOutstandingR2T',
  'DataPDUInOrder',
  'DataSequenceInOrder',
  'TaskReporting',
]);

const DATA_BYTES_RANGE = { min: 512, max: 2 ** 24 - 1 };

/** MaxRecvDataSegmentLength, which each side declares for itself (§13.12); null: not valid. */
export function decodeDataBytesMax(value: string): number | null {
  const number = decodeNumber(value);
  if (number === null) return null;
  return number < DATA_BYTES_RANGE.min || number > DATA_BYTES_RANGE.max ? null : number;
}
