/** Numbers of the PDU formats (RFC 7143 §11). */

export const HEADER_BYTES = 48;
export const DIGEST_BYTES = 4;

/** Bits of byte 0. */
export const OPCODE_MASK = 0x3f;
export const IMMEDIATE = 0x40;

/** From the initiator. */
export const REQUEST = {
  nopOut: 0x00,
  command: 0x01,
  taskManagement: 0x02,
  login: 0x03,
  text: 0x04,
  dataOut: 0x05,
  logout: 0x06,
  snack: 0x10,
} as const;

/** From the target. */
export const RESPONSE = {
  nopIn: 0x20,
  command: 0x21,
  taskManagement: 0x22,
  login: 0x23,
  text: 0x24,
  dataIn: 0x25,
  logout: 0x26,
  readyToTransfer: 0x31,
  asynchronous: 0x32,
  reject: 0x3f,
} as const;

/** Bits of byte 1. */
export const FINAL = 0x80;
/** Of login and text: more of the same text follows. */
export const CONTINUES = 0x40;
/** Of a SCSI command. */
export const READS = 0x40;
export const WRITES = 0x20;
export const ATTRIBUTE_MASK = 0x07;
/** Of a SCSI response and of a Data-In with status. */
export const OVERFLOW = 0x04;
export const UNDERFLOW = 0x02;
/** Of a Data-In: it carries the status too. */
export const HAS_STATUS = 0x01;

/** "No tag", as a signed number, which is how tags and sequence numbers are kept. */
export const NO_TAG = -1;

/** Where fields stand in the basic header segment. */
export const AT = {
  ahsWords: 4,
  dataBytes: 5,
  lun: 8,
  taskTag: 16,
  /** Data-Out, NOP, text: target transfer tag. SCSI command: expected data transfer length. */
  transferTag: 20,
  expectedBytes: 20,
  referencedTaskTag: 20,
  commandNumber: 24,
  statusNumber: 24,
  expectedStatusNumber: 28,
  expectedCommandNumber: 28,
  commandNumberMax: 32,
  referencedCommandNumber: 32,
  cdb: 32,
  dataNumber: 36,
  bufferOffset: 40,
  desiredBytes: 44,
  residualCount: 44,
} as const;

/** Reasons of a Reject (RFC 7143 §11.17.1). */
export const REJECT = {
  dataDigest: 0x02,
  snack: 0x03,
  protocolError: 0x04,
  notSupported: 0x05,
  tooManyImmediate: 0x06,
  taskInProgress: 0x07,
  invalidField: 0x09,
  outOfResources: 0x0a,
} as const;

/** Task management functions (§11.5.1) and responses (§11.6.1). */
export const TASK_FUNCTION = {
  abortTask: 1,
  abortTaskSet: 2,
  clearAca: 3,
  clearTaskSet: 4,
  unitReset: 5,
  targetWarmReset: 6,
  targetColdReset: 7,
  taskReassign: 8,
} as const;

export const TASK_RESPONSE = {
  complete: 0,
  noSuchTask: 1,
  noSuchUnit: 2,
  reassignNotSupported: 4,
  notSupported: 5,
  rejected: 255,
} as const;

/** Asynchronous events (§11.9.1). */
export const ASYNCHRONOUS_EVENT = { logoutRequested: 1, connectionDropped: 2 } as const;

/** A 24-bit length. */
export function getDataBytes(header: Buffer, at: number): number {
  return (
    ((header[at + 5] as number) << 16) |
    ((header[at + 6] as number) << 8) |
    (header[at + 7] as number)
  );
}

/** Signed, so that the engine keeps it as a small integer. */
export function get32(bytes: Buffer, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

export function put32(bytes: Buffer, value: number, at: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function put24(bytes: Buffer, value: number, at: number): void {
  bytes[at] = value >>> 16;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value;
}

/** Data segments are filled up to whole words. */
export function paddingBytesOf(dataBytes: number): number {
  return -dataBytes & 3;
}
