/**
 * One connection to a replica: hello first, then pipelined requests by sequence number. It never
 * reconnects; RemoteReplica makes a new one.
 */

import { messageOf } from '../../core/errors.ts';
import type { Connection, Network } from '../../core/platform/index.ts';
import { encodeHeader, FrameDecoder } from '../../core/wire/codec.ts';
import {
  ANSWER,
  type FrameHeader,
  type HelloAnswer,
  type HelloRequest,
  Op,
  type PromiseAnswer,
  type PromiseMade,
  Status,
} from '../../core/wire/frame.ts';

export interface LinkOwner {
  /** It answered hello with ok. */
  linkOpened(link: Link, hello: HelloAnswer): void;
  linkAnswered(link: Link, header: Readonly<FrameHeader>, payload: Buffer): void;
  /** Exactly once. `refusal` when the other side answered hello with an error. */
  linkClosed(link: Link, detail: string, refusal: LinkRefusal | null): void;
}

export interface LinkRefusal {
  readonly status: number;
  readonly payload: Buffer;
}

const NO_RANGE = { offsetBytes: 0, lengthBytes: 0 };

export class Link {
  readonly #owner: LinkOwner;
  readonly #connection: Connection;
  readonly #decoder: FrameDecoder;
  /** In the header of every request; a control connection takes it up with its promise. */
  epoch: number;
  #nextSequence = 1;
  #open = false;
  #closed = false;
  #corked = false;
  readonly #uncork = (): void => {
    this.#corked = false;
    if (!this.#closed) this.#connection.uncork();
  };

  constructor(
    owner: LinkOwner,
    options: { readonly network: Network; readonly address: string; readonly hello: HelloRequest },
  ) {
    this.#owner = owner;
    this.epoch = options.hello.epoch;
    this.#decoder = new FrameDecoder((header, payload) => this.#receive(header, payload));
    this.#connection = options.network.connect(options.address, {
      onOpen: () => this.#sayHello(options.hello),
      onData: (chunk) => this.#onData(chunk),
      onClose: (error) => this.#end(error === null ? 'closed by the replica' : messageOf(error)),
    });
  }

  get open(): boolean {
    return this.#open && !this.#closed;
  }

  /**
   * Sends a request; its answer comes to `linkAnswered` with the number returned here. Requests
   * of one turn of the event loop go out in one system call.
   */
  send(
    op: number,
    range: { readonly offsetBytes: number; readonly lengthBytes: number },
    payload: Buffer | null,
    payloadCrc?: number,
  ): number {
    const sequence = this.#nextSequence;
    this.#nextSequence += 1;
    const lengthBytes = payload !== null && op === Op.write ? payload.length : range.lengthBytes;
    const header = encodeHeader(
      { op, status: 0, sequence, epoch: this.epoch, offsetBytes: range.offsetBytes, lengthBytes },
      payload,
      payloadCrc,
    );
    if (!this.#corked) {
      this.#corked = true;
      this.#connection.cork();
      queueMicrotask(this.#uncork);
    }
    this.#connection.write(header);
    if (payload !== null && payload.length > 0) this.#connection.write(payload);
    return sequence;
  }

  sendJson(op: number, body: unknown): number {
    return this.send(op, NO_RANGE, Buffer.from(JSON.stringify(body)));
  }

  close(detail: string): void {
    if (this.#closed) return;
    this.#connection.destroy();
    this.#end(detail);
  }

  #sayHello(hello: HelloRequest): void {
    this.sendJson(Op.hello, hello);
  }

  #onData(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      this.#connection.destroy();
      this.#end(messageOf(error));
    }
  }

  #receive(header: Readonly<FrameHeader>, payload: Buffer): void {
    if (this.#closed) return;
    if (this.#open) {
      this.#owner.linkAnswered(this, header, payload);
      return;
    }
    if (header.op !== (Op.hello | ANSWER) || header.status !== Status.ok) {
      this.#connection.destroy();
      this.#end('hello refused', { status: header.status, payload: Buffer.from(payload) });
      return;
    }
    const hello = parseHelloAnswer(payload);
    if (hello === null) {
      this.#connection.destroy();
      this.#end('hello answered with something else');
      return;
    }
    this.#open = true;
    this.#owner.linkOpened(this, hello);
  }

  #end(detail: string, refusal: LinkRefusal | null = null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#owner.linkClosed(this, detail, refusal);
  }
}

/** JSON of a control payload as an object, or null. */
export function parseJsonObject(payload: Buffer): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null;
  }
}

function parseHelloAnswer(payload: Buffer): HelloAnswer | null {
  const fields = parseJsonObject(payload);
  if (fields === null || fields['protocol'] !== 1) return null;
  const { poolId, record, bootId, mountId, failed, allocatedBytes, sizeBytes } = fields;
  const promise = parsePromiseAnswer(fields['promise']);
  if (
    promise === null ||
    typeof poolId !== 'string' ||
    typeof bootId !== 'string' ||
    typeof mountId !== 'string' ||
    typeof failed !== 'boolean' ||
    typeof allocatedBytes !== 'number' ||
    typeof sizeBytes !== 'number'
  ) {
    return null;
  }
  return {
    protocol: 1,
    poolId,
    promise,
    record: record ?? null,
    bootId,
    mountId,
    failed,
    allocatedBytes,
    sizeBytes,
  };
}

/** Null when it is not one. */
export function parsePromiseAnswer(value: unknown): PromiseAnswer | null {
  const made = parsePromiseMade(value);
  if (made === null) return null;
  const before = (value as Readonly<Record<string, unknown>>)['previous'];
  if (before === null) return { ...made, previous: null };
  const previous = parsePromiseMade(before);
  return previous === null ? null : { ...made, previous };
}

function parsePromiseMade(value: unknown): PromiseMade | null {
  if (typeof value !== 'object' || value === null) return null;
  const { epoch, instance, bootId, mountId } = value as Readonly<Record<string, unknown>>;
  if (
    typeof epoch !== 'number' ||
    !Number.isSafeInteger(epoch) ||
    typeof instance !== 'string' ||
    typeof bootId !== 'string' ||
    typeof mountId !== 'string'
  ) {
    return null;
  }
  return { epoch, instance, bootId, mountId };
}
