/** Sense data: what a CHECK CONDITION says (SPC-4 §4.5). */

export const SENSE_KEY = {
  noSense: 0x0,
  recoveredError: 0x1,
  notReady: 0x2,
  mediumError: 0x3,
  hardwareError: 0x4,
  illegalRequest: 0x5,
  unitAttention: 0x6,
  dataProtect: 0x7,
  abortedCommand: 0xb,
  miscompare: 0xe,
} as const;

export type SenseKey = (typeof SENSE_KEY)[keyof typeof SENSE_KEY];

/** Where in the CDB or in the parameter list the fault is (SPC-4 §4.5.2.4.2). */
export interface FieldPointer {
  readonly in: 'cdb' | 'parameterList';
  readonly byteIndex: number;
  /** The most significant bit of the field, or null when the whole byte is meant. */
  readonly bitIndex: number | null;
}

export interface Sense {
  readonly key: SenseKey;
  /** ASC and ASCQ as one number, `0x2400` being 24h/00h. */
  readonly code: number;
  readonly field?: FieldPointer;
  /** The INFORMATION field; left out where it does not fit. */
  readonly information?: number;
}

export const SENSE: Readonly<Record<SenseName, Sense>> = {
  none: { key: SENSE_KEY.noSense, code: 0x0000 },
  writeError: { key: SENSE_KEY.mediumError, code: 0x0c00 },
  unexpectedUnsolicitedData: { key: SENSE_KEY.abortedCommand, code: 0x0c0c },
  wrongAmountOfData: { key: SENSE_KEY.abortedCommand, code: 0x0c0d },
  invalidInformationUnit: { key: SENSE_KEY.illegalRequest, code: 0x0e03 },
  unrecoveredReadError: { key: SENSE_KEY.mediumError, code: 0x1100 },
  parameterListLength: { key: SENSE_KEY.illegalRequest, code: 0x1a00 },
  miscompare: { key: SENSE_KEY.miscompare, code: 0x1d00 },
  invalidOperationCode: { key: SENSE_KEY.illegalRequest, code: 0x2000 },
  blockOutOfRange: { key: SENSE_KEY.illegalRequest, code: 0x2100 },
  invalidFieldInCdb: { key: SENSE_KEY.illegalRequest, code: 0x2400 },
  unitNotSupported: { key: SENSE_KEY.illegalRequest, code: 0x2500 },
  invalidFieldInParameters: { key: SENSE_KEY.illegalRequest, code: 0x2600 },
  softwareWriteProtected: { key: SENSE_KEY.dataProtect, code: 0x2702 },
  spaceAllocationFailed: { key: SENSE_KEY.dataProtect, code: 0x2707 },
  savingNotSupported: { key: SENSE_KEY.illegalRequest, code: 0x3900 },
  unitFailure: { key: SENSE_KEY.hardwareError, code: 0x3e01 },
  internalTargetFailure: { key: SENSE_KEY.hardwareError, code: 0x4400 },
  protocolServiceCrc: { key: SENSE_KEY.abortedCommand, code: 0x4705 },
  invalidMessage: { key: SENSE_KEY.abortedCommand, code: 0x4900 },
};

export type SenseName =
  | 'none'
  | 'writeError'
  | 'unexpectedUnsolicitedData'
  | 'wrongAmountOfData'
  | 'invalidInformationUnit'
  | 'unrecoveredReadError'
  | 'parameterListLength'
  | 'miscompare'
  | 'invalidOperationCode'
  | 'blockOutOfRange'
  | 'invalidFieldInCdb'
  | 'unitNotSupported'
  | 'invalidFieldInParameters'
  | 'softwareWriteProtected'
  | 'spaceAllocationFailed'
  | 'savingNotSupported'
  | 'unitFailure'
  | 'internalTargetFailure'
  | 'protocolServiceCrc'
  | 'invalidMessage';

export function invalidFieldInCdb(byteIndex: number, bitIndex: number | null = null): Sense {
  return { ...SENSE.invalidFieldInCdb, field: { in: 'cdb', byteIndex, bitIndex } };
}

export function invalidFieldInParameters(byteIndex: number, bitIndex: number | null = null): Sense {
  const field = { in: 'parameterList', byteIndex, bitIndex } as const;
  return { ...SENSE.invalidFieldInParameters, field };
}

/** How sense data is laid out; the D_SENSE bit of the control mode page chooses. */
export type SenseFormat = 'fixed' | 'descriptor';

export function encodeSense(sense: Sense, format: SenseFormat): Buffer {
  return format === 'fixed' ? encodeFixed(sense) : encodeDescriptors(sense);
}

const FIXED_BYTES = 18;
const CURRENT_FIXED = 0x70;
const CURRENT_DESCRIPTOR = 0x72;
const VALID = 0x80;

/** SPC-4 §4.5.3. */
function encodeFixed(sense: Sense): Buffer {
  const bytes = Buffer.alloc(FIXED_BYTES);
  bytes[0] = CURRENT_FIXED;
  if (sense.information !== undefined && sense.information <= 0xffffffff) {
    bytes[0] = CURRENT_FIXED | VALID;
    bytes.writeUInt32BE(sense.information, 3);
  }
  bytes[2] = sense.key;
  bytes[7] = FIXED_BYTES - 8;
  bytes.writeUInt16BE(sense.code, 12);
  if (sense.field !== undefined) putField(bytes, 15, sense.field);
  return bytes;
}

/** SPC-4 §4.5.2: an information descriptor and a sense key specific one, each when it applies. */
function encodeDescriptors(sense: Sense): Buffer {
  const information = Number.isSafeInteger(sense.information) ? sense.information : undefined;
  const informationBytes = information === undefined ? 0 : 12;
  const fieldBytes = sense.field === undefined ? 0 : 8;
  const bytes = Buffer.alloc(8 + informationBytes + fieldBytes);
  bytes[0] = CURRENT_DESCRIPTOR;
  bytes[1] = sense.key;
  bytes.writeUInt16BE(sense.code, 2);
  bytes[7] = informationBytes + fieldBytes;
  if (information !== undefined) {
    bytes[9] = 0x0a;
    bytes[10] = VALID;
    bytes.writeBigUInt64BE(BigInt(information), 12);
  }
  if (sense.field !== undefined) {
    const at = 8 + informationBytes;
    bytes[at] = 0x02;
    bytes[at + 1] = 0x06;
    putField(bytes, at + 4, sense.field);
  }
  return bytes;
}

/** The three sense key specific bytes: SKSV, C/D, BPV and bit pointer, then the field pointer. */
function putField(bytes: Buffer, at: number, field: FieldPointer): void {
  const inCdb = field.in === 'cdb' ? 0x40 : 0;
  const bit = field.bitIndex === null ? 0 : 0x08 | field.bitIndex;
  bytes[at] = 0x80 | inCdb | bit;
  bytes.writeUInt16BE(field.byteIndex, at + 1);
}
