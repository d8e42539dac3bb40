/** What replication needs of the world: members (target/remote) and the record's store. */
import type { BlockError } from '../../core/block/block-device.ts';
import type { VolumeRecord } from '../../core/volume/record.ts';
import type {
  HelloAnswer,
  Op,
  PromiseReply,
  RebuildAnswer,
  RebuildRequest,
} from '../../core/wire/frame.ts';

/** Takes the answer to one request; `tag` is what was given with it. */
export interface RequestSink {
  /** `data` is empty but for reads, checksums and extents, and belongs to the receiver. */
  answered(tag: number, error: BlockError | null, data: Buffer): void;
}

export type DataOp = Extract<
  Op,
  | typeof Op.read
  | typeof Op.write
  | typeof Op.unmap
  | typeof Op.flush
  | typeof Op.barrier
  | typeof Op.checksum
  | typeof Op.extents
>;

/** Which epoch a session is for. */
export interface SessionKey {
  readonly epoch: number;
  readonly instance: string;
  /** The rebuild that the session's writes go to; null: the replica itself. */
  readonly rebuildId: string | null;
  /** Boot and mount id, `BOOT/MOUNT`, that the replica must still have (R15). */
  readonly cache: string;
}

export type PromiseResult =
  | { readonly kind: 'promised'; readonly promise: PromiseReply }
  | { readonly kind: 'fenced'; readonly epoch: number; readonly instance: string }
  | { readonly kind: 'failed'; readonly detail: string };

/** One replica as the target reaches it. Nothing here calls back within the call. */
export interface MemberPort {
  readonly id: string;
  /** Keeps a control connection from now on; tells the listener. */
  open(): void;
  /** For good: connections cut, requests dropped without an answer. */
  close(): void;
  /** From its answer on, pings go out and their answers count. */
  promise(epoch: number, instance: string, done: (result: PromiseResult) => void): void;
  /** Pings under a promise made earlier, on a new control connection. */
  startPings(epoch: number): void;
  storeRecord(record: VolumeRecord, done: (stored: boolean) => void): void;
  rebuild(
    request: RebuildRequest,
    done: (error: BlockError | null, answer: RebuildAnswer | null) => void,
  ): void;
  /** Opens the data session if it is not, and opens it again when it breaks while asked for. */
  openSession(key: SessionKey): void;
  /** The session is not to be opened again until the next openSession; requests stay. */
  holdSession(): void;
  /** Ends the session; unanswered requests are answered `disconnected`. */
  dropSession(): void;
  /**
   * Queues a request behind all earlier ones. If the session breaks and opens again, unanswered
   * requests are sent again in order first (R15). `payload` must not change any more.
   */
  submit(
    op: DataOp,
    range: { readonly offsetBytes: number; readonly lengthBytes: number },
    payload: { readonly bytes: Buffer; readonly crc: number } | null,
    sink: RequestSink,
    tag: number,
  ): void;
}

export interface MemberListener {
  /** It said hello on a new control connection. */
  inspected(id: string, hello: HelloAnswer): void;
  refused(id: string, code: string, detail: string): void;
  away(id: string, detail: string): void;
  /** A ping of this epoch, sent at `sentAtMs`, was answered. */
  pinged(id: string, sentAtMs: number): void;
  /** A request or a ping missed its deadline (R17). Told again each second while it lasts. */
  missed(id: string, detail: string): void;
  /** It answered that a higher epoch is promised. */
  fenced(id: string, epoch: number, instance: string): void;
}

export interface StoredRecord {
  readonly version: number;
  readonly record: VolumeRecord;
  /** Where each replica listens, by replica id. */
  readonly addresses: Readonly<Record<string, string>>;
}

export type SwapResult =
  | { readonly kind: 'committed'; readonly version: number }
  /** Nothing was changed. */
  | { readonly kind: 'conflict' };

/** Rejections mean: no answer, the outcome is unknown. */
export interface RecordStore {
  read(): Promise<StoredRecord>;
  swap(version: number, next: VolumeRecord): Promise<SwapResult>;
}

/** One event a line; `detail` for people. */
export type EventLog = (event: string, fields: Readonly<Record<string, unknown>>) => void;
