/**
 * The membership record: who counts as a copy of the volume, who may write, who may use it.
 * One per volume, in the cluster store, changed only by compare-and-swap (replication R1).
 * Parsed by hand: target and replica load no schema library.
 */
import { CodedError } from '../errors.ts';

export const RECORD_FORMAT_VERSION = 1;

export type MemberState = 'inSync' | 'rebuilding' | 'stale';

export interface Member {
  /** The replica's id (UUID). */
  readonly id: string;
  readonly node: string;
  readonly state: MemberState;
}

/** Who may use the volume (R4). Written by attach, never by a target. */
export interface Attachment {
  readonly token: string;
  readonly node: string;
  /** Initiator names that may log in; `*` alone: any. */
  readonly initiatorNames: readonly string[];
  readonly chapSecret: string | null;
}

export interface FileSystemState {
  readonly kind: 'none' | 'ext4' | 'xfs';
  readonly uuid: string | null;
  /** `formatting` is committed before mkfs, `formatted` with the uuid after it. */
  readonly state: 'blank' | 'formatting' | 'formatted';
}

export interface SnapshotEntry {
  readonly name: string;
  readonly layerId: string;
}

export interface VolumeRecord {
  readonly formatVersion: typeof RECORD_FORMAT_VERSION;
  readonly volumeId: string;
  /** UUID, new only by an operator's salvage (R7): replicas of another one never mix. */
  readonly incarnation: string;
  /** Goes up by one with each target that starts (R2). */
  readonly epoch: number;
  /** Goes up by one with each swap that does not raise the epoch, and with those that do. */
  readonly generation: number;
  /** The target that may change membership, or null before the first one. */
  readonly targetInstance: string | null;
  /** The target instance that stopped after its last answer with everything flushed (R11). */
  readonly releasedBy: string | null;
  readonly attachment: Attachment | null;
  readonly replicas: readonly Member[];
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly fileSystem: FileSystemState;
  readonly snapshots: readonly SnapshotEntry[];
  readonly reservations: readonly never[];
  readonly minInSync: number;
}

/** The record with the version that the store swaps on. */
export interface VersionedRecord {
  readonly version: number;
  readonly record: VolumeRecord;
}

export class RecordFormatError extends CodedError<{
  readonly code: 'badRecord' | 'newerRecord';
  readonly detail: string;
}> {
  override readonly name = 'RecordFormatError';
}

/** @throws RecordFormatError naming the first field that is not as it must be. */
export function parseRecord(value: unknown): VolumeRecord {
  const fields = object(value, 'record');
  const version = fields['formatVersion'];
  if (typeof version === 'number' && version > RECORD_FORMAT_VERSION) {
    throw new RecordFormatError(
      { code: 'newerRecord', detail: `formatVersion ${version}` },
      `the record has format version ${version}, this program knows ${RECORD_FORMAT_VERSION}: ` +
        'it was written by a newer version',
    );
  }
  if (version !== RECORD_FORMAT_VERSION) bad('formatVersion');
  return {
    formatVersion: RECORD_FORMAT_VERSION,
    volumeId: text(fields, 'volumeId'),
    incarnation: text(fields, 'incarnation'),
    epoch: count(fields, 'epoch'),
    generation: count(fields, 'generation'),
    targetInstance: textOrNull(fields, 'targetInstance'),
    releasedBy: textOrNull(fields, 'releasedBy'),
    attachment: parseAttachment(fields['attachment']),
    replicas: list(fields['replicas'], 'replicas').map(parseMember),
    sizeBytes: count(fields, 'sizeBytes'),
    blockSizeBytes: count(fields, 'blockSizeBytes'),
    fileSystem: parseFileSystem(fields['fileSystem']),
    snapshots: list(fields['snapshots'], 'snapshots').map(parseSnapshot),
    reservations: list(fields['reservations'], 'reservations').map(() => bad('reservations')),
    minInSync: count(fields, 'minInSync'),
  };
}

export function inSyncIds(record: VolumeRecord): readonly string[] {
  return record.replicas.filter((member) => member.state === 'inSync').map((member) => member.id);
}

/** The record with one member's state changed; same record if it is not a member. */
export function withMemberState(
  record: VolumeRecord,
  replicaId: string,
  state: MemberState,
): VolumeRecord {
  const replicas = record.replicas.map((member) =>
    member.id === replicaId ? { ...member, state } : member,
  );
  return { ...record, replicas };
}

function parseMember(value: unknown): Member {
  const fields = object(value, 'replicas');
  const state = fields['state'];
  if (state !== 'inSync' && state !== 'rebuilding' && state !== 'stale') bad('replicas.state');
  return { id: text(fields, 'id'), node: text(fields, 'node'), state };
}

function parseAttachment(value: unknown): Attachment | null {
  if (value === null) return null;
  const fields = object(value, 'attachment');
  return {
    token: text(fields, 'token'),
    node: text(fields, 'node'),
    initiatorNames: list(fields['initiatorNames'], 'attachment.initiatorNames').map((name) =>
      typeof name === 'string' ? name : bad('attachment.initiatorNames'),
    ),
    chapSecret: textOrNull(fields, 'chapSecret'),
  };
}

function parseFileSystem(value: unknown): FileSystemState {
  const fields = object(value, 'fileSystem');
  const kind = fields['kind'];
  const state = fields['state'];
  if (kind !== 'none' && kind !== 'ext4' && kind !== 'xfs') bad('fileSystem.kind');
  if (state !== 'blank' && state !== 'formatting' && state !== 'formatted') {
    bad('fileSystem.state');
  }
  return { kind, uuid: textOrNull(fields, 'uuid'), state };
}

function parseSnapshot(value: unknown): SnapshotEntry {
  const fields = object(value, 'snapshots');
  return { name: text(fields, 'name'), layerId: text(fields, 'layerId') };
}

type Fields = Readonly<Record<string, unknown>>;

function bad(field: string): never {
  throw new RecordFormatError(
    { code: 'badRecord', detail: field },
    `the record's field ${field} is missing or not as it must be`,
  );
}

function object(value: unknown, field: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) bad(field);
  return value as Fields;
}

function list(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > 1024) bad(field);
  return value as readonly unknown[];
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  return typeof value === 'string' && value.length > 0 && value.length <= 512 ? value : bad(name);
}

function textOrNull(fields: Fields, name: string): string | null {
  return fields[name] === null ? null : text(fields, name);
}

function count(fields: Fields, name: string): number {
  const value = fields[name];
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : bad(name);
}
