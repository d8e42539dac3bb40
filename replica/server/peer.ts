/**
 * One accepted connection: bytes to frames, answers to bytes. What the frames mean is its
 * handler's matter, which changes once, when hello has been answered.
 */
import { messageOf } from '../../core/errors.ts';
import type { Connection, ConnectionHandlers } from '../../core/platform/index.ts';
import { MiB } from '../../core/units.ts';
import { encodeHeader, FrameDecoder } from '../../core/wire/codec.ts';
import { ANSWER, type FrameHeader } from '../../core/wire/frame.ts';

/** `sequence`, `epoch`, `offsetBytes` and so on are copied out before the call returns. */
export interface FrameHandler {
  frame(header: Readonly<FrameHeader>, payload: Buffer): void;
  /** The connection is gone; no answer reaches anybody any more. */
  closed(): void;
  /** Queued answers went out after `answersQueuedBytes` was high. */
  drained(): void;
}

export interface PeerOptions {
  /** Runs something at the end of this turn of the event loop. */
  readonly defer: (run: () => void) => void;
  readonly onClosed: (peer: Peer, detail: string) => void;
}

/** More than all that a session may have in flight: whoever lets it come to that only asks. */
const ANSWERS_QUEUED_BYTES_MAX = 128 * MiB;
const NO_PAYLOAD = Buffer.alloc(0);

export class Peer implements ConnectionHandlers {
  readonly #connection: Connection;
  readonly #options: PeerOptions;
  readonly #decoder: FrameDecoder;
  #handler: FrameHandler;
  /** Hello has come; its answer may still wait. */
  greeted = false;
  #corked = false;
  #closed = false;
  #detail = 'closed by the other side';
  readonly #uncork: () => void;

  constructor(
    connection: Connection,
    options: PeerOptions & { readonly first: (peer: Peer) => FrameHandler },
  ) {
    this.#connection = connection;
    this.#options = options;
    this.#handler = options.first(this);
    this.#decoder = new FrameDecoder((header, payload) => {
      if (!this.#closed) this.#handler.frame(header, payload);
    });
    this.#uncork = () => {
      this.#corked = false;
      if (!this.#closed) connection.uncork();
    };
  }

  get remote(): string {
    return this.#connection.remote;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Answers that the kernel has not taken yet. */
  get answersQueuedBytes(): number {
    return this.#connection.queuedBytes;
  }

  handOver(handler: FrameHandler): void {
    this.#handler = handler;
  }

  /** The answers of one turn of the event loop go out in one system call. */
  answer(
    request: { readonly op: number; readonly sequence: number; readonly epoch: number },
    status: number,
    payload: Buffer = NO_PAYLOAD,
  ): void {
    if (this.#closed) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#connection.cork();
      this.#options.defer(this.#uncork);
    }
    const header = encodeHeader(
      {
        op: (request.op & 0x7f) | ANSWER,
        status,
        sequence: request.sequence,
        epoch: request.epoch,
        offsetBytes: 0,
        lengthBytes: 0,
      },
      payload,
    );
    this.#connection.write(header);
    if (payload.length > 0) this.#connection.write(payload);
    if (this.#connection.queuedBytes > ANSWERS_QUEUED_BYTES_MAX) this.cut('it reads no answers');
  }

  pause(): void {
    if (!this.#closed) this.#connection.pause();
  }

  resume(): void {
    if (!this.#closed) this.#connection.resume();
  }

  /** What was answered still goes out. */
  end(detail: string): void {
    if (this.#closed) return;
    this.#connection.end();
    this.#close(detail);
  }

  /** Answers that the kernel has not taken are dropped: the other side is fenced (R8). */
  cut(detail: string): void {
    if (this.#closed) return;
    this.#connection.destroy();
    this.#close(detail);
  }

  onData(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      this.cut(messageOf(error));
    }
  }

  onDrain(): void {
    if (!this.#closed) this.#handler.drained();
  }

  onClose(error: Error | null): void {
    if (this.#closed) return;
    if (error !== null) this.#detail = error.message;
    this.#close(this.#detail);
  }

  #close(detail: string): void {
    this.#closed = true;
    this.#handler.closed();
    this.#options.onClosed(this, detail);
  }
}
