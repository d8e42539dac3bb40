/**
 * The control connection to a replica: hello, promises, copies of the record, rebuild orders and
 * pings. It never carries data, so that it never queues behind any (replication R17).
 */
import { type BlockError, blockError } from '../../core/block/block-device.ts';
import {
  FLUSH_DEADLINE_MS,
  LOOP_GAP_MS,
  PING_DEADLINE_MS,
  PING_INTERVAL_MS,
} from '../../core/limits.ts';
import type { Clock, Network, Timer } from '../../core/platform/index.ts';
import type { VolumeRecord } from '../../core/volume/record.ts';
import {
  ANSWER,
  type FrameHeader,
  type HelloAnswer,
  type HelloRequest,
  Op,
  type PromiseReply,
  type RebuildAnswer,
  type RebuildRequest,
  Status,
} from '../../core/wire/frame.ts';
import { errorOf, promiseOf, rebuildAnswerOf } from './answers.ts';
import {
  Link,
  type LinkOwner,
  type LinkRefusal,
  parseJsonObject,
  parsePromiseAnswer,
} from './link.ts';

export type PromiseResult =
  | { readonly kind: 'promised'; readonly promise: PromiseReply }
  | { readonly kind: 'fenced'; readonly epoch: number; readonly instance: string }
  | { readonly kind: 'failed'; readonly detail: string };

export interface ControlListener {
  inspected(id: string, hello: HelloAnswer): void;
  refused(id: string, code: string, detail: string): void;
  away(id: string, detail: string): void;
  pinged(id: string, sentAtMs: number): void;
  missed(id: string, detail: string): void;
  fenced(id: string, epoch: number, instance: string): void;
}

export interface Place {
  readonly id: string;
  /** Only in the simulator's own tests. */
  readonly resumesUnordered: boolean;
  readonly address: () => string | null;
  readonly hello: (
    role: 'control' | 'data',
    key: { readonly epoch: number; readonly instance: string; readonly rebuildId: string | null },
  ) => HelloRequest;
}

export interface ChannelDependencies {
  readonly network: Network;
  readonly clock: Clock;
  readonly listener: ControlListener;
}

type Answered = (header: Readonly<FrameHeader> | null, payload: Buffer) => void;

const RECONNECT_MS = 200;
/** Whoever refused will not think otherwise at once. */
const RECONNECT_REFUSED_MS = 2_000;
/** A control connection that was opened and says nothing is as good as none. */
const HELLO_DEADLINE_MS = 3_000;
/**
 * Before the first promise there are no pings: a replica that lost its power would be waited for
 * until it boots and answers what it does not know with a reset.
 */
const PROMISE_DEADLINE_MS = 10_000;
const TICK_MS = 250;
const MISSED_AGAIN_MS = 1_000;
const NO_PAYLOAD = Buffer.alloc(0);
const NO_RANGE = { offsetBytes: 0, lengthBytes: 0 };

export class ControlChannel implements LinkOwner {
  readonly #place: Place;
  readonly #dependencies: ChannelDependencies;
  readonly #requests = new Map<number, Answered>();
  #link: Link | null = null;
  #timer: Timer | null = null;
  #closed = false;
  /** Epoch of the promise that pings are sent under; 0: none. */
  #pingEpoch = 0;
  #connectingSinceMs = 0;
  #reconnectMs = RECONNECT_MS;
  #promiseSentMs: number | null = null;
  /** Of the last copy of the record, while it is not stored. */
  #recordSentMs: number | null = null;
  #tickedMs = 0;
  #pingedMs = 0;
  #heardMs = 0;
  #toldMs = 0;

  constructor(place: Place, dependencies: ChannelDependencies) {
    this.#place = place;
    this.#dependencies = dependencies;
  }

  open(): void {
    if (this.#timer !== null || this.#closed) return;
    this.#tickedMs = this.#dependencies.clock.nowMs();
    this.#connect();
    this.#tickLater();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#link?.close('closed by the target');
    this.#link = null;
  }

  promise(epoch: number, instance: string, done: (result: PromiseResult) => void): void {
    const failed = { kind: 'failed', detail: 'the connection broke' } as const;
    this.#promiseSentMs = this.#dependencies.clock.nowMs();
    this.#send(Op.promise, { epoch, instance }, (header, payload) => {
      this.#promiseSentMs = null;
      if (header === null) return done(failed);
      const facts = parseJsonObject(payload);
      const promise = parsePromiseAnswer(facts);
      if (header.status === Status.ok && promise !== null) {
        this.startPings(epoch);
        const record = facts?.['record'] ?? null;
        return done({ kind: 'promised', promise: { ...promise, record } });
      }
      if (header.status === Status.fenced) return done({ kind: 'fenced', ...promiseOf(payload) });
      const error = errorOf(this.#place.id, header.status, payload);
      // Asked again on a new connection, after its hello: it may have been started anew by then.
      this.#reconnectMs = RECONNECT_REFUSED_MS;
      this.#link?.close('it did not promise');
      return done({ kind: 'failed', detail: error?.message ?? 'refused' });
    });
  }

  startPings(epoch: number): void {
    if (this.#link !== null) this.#link.epoch = epoch;
    this.#heardMs = this.#dependencies.clock.nowMs();
    this.#pingEpoch = epoch;
    this.#ping();
  }

  storeRecord(record: VolumeRecord, done: (stored: boolean) => void): void {
    const sentMs = this.#dependencies.clock.nowMs();
    this.#recordSentMs = sentMs;
    this.#send(Op.record, record, (header) => {
      if (this.#recordSentMs === sentMs) this.#recordSentMs = null;
      done(header?.status === Status.ok);
    });
  }

  rebuild(
    request: RebuildRequest,
    done: (error: BlockError | null, answer: RebuildAnswer | null) => void,
  ): void {
    this.#send(Op.rebuild, request, (header, payload) => {
      if (header === null) return done(blockError('disconnected', 'the connection broke'), null);
      const error = errorOf(this.#place.id, header.status, payload);
      if (error !== null) return done(error, null);
      const answer = rebuildAnswerOf(payload);
      if (answer !== null) return done(null, answer);
      return done(blockError('refused', `replica ${this.#place.id} answered nonsense`), null);
    });
  }

  linkOpened(link: Link, hello: HelloAnswer): void {
    link.epoch = this.#pingEpoch;
    this.#heardMs = this.#dependencies.clock.nowMs();
    this.#reconnectMs = RECONNECT_MS;
    this.#dependencies.listener.inspected(this.#place.id, hello);
  }

  linkAnswered(_link: Link, header: Readonly<FrameHeader>, payload: Buffer): void {
    const answered = this.#requests.get(header.sequence);
    if (answered === undefined || (header.op & ANSWER) === 0) return;
    this.#requests.delete(header.sequence);
    answered(header, payload);
  }

  linkClosed(link: Link, detail: string, refusal: LinkRefusal | null): void {
    if (this.#link !== link) return;
    this.#link = null;
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const answered of requests) answered(null, NO_PAYLOAD);
    if (this.#closed) return;
    if (refusal === null) this.#dependencies.listener.away(this.#place.id, detail);
    else this.#refused(refusal);
  }

  #refused(refusal: LinkRefusal): void {
    const { listener } = this.#dependencies;
    const { id } = this.#place;
    if (refusal.status === Status.fenced) {
      const promise = promiseOf(refusal.payload);
      listener.fenced(id, promise.epoch, promise.instance);
      return;
    }
    this.#reconnectMs = RECONNECT_REFUSED_MS;
    const facts = parseJsonObject(refusal.payload);
    const code = facts?.['code'];
    const error = errorOf(id, refusal.status, refusal.payload);
    listener.refused(id, typeof code === 'string' ? code : '', error?.message ?? 'refused');
  }

  #connect(): void {
    const address = this.#place.address();
    if (address === null) return;
    const { network, clock } = this.#dependencies;
    this.#connectingSinceMs = clock.nowMs();
    const hello = this.#place.hello('control', { epoch: 0, instance: '', rebuildId: null });
    this.#link = new Link(this, { network, address, hello });
  }

  #send(op: number, body: unknown, answered: Answered): void {
    if (this.#link === null || !this.#link.open) {
      queueMicrotask(() => answered(null, NO_PAYLOAD));
      return;
    }
    this.#requests.set(this.#link.sendJson(op, body), answered);
  }

  #tickLater(): void {
    this.#timer = this.#dependencies.clock.timer(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    if (this.#closed) return;
    const nowMs = this.#dependencies.clock.nowMs();
    // A target that was paused must not hold the pause against everybody (R17).
    if (nowMs - this.#tickedMs > TICK_MS + LOOP_GAP_MS) {
      this.#heardMs = nowMs;
      this.#promiseSentMs = this.#promiseSentMs === null ? null : nowMs;
      this.#recordSentMs = this.#recordSentMs === null ? null : nowMs;
    }
    this.#tickedMs = nowMs;
    const promiseMs = nowMs - (this.#promiseSentMs ?? nowMs);
    if (promiseMs > PROMISE_DEADLINE_MS) this.#link?.close('it did not promise in time');
    if (this.#link === null) {
      if (nowMs - this.#connectingSinceMs >= this.#reconnectMs) this.#connect();
    } else if (!this.#link.open && nowMs - this.#connectingSinceMs > HELLO_DEADLINE_MS) {
      this.#link.close('it did not answer hello in time');
    } else if (nowMs - this.#pingedMs >= PING_INTERVAL_MS) {
      this.#ping();
    }
    this.#watch(nowMs);
    this.#tickLater();
  }

  #ping(): void {
    const link = this.#link;
    if (this.#pingEpoch === 0 || link === null || !link.open) return;
    const sentAtMs = this.#dependencies.clock.nowMs();
    this.#pingedMs = sentAtMs;
    const sequence = link.send(Op.ping, NO_RANGE, null);
    this.#requests.set(sequence, (header, payload) => {
      if (header === null) return;
      const { listener } = this.#dependencies;
      if (header.status === Status.ok) {
        this.#heardMs = this.#dependencies.clock.nowMs();
        listener.pinged(this.#place.id, sentAtMs);
      } else if (header.status === Status.fenced) {
        const promise = promiseOf(payload);
        listener.fenced(this.#place.id, promise.epoch, promise.instance);
      }
    });
  }

  #watch(nowMs: number): void {
    const recordMs = nowMs - (this.#recordSentMs ?? nowMs);
    if (recordMs > FLUSH_DEADLINE_MS && nowMs - this.#toldMs >= MISSED_AGAIN_MS) {
      // A removal frees nothing before all that stay have the record (R3): they have a deadline.
      this.#toldMs = nowMs;
      this.#dependencies.listener.missed(this.#place.id, 'it did not store the record in time');
    }
    if (this.#pingEpoch === 0 || nowMs - this.#heardMs <= PING_DEADLINE_MS) return;
    if (nowMs - this.#toldMs < MISSED_AGAIN_MS) return;
    this.#toldMs = nowMs;
    this.#dependencies.listener.missed(this.#place.id, 'it answers no pings');
    // A connection that carries no answers is given up: another may get through.
    if (this.#link?.open === true) this.#link.close('no answers to pings');
  }
}
