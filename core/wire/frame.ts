/**
 * Frames between target and replica, and between replicas during a rebuild. Little-endian.
 *
 *   0 u32 magic    4 u8 version  5 u8 op  6 u8 status  7 u8 flags (0)
 *   8 u64 sequence 16 u64 epoch  24 u64 offsetBytes
 *  32 u32 lengthBytes  36 u32 payloadBytes  40 u32 payloadCrc  44 u32 headerCrc (of bytes 0..43)
 *  48 payload
 *
 * A request has a sequence number of its connection, counting up from 1; its answer carries the
 * same number and the op with ANSWER set. Requests are pipelined; answers come in any order.
 */
export const FRAME_MAGIC = 0x4159_414d;
export const FRAME_VERSION = 1;
export const FRAME_HEADER_BYTES = 48;
/** Set in the op of an answer. */
export const ANSWER = 0x80;

/** Numbers are never reused. An op that is not here is answered `unknownOperation`. */
export const Op = {
  /** JSON HelloRequest → HelloAnswer. The first frame of a connection, and only the first. */
  hello: 1,
  /** offset, length → payload */
  read: 2,
  /** offset, payload → (nothing) */
  write: 3,
  /** offset, length (u32; see UNMAP_BYTES_MAX) → (nothing) */
  unmap: 4,
  /** → (nothing); everything answered before is durable */
  flush: 5,
  /** Control connection: → (nothing). Only answered while `epoch` is the promised one. */
  ping: 6,
  /** Control connection: JSON PromiseRequest → PromiseReply; durable before the answer */
  promise: 7,
  /** Control connection: JSON record → (nothing); the copy is durable before the answer */
  record: 8,
  /** Control connection: JSON RebuildRequest → RebuildAnswer */
  rebuild: 9,
  /** → (nothing): all writes and unmaps received before it have been applied */
  barrier: 10,
  /** offset, length ≤ REGION_BYTES → one u32 CRC32C per CHECKSUM_CHUNK_BYTES, LE */
  checksum: 11,
  /** offset, payload and answer as in extents.ts */
  extents: 12,
  // 13 snapshot, 14 merge, 15 dirtyMap, 16 missedMap: reserved for what comes next
} as const;
export type Op = (typeof Op)[keyof typeof Op];

export const Status = {
  ok: 0,
  /** The op is not known here. */
  unknownOperation: 1,
  /** Malformed, out of range, or not allowed on this connection. */
  badRequest: 2,
  /** A higher epoch is promised (payload: JSON PromiseAnswer). Nothing was done. */
  fenced: 3,
  mediumError: 4,
  noSpace: 5,
  /** Wrong token, volume, incarnation or replica; identity lost; payload: JSON Refusal. */
  refused: 6,
  /** The replica has durably marked itself failed (R14). */
  failed: 7,
  busy: 8,
} as const;
export type Status = (typeof Status)[keyof typeof Status];

/** A frame's header as a plain object; the codec reuses one object for all frames it decodes. */
export interface FrameHeader {
  op: number;
  status: number;
  sequence: number;
  epoch: number;
  offsetBytes: number;
  lengthBytes: number;
  payloadBytes: number;
}

/** Payloads of the control frames. */

export type ConnectionRole =
  /** pings, promises, records, rebuild orders; may inspect at any epoch */
  | 'control'
  /** reads, writes, unmaps, flushes, barriers, checksums, extents of the one target */
  | 'data'
  /** another replica that copies from this one: reads and extents only */
  | 'source';

export interface HelloRequest {
  readonly protocol: 1;
  readonly volumeId: string;
  readonly incarnation: string;
  readonly replicaId: string;
  readonly role: ConnectionRole;
  /** `data` and `source`: must be the promised pair. `control`: 0 and '' to inspect. */
  readonly epoch: number;
  readonly instance: string;
  readonly token: string;
  /** `data`: the rebuild that this session's writes go to, or null for the replica in sync. */
  readonly rebuildId: string | null;
}

export interface HelloAnswer {
  readonly protocol: 1;
  readonly poolId: string;
  readonly promise: PromiseAnswer;
  /** The replica's durable copy of the record, or null if it has none. */
  readonly record: unknown;
  readonly bootId: string;
  readonly mountId: string;
  /** Durably marked failed (R14). */
  readonly failed: boolean;
  /** Bytes allocated in its layers, for planning and display. */
  readonly allocatedBytes: number;
  readonly sizeBytes: number;
}

export interface PromiseRequest {
  readonly epoch: number;
  readonly instance: string;
}

/**
 * A promise with the boot and mount id under which the replica was last known to have all that it
 * must have, stored durably with it: if they differ from the current ones, the cache that held its
 * writes is lost (R15). A new promise takes them over from the one that it replaces, so that no
 * number of targets that start and die makes a lost cache look kept. They are renewed when the
 * promised target stores its own record (it counts the replica in), and by a rebuild.
 */
export interface PromiseMade {
  readonly epoch: number;
  readonly instance: string;
  readonly bootId: string;
  readonly mountId: string;
}

/** The highest promise: epoch 0, instance and ids '' before the first. */
export interface PromiseAnswer extends PromiseMade {
  /**
   * The promise that this one replaced, by another instance; null: there was none. Durable with
   * it: only what was replaced at the very moment of the promise tells a new target who may have
   * written last. The same promise made again changes nothing of all this.
   */
  readonly previous: PromiseMade | null;
}

/** The answer to a promise that was made. */
export interface PromiseReply extends PromiseAnswer {
  /**
   * The replica's copy of the record as it is now that no older target can change it: evidence of
   * a store that was rolled back between hello and promise (R5).
   */
  readonly record: unknown;
}

export type RebuildRequest =
  /** Makes a new empty folder beside the stale one; an unfinished earlier one is dropped. */
  | { readonly action: 'begin'; readonly rebuildId: string }
  /** Copies all that the source has allocated; blocks written live since `begin` are kept. */
  | {
      readonly action: 'copy';
      readonly rebuildId: string;
      readonly source: { readonly address: string; readonly replicaId: string };
    }
  | { readonly action: 'status'; readonly rebuildId: string }
  /**
   * fdatasync of data, index and maps; the new folder becomes the current one, durably; then the
   * promise is stored again with the current boot and mount id, under which all it has was written.
   */
  | { readonly action: 'commit'; readonly rebuildId: string }
  /** The record names this member in sync: the stale folder may go. */
  | { readonly action: 'finish'; readonly rebuildId: string }
  | { readonly action: 'abandon'; readonly rebuildId: string };

export interface RebuildAnswer {
  readonly phase: 'empty' | 'copying' | 'copied' | 'failed' | 'committed' | 'none';
  readonly copiedBytes: number;
  readonly totalBytes: number;
  /** Why the copy failed; null otherwise. */
  readonly error: string | null;
}

export interface Refusal {
  readonly code:
    | 'badToken'
    | 'wrongVolume'
    | 'foreignIncarnation'
    | 'wrongReplica'
    | 'lostIdentity'
    | 'sessionOpen'
    | 'noRoom'
    | 'noSuchRebuild';
  /** One sentence that names what is wrong. */
  readonly detail: string;
}
