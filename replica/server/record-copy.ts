/** Which copy of the record a replica takes (replication R5): never an older or a foreign one. */
import { messageOf } from '../../core/errors.ts';
import { parseRecord, type VolumeRecord } from '../../core/volume/record.ts';
import { Status } from '../../core/wire/frame.ts';
import { RECORD_BYTES_MAX, type ReplicaIdentity } from '../disk/index.ts';
import type { Rejection } from './control-session.ts';
import { detailPayload, refusalPayload } from './payloads.ts';

/** `same`: the very one that is held. */
export type RecordVerdict = 'store' | 'same' | Rejection;

export function judgeRecord(
  offered: unknown,
  held: unknown,
  identity: ReplicaIdentity,
): RecordVerdict {
  let record: VolumeRecord;
  try {
    record = parseRecord(offered);
  } catch (error) {
    return badRequest(messageOf(error));
  }
  if (record.volumeId !== identity.volumeId) {
    const detail = `the record is of volume ${record.volumeId}, this is ${identity.volumeId}`;
    return rejected(Status.refused, refusalPayload('wrongVolume', detail));
  }
  if (record.incarnation !== identity.incarnation) {
    const detail = `the record is of incarnation ${record.incarnation}, this copy is not`;
    return rejected(Status.refused, refusalPayload('foreignIncarnation', detail));
  }
  // What is stored is written anew, and may be longer than what came.
  if (jsonBytes(offered) > RECORD_BYTES_MAX) {
    return badRequest(`the record has more than ${RECORD_BYTES_MAX} bytes, or too many levels`);
  }
  if (held === null) return 'store';
  const before = parseRecord(held);
  const order = record.epoch - before.epoch || record.generation - before.generation;
  if (order > 0) return 'store';
  if (order === 0 && JSON.stringify(record) === JSON.stringify(before)) return 'same';
  return badRequest(
    `the record of epoch ${record.epoch}, generation ${record.generation} is not newer than the ` +
      `copy here (${before.epoch}, ${before.generation}): was the store rolled back?`,
  );
}

/** Infinity for what is nested so deep that it was read, and cannot be written again. */
function jsonBytes(value: unknown): number {
  try {
    return Buffer.byteLength(JSON.stringify(value));
  } catch (error) {
    if (error instanceof RangeError) return Number.POSITIVE_INFINITY;
    throw error;
  }
}

export function recordVersion(
  held: unknown,
): { readonly epoch: number; readonly generation: number } | null {
  if (held === null) return null;
  const { epoch, generation } = parseRecord(held);
  return { epoch, generation };
}

function badRequest(detail: string): RecordVerdict {
  return rejected(Status.badRequest, detailPayload(detail));
}

function rejected(status: Status, payload: Buffer): RecordVerdict {
  return { status, payload };
}
