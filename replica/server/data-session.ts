/**
 * The requests of one data connection (or of a replica that copies from us), started in the order
 * received, so many at once. The chain keeps overlapping ones in that order; answers go out as
 * they come.
 */
import type { BlockError } from '../../core/block/block-device.ts';
import { REGION_BYTES, TRANSFER_BYTES_MAX, UNMAP_BYTES_MAX } from '../../core/limits.ts';
import { MiB } from '../../core/units.ts';
import { decodeExtentsRequest, EXTENTS_MAX, encodeExtents } from '../../core/wire/extents.ts';
import { type FrameHeader, Op, type PromiseAnswer, Status } from '../../core/wire/frame.ts';
import type { Chain } from '../chain/index.ts';
import { Barriers, type WriteGroup } from './barriers.ts';
import { detailPayload, jsonPayload } from './payloads.ts';
import type { FrameHandler, Peer } from './peer.ts';
import { STATUS_OF_BLOCK_ERROR } from './statuses.ts';

/** Requests that are at the disk, or wait for a thread of the pool (see main.ts), at once. */
const DISK_REQUESTS_MAX = 16;
/** Above it nothing more is read from the connection; below the half it goes on. */
const QUEUED_REQUESTS_MAX = 512;
const QUEUED_BYTES_MAX = 32 * MiB;
/** While so many bytes of answers are not taken by the other side, nothing new is started. */
const ANSWERS_QUEUED_BYTES_MAX = 16 * MiB;

const NO_PAYLOAD = Buffer.alloc(0);

const DATA_OPS: ReadonlySet<number> = new Set<number>([
  Op.read,
  Op.write,
  Op.unmap,
  Op.flush,
  Op.barrier,
  Op.checksum,
  Op.extents,
]);
const SOURCE_OPS: ReadonlySet<number> = new Set<number>([Op.read, Op.extents]);
const KNOWN_OPS: ReadonlySet<number> = new Set<number>(Object.values(Op));

export interface DataSessionOptions {
  readonly peer: Peer;
  readonly role: 'data' | 'source';
  readonly chain: Chain;
  readonly epoch: number;
  readonly promise: () => PromiseAnswer;
  /** While it says so nothing is started: promises and records go first. `wake` tells the end. */
  readonly held: () => boolean;
  /** Once, when it was cut and nothing of it is in flight any more. */
  readonly onDrained: (session: DataSession) => void;
}

/** A request between its arrival and its answer; used again for later ones. */
class DataRequest {
  op = 0;
  sequence = 0;
  epoch = 0;
  offsetBytes = 0;
  lengthBytes = 0;
  payload: Buffer = NO_PAYLOAD;
  group: WriteGroup | null = null;
  readonly blockDone: (error: BlockError | null) => void;
  readonly readDone: (error: BlockError | null, data: Buffer) => void;

  constructor(finish: (request: DataRequest, error: BlockError | null, data: Buffer) => void) {
    this.blockDone = (error) => finish(this, error, NO_PAYLOAD);
    this.readDone = (error, data) => finish(this, error, data);
  }
}

export class DataSession implements FrameHandler {
  readonly chain: Chain;
  readonly epoch: number;
  readonly role: 'data' | 'source';
  readonly #options: DataSessionOptions;
  readonly #peer: Peer;
  readonly #ops: ReadonlySet<number>;
  readonly #barriers: Barriers;
  readonly #idleRequests: DataRequest[] = [];
  #queue: DataRequest[] = [];
  #queuedBytes = 0;
  #onDisk = 0;
  #inFlight = 0;
  #paused = false;
  #quiet = false;
  #cut = false;
  #isDrained = false;
  readonly #whenIdle: (() => void)[] = [];

  constructor(options: DataSessionOptions) {
    this.#options = options;
    this.#peer = options.peer;
    this.chain = options.chain;
    this.epoch = options.epoch;
    this.role = options.role;
    this.#ops = options.role === 'data' ? DATA_OPS : SOURCE_OPS;
    this.#barriers = new Barriers((sequence) => {
      this.#peer.answer({ op: Op.barrier, sequence, epoch: this.epoch }, Status.ok);
    });
  }

  get peer(): Peer {
    return this.#peer;
  }

  /** Started and not ended, whether answered to somebody or not. */
  get inFlight(): number {
    return this.#inFlight;
  }

  frame(header: Readonly<FrameHeader>, payload: Buffer): void {
    if (this.#quiet) return;
    if (header.epoch !== this.epoch) {
      this.#peer.answer(header, Status.fenced, jsonPayload(this.#options.promise()));
    } else if (!this.#ops.has(header.op)) {
      this.#refuse(header);
    } else if (header.op === Op.barrier) {
      this.#barriers.add(header.sequence);
    } else {
      const problem = shapeProblem(header, payload);
      if (problem === null) this.#take(header, payload);
      else this.#peer.answer(header, Status.badRequest, detailPayload(problem));
    }
  }

  /** Drops what is not started; what is started ends without an answer. */
  cut(detail: string): void {
    if (this.#cut) return;
    this.#cut = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#peer.cut(detail);
    this.#tellIdle();
  }

  closed(): void {
    this.cut('the connection closed');
  }

  drained(): void {
    this.#start();
  }

  /** Nothing is held any more. */
  wake(): void {
    this.#start();
  }

  /**
   * Nothing more is taken, what is queued is dropped, what is started is answered. Resolves when
   * nothing is in flight; the connection stays.
   */
  quiesce(): Promise<void> {
    this.#quiet = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#peer.pause();
    return this.idle();
  }

  /** Resolves when nothing is in flight. */
  idle(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle.push(resolve);
    });
  }

  #refuse(header: Readonly<FrameHeader>): void {
    if (!KNOWN_OPS.has(header.op)) {
      this.#peer.answer(header, Status.unknownOperation);
      return;
    }
    const detail = `op ${header.op} is not for a ${this.role} connection`;
    this.#peer.answer(header, Status.badRequest, detailPayload(detail));
  }

  #take(header: Readonly<FrameHeader>, payload: Buffer): void {
    const request =
      this.#idleRequests.pop() ??
      new DataRequest((ended, error, data) => this.#finish(ended, error, data));
    request.op = header.op;
    request.sequence = header.sequence;
    request.epoch = header.epoch;
    request.offsetBytes = header.offsetBytes;
    request.lengthBytes = header.lengthBytes;
    request.payload = payload;
    const writes = header.op === Op.write || header.op === Op.unmap;
    request.group = writes ? this.#barriers.enter() : null;
    this.#queue.push(request);
    this.#queuedBytes += payload.length;
    this.#start();
    const full = this.#queue.length > QUEUED_REQUESTS_MAX || this.#queuedBytes > QUEUED_BYTES_MAX;
    if (full && !this.#paused) {
      this.#paused = true;
      this.#peer.pause();
    }
  }

  #start(): void {
    let started = 0;
    while (
      started < this.#queue.length &&
      this.#onDisk < DISK_REQUESTS_MAX &&
      !this.#options.held() &&
      this.#peer.answersQueuedBytes < ANSWERS_QUEUED_BYTES_MAX
    ) {
      const request = this.#queue[started];
      started += 1;
      if (request !== undefined) this.#run(request);
    }
    if (started > 0) this.#queue.splice(0, started);
    const low =
      this.#queue.length <= QUEUED_REQUESTS_MAX / 2 && this.#queuedBytes <= QUEUED_BYTES_MAX / 2;
    if (this.#paused && low && !this.#quiet) {
      this.#paused = false;
      this.#peer.resume();
    }
  }

  #run(request: DataRequest): void {
    const { chain } = this;
    const { offsetBytes, lengthBytes, payload } = request;
    this.#queuedBytes -= payload.length;
    this.#inFlight += 1;
    // A flush waits for others more than it works: it does not take the place of a request.
    if (request.op !== Op.flush) this.#onDisk += 1;
    switch (request.op) {
      case Op.read:
        chain.read(offsetBytes, lengthBytes, request.readDone);
        return;
      case Op.write:
        request.payload = NO_PAYLOAD;
        chain.write(offsetBytes, payload, request.blockDone);
        return;
      case Op.unmap:
        chain.unmap(offsetBytes, lengthBytes, request.blockDone);
        return;
      case Op.flush:
        chain.flush(request.blockDone);
        return;
      case Op.checksum:
        chain.checksum(offsetBytes, lengthBytes, request.readDone);
        return;
      default:
        this.#listExtents(request, decodeExtentsRequest(payload) ?? 0);
    }
  }

  #listExtents(request: DataRequest, lengthBytes: number): void {
    const range = { offsetBytes: request.offsetBytes, lengthBytes };
    this.chain.extents(range, EXTENTS_MAX, (error, extents) => {
      request.readDone(error, error === null ? encodeExtents(extents) : NO_PAYLOAD);
    });
  }

  #finish(request: DataRequest, error: BlockError | null, data: Buffer): void {
    this.#inFlight -= 1;
    if (request.op !== Op.flush) this.#onDisk -= 1;
    if (this.#cut) {
      this.#tellIdle();
      return;
    }
    if (error === null) {
      this.#peer.answer(request, Status.ok, data);
    } else {
      const failed = request.op === Op.flush && this.chain.failed;
      const status = failed ? Status.failed : STATUS_OF_BLOCK_ERROR[error.code];
      this.#peer.answer(request, status, detailPayload(error.message));
    }
    if (request.group !== null) this.#barriers.leave(request.group);
    request.group = null;
    request.payload = NO_PAYLOAD;
    this.#idleRequests.push(request);
    if (this.#queue.length > 0) this.#start();
    else this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.#inFlight > 0) return;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
    if (!this.#cut || this.#isDrained) return;
    this.#isDrained = true;
    this.#options.onDrained(this);
  }
}

/** Null, or one sentence. What is out of the device's range is the chain's to say. */
function shapeProblem(header: Readonly<FrameHeader>, payload: Buffer): string | null {
  const { op, lengthBytes } = header;
  switch (op) {
    case Op.write:
      if (payload.length === 0) return 'a write has no payload';
      if (lengthBytes !== payload.length) return 'a write has another length than its payload';
      return payload.length > TRANSFER_BYTES_MAX ? 'a write is too long' : null;
    case Op.extents:
      return decodeExtentsRequest(payload) === null ? 'extents: no length' : null;
    default:
      break;
  }
  if (payload.length > 0) return `op ${op} takes no payload`;
  if (op === Op.read && lengthBytes > TRANSFER_BYTES_MAX) return 'a read is too long';
  if (op === Op.unmap && lengthBytes > UNMAP_BYTES_MAX) return 'an unmap is too long';
  if (op === Op.checksum && lengthBytes > REGION_BYTES) return 'a checksum is of a region at most';
  return null;
}
