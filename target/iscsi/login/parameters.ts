/** What two sides agree on for a session and its one connection (RFC 7143 §13). */
import { assert } from '../../../core/assert.ts';
import { KiB } from '../../../core/units.ts';

export interface SessionParameters {
  readonly headerDigest: boolean;
  readonly dataDigest: boolean;
  readonly initialR2T: boolean;
  readonly immediateData: boolean;
  readonly maxBurstBytes: number;
  readonly firstBurstBytes: number;
  readonly maxOutstandingR2T: number;
  /** What the initiator takes in one data segment. */
  readonly initiatorDataBytesMax: number;
}

/** Where nothing was negotiated (§13). */
export const DEFAULT_PARAMETERS: SessionParameters = {
  headerDigest: false,
  dataDigest: false,
  initialR2T: true,
  immediateData: true,
  maxBurstBytes: 256 * KiB,
  firstBurstBytes: 64 * KiB,
  maxOutstandingR2T: 1,
  initiatorDataBytesMax: 8 * KiB,
};

/** The most of a login's data segment: the default holds until both have declared (§13.12). */
export const LOGIN_DATA_BYTES_MAX = 8 * KiB;
/** What we declare as MaxRecvDataSegmentLength. */
export const TARGET_DATA_BYTES_MAX = 256 * KiB;
/** The most data that comes unasked with or after a command; bounds memory per command. */
export const FIRST_BURST_BYTES_MAX = 256 * KiB;
/** The most data that one R2T asks for. */
export const MAX_BURST_BYTES_MAX = 4096 * KiB;
export const OUTSTANDING_R2T_COUNT_MAX = 8;

assert(FIRST_BURST_BYTES_MAX <= MAX_BURST_BYTES_MAX, 'FirstBurstLength is within MaxBurstLength');
