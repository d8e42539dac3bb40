/** One initiator port's relation to the logical unit: its session, as SCSI sees it (SAM-5 §4.7). */
import { SENSE_KEY, type Sense } from './sense.ts';

/** ASC and ASCQ of the unit attention conditions that we establish (SPC-4 annex F). */
export const UNIT_ATTENTION = {
  /** Power on, reset, or bus device reset occurred. */
  powerOn: 0x2900,
  /** Bus device reset function occurred: a logical unit or target reset. */
  deviceReset: 0x2903,
  nexusLoss: 0x2907,
  modeParametersChanged: 0x2a01,
  capacityChanged: 0x2a09,
  commandsCleared: 0x2f00,
  inquiryDataChanged: 0x3f03,
} as const;

export type UnitAttention = (typeof UNIT_ATTENTION)[keyof typeof UNIT_ATTENTION];

export class Nexus {
  /** `name,i,0xISID` (RFC 7143 §4.4.3): equal for the same initiator port, and unique. */
  readonly initiatorPort: string;
  readonly #pending: UnitAttention[] = [];

  constructor(initiatorPort: string) {
    this.initiatorPort = initiatorPort;
  }

  get hasUnitAttention(): boolean {
    return this.#pending.length > 0;
  }

  /** The same condition twice is one. A reset comes first and covers what was pending before. */
  raise(attention: UnitAttention): void {
    if (attention === UNIT_ATTENTION.powerOn) this.#pending.length = 0;
    if (!this.#pending.includes(attention)) this.#pending.push(attention);
  }

  /** Reports the oldest condition and clears it. */
  takeUnitAttention(): Sense | null {
    const code = this.#pending.shift();
    return code === undefined ? null : { key: SENSE_KEY.unitAttention, code };
  }
}
