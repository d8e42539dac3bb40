/** The JSON payloads of control frames, checked by hand: field by field, nothing assumed. */
import type {
  ConnectionRole,
  HelloRequest,
  PromiseRequest,
  RebuildRequest,
  Refusal,
} from '../../core/wire/frame.ts';

type Fields = Readonly<Record<string, unknown>>;

const TEXT_LENGTH_MAX = 512;
/** Of what is stored in a slot: no character grows when it is written as JSON. */
const STORED_PATTERN = /^[0-9A-Za-z][0-9A-Za-z._:-]{0,127}$/;

export function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Null: not a hello that we understand. */
export function parseHello(payload: Buffer): HelloRequest | null {
  const fields = fieldsOf(payload);
  if (fields === null || fields['protocol'] !== 1) return null;
  const { volumeId, incarnation, replicaId, role, epoch, instance, token, rebuildId } = fields;
  const isComplete =
    isText(volumeId) &&
    isText(incarnation) &&
    isText(replicaId) &&
    isRole(role) &&
    isEpoch(epoch) &&
    isText(instance) &&
    isText(token) &&
    (rebuildId === null || isText(rebuildId));
  if (!isComplete) return null;
  return {
    protocol: 1,
    volumeId,
    incarnation,
    replicaId,
    role,
    epoch,
    instance,
    token,
    rebuildId,
  };
}

export function parsePromise(payload: Buffer): PromiseRequest | null {
  const { epoch, instance } = fieldsOf(payload) ?? {};
  if (!isEpoch(epoch) || epoch === 0 || !isStorable(instance)) return null;
  return { epoch, instance };
}

export function parseRebuild(payload: Buffer): RebuildRequest | null {
  const { action, rebuildId, source } = fieldsOf(payload) ?? {};
  if (!isStorable(rebuildId)) return null;
  switch (action) {
    case 'begin':
    case 'status':
    case 'commit':
    case 'finish':
    case 'abandon':
      return { action, rebuildId };
    case 'copy': {
      if (!isFields(source)) return null;
      const { address, replicaId } = source;
      if (!isText(address) || !isText(replicaId)) return null;
      return { action, rebuildId, source: { address, replicaId } };
    }
    default:
      return null;
  }
}

export function jsonPayload(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

/** Of an answer that is not ok: one sentence, and for `refused` its code. */
export function refusalPayload(code: Refusal['code'], detail: string): Buffer {
  return jsonPayload({ code, detail } satisfies Refusal);
}

export function detailPayload(detail: string): Buffer {
  return jsonPayload({ detail });
}

function fieldsOf(payload: Buffer): Fields | null {
  const value = parseJson(payload);
  return isFields(value) ? value : null;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_LENGTH_MAX;
}

function isStorable(value: unknown): value is string {
  return typeof value === 'string' && STORED_PATTERN.test(value);
}

function isEpoch(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isRole(value: unknown): value is ConnectionRole {
  return value === 'control' || value === 'data' || value === 'source';
}
