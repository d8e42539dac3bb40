/** Login request and response (RFC 7143 §11.12, §11.13). */
import { AT, CONTINUES, FINAL, get32, put32 } from '../pdu/format.ts';

/** Stages of a login, as CSG and NSG number them. */
export const STAGE = { security: 0, operational: 1, fullFeature: 3 } as const;

export interface LoginRequest {
  readonly transit: boolean;
  readonly continues: boolean;
  readonly currentStage: number;
  readonly nextStage: number;
  readonly versionMin: number;
  /** Six bytes as hexadecimal digits. */
  readonly isid: string;
  /** 0: a new session. */
  readonly tsih: number;
  readonly taskTag: number;
  readonly connectionId: number;
  readonly commandNumber: number;
}

/** Our version, and the only one there is. */
const VERSION = 0;

export function decodeLoginRequest(header: Buffer, at: number): LoginRequest {
  const flags = header[at + 1] as number;
  return {
    transit: (flags & FINAL) !== 0,
    continues: (flags & CONTINUES) !== 0,
    currentStage: (flags >> 2) & 3,
    nextStage: flags & 3,
    versionMin: header[at + 3] as number,
    isid: header.toString('hex', at + 8, at + 14),
    tsih: header.readUInt16BE(at + 14),
    taskTag: get32(header, at + AT.taskTag),
    connectionId: header.readUInt16BE(at + 20),
    commandNumber: get32(header, at + AT.commandNumber),
  };
}

export interface LoginResponse {
  readonly transit: boolean;
  readonly tsih: number;
  readonly status: number;
  readonly statusNumber: number;
  readonly expectedCommandNumber: number;
  readonly commandNumberMax: number;
}

/** Fills in a header of zeros that has its operation code. */
export function encodeLoginResponse(
  header: Buffer,
  at: number,
  fields: { readonly request: LoginRequest; readonly response: LoginResponse },
): void {
  const { request, response } = fields;
  const stages = (request.currentStage << 2) | (response.transit ? request.nextStage : 0);
  header[at + 1] = (response.transit ? FINAL : 0) | stages;
  header[at + 2] = VERSION;
  header[at + 3] = VERSION;
  header.write(request.isid, at + 8, 'hex');
  header.writeUInt16BE(response.tsih, at + 14);
  put32(header, request.taskTag, at + AT.taskTag);
  put32(header, response.statusNumber, at + AT.statusNumber);
  put32(header, response.expectedCommandNumber, at + AT.expectedCommandNumber);
  put32(header, response.commandNumberMax, at + AT.commandNumberMax);
  header.writeUInt16BE(response.status, at + 36);
}
