/**
 * A control connection: pings, promises, copies of the record, rebuild orders. It never carries
 * data, so that it never waits for any. Every frame is judged by its own epoch: one connection
 * looks first, promises later.
 */
import { messageOf } from '../../core/errors.ts';
import { CONTROL_PAYLOAD_BYTES_MAX } from '../../core/limits.ts';
import {
  type FrameHeader,
  Op,
  type PromiseAnswer,
  type PromiseReply,
  Status,
} from '../../core/wire/frame.ts';
import type { OrderResult } from '../rebuild/index.ts';
import { detailPayload, jsonPayload, parseJson, parsePromise, parseRebuild } from './payloads.ts';
import type { FrameHandler, Peer } from './peer.ts';
import { codeOfFailure } from './statuses.ts';

export type PromiseResult =
  | { readonly kind: 'promised'; readonly promise: PromiseAnswer }
  | { readonly kind: 'fenced'; readonly promise: PromiseAnswer };

export interface ControlHost {
  readonly promise: PromiseAnswer;
  /** Its durable copy of the record, or null. */
  readonly record: unknown;
  makePromise(epoch: number, instance: string, session: ControlSession): Promise<PromiseResult>;
  /** Null: stored, durably, or another epoch is promised by now and nothing was done. */
  storeRecord(record: unknown, epoch: number): Promise<Rejection | null>;
  order(payload: ReturnType<typeof parseRebuild> & object): Promise<OrderResult | null>;
}

export interface Rejection {
  readonly status: Status;
  readonly payload: Buffer;
}

/** What of a frame is needed after its handler has returned. */
interface Request {
  readonly op: number;
  readonly sequence: number;
  readonly epoch: number;
}

/** Requests that wait for the disk; more at once no target has. */
const PENDING_MAX = 64;

const DATA_OPS: ReadonlySet<number> = new Set<number>([
  Op.hello,
  Op.read,
  Op.write,
  Op.unmap,
  Op.flush,
  Op.barrier,
  Op.checksum,
  Op.extents,
]);

export class ControlSession implements FrameHandler {
  readonly peer: Peer;
  readonly #host: ControlHost;
  /** Of its target; 0 while it only looks. */
  epoch: number;
  #pending = 0;

  constructor(peer: Peer, host: ControlHost, epoch: number) {
    this.peer = peer;
    this.#host = host;
    this.epoch = epoch;
  }

  frame(header: Readonly<FrameHeader>, payload: Buffer): void {
    const request = { op: header.op, sequence: header.sequence, epoch: header.epoch };
    switch (header.op) {
      case Op.ping:
        if (this.#isPromised(request)) this.peer.answer(request, Status.ok);
        else this.#fence(request);
        return;
      case Op.promise:
        this.#run(request, payload, () => this.#promise(request, payload));
        return;
      case Op.record:
        this.#run(request, payload, () => this.#record(request, payload));
        return;
      case Op.rebuild:
        this.#run(request, payload, () => this.#rebuild(request, payload));
        return;
      default:
        this.#refuse(request);
    }
  }

  closed(): void {
    // What was ordered is carried out; only its answer reaches nobody.
  }

  drained(): void {
    // Its answers are small and few.
  }

  #isPromised(request: Request): boolean {
    const { epoch } = this.#host.promise;
    if (request.epoch !== epoch || epoch === 0) return false;
    this.epoch = epoch;
    return true;
  }

  #fence(request: Request): void {
    this.peer.answer(request, Status.fenced, jsonPayload(this.#host.promise));
  }

  #refuse(request: Request): void {
    if (!DATA_OPS.has(request.op)) {
      this.peer.answer(request, Status.unknownOperation);
      return;
    }
    const detail = `op ${request.op} is not for a control connection`;
    this.peer.answer(request, Status.badRequest, detailPayload(detail));
  }

  #bad(request: Request, detail: string): void {
    this.peer.answer(request, Status.badRequest, detailPayload(detail));
  }

  #run(request: Request, payload: Buffer, work: () => Promise<void>): void {
    if (payload.length > CONTROL_PAYLOAD_BYTES_MAX) {
      this.#bad(request, `a control payload has at most ${CONTROL_PAYLOAD_BYTES_MAX} bytes`);
      return;
    }
    if (this.#pending >= PENDING_MAX) {
      this.peer.answer(request, Status.busy, detailPayload('too many requests wait'));
      return;
    }
    this.#pending += 1;
    void work()
      .catch((error: unknown) => {
        this.peer.answer(request, codeOfFailure(error), detailPayload(messageOf(error)));
      })
      .finally(() => {
        this.#pending -= 1;
      });
  }

  async #promise(request: Request, payload: Buffer): Promise<void> {
    const wanted = parsePromise(payload);
    if (wanted === null) {
      this.#bad(
        request,
        'a promise needs an epoch above 0 and an instance: letters, digits, at most 128',
      );
      return;
    }
    const result = await this.#host.makePromise(wanted.epoch, wanted.instance, this);
    if (result.kind === 'promised' && this.#host.promise.epoch === wanted.epoch) {
      const reply: PromiseReply = { ...result.promise, record: this.#host.record };
      this.peer.answer(request, Status.ok, jsonPayload(reply));
    } else {
      this.peer.answer(request, Status.fenced, jsonPayload(result.promise));
    }
  }

  async #record(request: Request, payload: Buffer): Promise<void> {
    if (!this.#isPromised(request)) {
      this.#fence(request);
      return;
    }
    const rejection = await this.#host.storeRecord(parseJson(payload), request.epoch);
    if (!this.#isPromised(request)) this.#fence(request);
    else if (rejection === null) this.peer.answer(request, Status.ok);
    else this.peer.answer(request, rejection.status, rejection.payload);
  }

  async #rebuild(request: Request, payload: Buffer): Promise<void> {
    if (!this.#isPromised(request)) {
      this.#fence(request);
      return;
    }
    const order = parseRebuild(payload);
    if (order === null) {
      this.#bad(request, 'not a rebuild order');
      return;
    }
    const result = await this.#host.order(order);
    if (result === null || !this.#isPromised(request)) {
      this.#fence(request);
      return;
    }
    switch (result.kind) {
      case 'answer':
        this.peer.answer(request, Status.ok, jsonPayload(result.answer));
        return;
      case 'refused':
        this.peer.answer(request, Status.refused, jsonPayload(result.refusal));
        return;
      case 'badRequest':
        this.#bad(request, result.detail);
    }
  }
}
