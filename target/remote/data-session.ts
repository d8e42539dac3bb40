/**
 * The data session with a replica: requests pipelined in order. When the connection breaks the
 * unanswered ones wait, and are sent again in their order on the next one (replication R15):
 * replicas apply overlapping requests in order, so an unanswered suffix repeated is harmless.
 */

import type { BlockError } from '../../core/block/block-device.ts';
import { blockError, NO_DATA } from '../../core/block/block-device.ts';
import {
  DATA_DEADLINE_MS,
  FLUSH_DEADLINE_MS,
  LOOP_GAP_MS,
  UNMAP_DEADLINE_MS_PER_GIB,
} from '../../core/limits.ts';
import type { Timer } from '../../core/platform/index.ts';
import { GiB } from '../../core/units.ts';
import { ANSWER, type FrameHeader, type HelloAnswer, Op, Status } from '../../core/wire/frame.ts';
import { errorOf, promiseOf } from './answers.ts';
import type { ChannelDependencies, Place } from './control-channel.ts';
import { Link, type LinkOwner, type LinkRefusal } from './link.ts';

export interface RequestSink {
  answered(tag: number, error: BlockError | null, data: Buffer): void;
}

export interface SessionKey {
  readonly epoch: number;
  readonly instance: string;
  readonly rebuildId: string | null;
  /** Boot and mount id, `BOOT/MOUNT`, that the replica must still have: else it lost its cache. */
  readonly cache: string;
}

export type DataOp =
  | typeof Op.read
  | typeof Op.write
  | typeof Op.unmap
  | typeof Op.flush
  | typeof Op.barrier
  | typeof Op.checksum
  | typeof Op.extents;

interface DataRequest {
  readonly op: DataOp;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly bytes: Buffer | null;
  readonly crc: number;
  readonly sink: RequestSink;
  readonly tag: number;
  sentAtMs: number;
}

const RECONNECT_MS = 100;
const HELLO_DEADLINE_MS = 10_000;
const TICK_MS = 250;
const MISSED_AGAIN_MS = 1_000;

export class DataSession implements LinkOwner {
  readonly #place: Place;
  readonly #dependencies: ChannelDependencies;
  /** Sent on the current connection, by sequence number, in order. */
  readonly #sent = new Map<number, DataRequest>();
  /** To be sent first on the next connection, in order; empty while one is open. */
  #backlog: DataRequest[] = [];
  #key: SessionKey | null = null;
  #held = false;
  #link: Link | null = null;
  #timer: Timer | null = null;
  #triedMs = 0;
  #tickedMs = 0;
  #toldMs = 0;
  #closed = false;

  constructor(place: Place, dependencies: ChannelDependencies) {
    this.#place = place;
    this.#dependencies = dependencies;
  }

  open(key: SessionKey): void {
    const same =
      this.#key !== null &&
      this.#key.epoch === key.epoch &&
      this.#key.instance === key.instance &&
      this.#key.rebuildId === key.rebuildId &&
      this.#key.cache === key.cache;
    if (this.#closed || (same && !this.#held)) return;
    if (!same) this.#breakLink('another session is opened');
    this.#key = key;
    this.#held = false;
    if (this.#link === null) this.#connect();
    this.#startTicking();
  }

  hold(): void {
    this.#held = true;
    this.#breakLink('the session is held');
  }

  drop(): void {
    this.#key = null;
    this.#breakLink('the session is dropped');
    const dropped = this.#backlog;
    this.#backlog = [];
    if (dropped.length === 0) return;
    const error = blockError('disconnected', `replica ${this.#place.id} was given up`);
    queueMicrotask(() => {
      for (const request of dropped) request.sink.answered(request.tag, error, NO_DATA);
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#breakLink('closed by the target');
    this.#backlog = [];
  }

  submit(
    op: DataOp,
    range: { readonly offsetBytes: number; readonly lengthBytes: number },
    payload: { readonly bytes: Buffer; readonly crc: number } | null,
    sink: RequestSink,
    tag: number,
  ): void {
    const request: DataRequest = {
      op,
      offsetBytes: range.offsetBytes,
      lengthBytes: range.lengthBytes,
      bytes: payload === null ? null : payload.bytes,
      crc: payload === null ? 0 : payload.crc,
      sink,
      tag,
      sentAtMs: this.#dependencies.clock.nowMs(),
    };
    if (this.#link !== null && this.#link.open) this.#send(this.#link, request);
    else this.#backlog.push(request);
    this.#startTicking();
  }

  linkOpened(link: Link, hello: HelloAnswer): void {
    if (this.#key === null || cacheOf(hello) !== this.#key.cache) {
      // It came back without its cache: not one request may reach it (R15).
      this.hold();
      return;
    }
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const request of backlog) this.#send(link, request);
  }

  linkAnswered(_link: Link, header: Readonly<FrameHeader>, payload: Buffer): void {
    const request = this.#sent.get(header.sequence);
    if (request === undefined || header.op !== (request.op | ANSWER)) return;
    this.#sent.delete(header.sequence);
    if (header.status === Status.fenced) {
      // No answer at all: a newer target exists, and this one must not answer for anything.
      const promise = promiseOf(payload);
      this.#dependencies.listener.fenced(this.#place.id, promise.epoch, promise.instance);
      return;
    }
    const error = errorOf(this.#place.id, header.status, payload) ?? wrongLength(request, payload);
    request.sink.answered(request.tag, error, error === null ? payload : NO_DATA);
  }

  linkClosed(link: Link, _detail: string, refusal: LinkRefusal | null): void {
    if (this.#link !== link) return;
    this.#unlink();
    if (this.#key !== null && !this.#held) this.#startTicking();
    if (refusal?.status === Status.fenced) {
      const promise = promiseOf(refusal.payload);
      this.#dependencies.listener.fenced(this.#place.id, promise.epoch, promise.instance);
    }
  }

  #breakLink(detail: string): void {
    const link = this.#link;
    if (link === null) return;
    this.#unlink();
    link.close(detail);
  }

  #unlink(): void {
    this.#link = null;
    // Sent ones are older than any that wait.
    const sent = [...this.#sent.values()];
    if (this.#place.resumesUnordered) sent.reverse();
    this.#backlog = [...sent, ...this.#backlog];
    this.#sent.clear();
  }

  #send(link: Link, request: DataRequest): void {
    this.#sent.set(link.send(request.op, request, request.bytes, request.crc), request);
  }

  #connect(): void {
    const address = this.#place.address();
    const { network, clock } = this.#dependencies;
    this.#triedMs = clock.nowMs();
    if (address === null || this.#key === null) return;
    const hello = this.#place.hello('data', this.#key);
    this.#link = new Link(this, { network, address, hello });
  }

  #startTicking(): void {
    if (this.#timer !== null || this.#closed) return;
    this.#tickedMs = this.#dependencies.clock.nowMs();
    this.#tickLater();
  }

  #tickLater(): void {
    this.#timer = this.#dependencies.clock.timer(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    this.#timer = null;
    if (this.#closed) return;
    const nowMs = this.#dependencies.clock.nowMs();
    if (nowMs - this.#tickedMs > TICK_MS + LOOP_GAP_MS) this.#rearm(nowMs);
    this.#tickedMs = nowMs;
    if (this.#link === null) {
      const due = nowMs - this.#triedMs >= RECONNECT_MS;
      if (this.#key !== null && !this.#held && due) this.#connect();
    } else if (!this.#link.open && nowMs - this.#triedMs > HELLO_DEADLINE_MS) {
      this.#breakLink('it did not answer hello in time');
    }
    this.#watch(nowMs);
    const busy = this.#sent.size > 0 || this.#backlog.length > 0;
    const opening = this.#key !== null && this.#link?.open !== true;
    if (busy || opening) this.#tickLater();
  }

  #rearm(nowMs: number): void {
    for (const request of this.#sent.values()) request.sentAtMs = nowMs;
    for (const request of this.#backlog) request.sentAtMs = nowMs;
  }

  #watch(nowMs: number): void {
    if (nowMs - this.#toldMs < MISSED_AGAIN_MS) return;
    const overdue = firstOverdue(this.#sent.values(), nowMs) ?? firstOverdue(this.#backlog, nowMs);
    if (overdue === null) return;
    this.#toldMs = nowMs;
    const what = `it did not answer a ${nameOf(overdue.op)} within ${deadlineMs(overdue)} ms`;
    this.#dependencies.listener.missed(this.#place.id, what);
  }
}

/** The caches that a replica's writes were handed to: gone when either id changes (R15). */
export function cacheOf(made: { readonly bootId: string; readonly mountId: string }): string {
  return `${made.bootId}/${made.mountId}`;
}

function firstOverdue(requests: Iterable<DataRequest>, nowMs: number): DataRequest | null {
  for (const request of requests) {
    if (nowMs - request.sentAtMs > deadlineMs(request)) return request;
  }
  return null;
}

/** R17: deadlines per class of request, in milliseconds. */
function deadlineMs(request: DataRequest): number {
  switch (request.op) {
    case Op.read:
    case Op.write:
      return DATA_DEADLINE_MS;
    case Op.unmap:
      return DATA_DEADLINE_MS + (UNMAP_DEADLINE_MS_PER_GIB * request.lengthBytes) / GiB;
    case Op.flush:
    case Op.barrier:
    case Op.checksum:
    case Op.extents:
      return FLUSH_DEADLINE_MS;
  }
}

function nameOf(op: DataOp): string {
  return Object.entries(Op).find(([, number]) => number === op)?.[0] ?? 'request';
}

function wrongLength(request: DataRequest, payload: Buffer): BlockError | null {
  if (request.op !== Op.read || payload.length === request.lengthBytes) return null;
  return blockError('mediumError', `a read of ${request.lengthBytes} gave ${payload.length} bytes`);
}
