/**
 * The connection to the replica that a rebuild copies from: hello, then reads and extents,
 * pipelined. It never reconnects: a copy that lost its source starts again from nothing.
 */
import { CodedError, messageOf } from '../../core/errors.ts';
import { LOOP_GAP_MS } from '../../core/limits.ts';
import type { Clock, Connection, Network, Timer } from '../../core/platform/index.ts';
import { encodeHeader, FrameDecoder } from '../../core/wire/codec.ts';
import { ANSWER, type FrameHeader, type HelloRequest, Op, Status } from '../../core/wire/frame.ts';

export class SourceError extends CodedError<{ readonly code: 'sourceFailed' }> {
  override readonly name = 'SourceError';
}

export type SourceDone = (error: Error | null, payload: Buffer) => void;

export interface SourceLinkOptions {
  readonly address: string;
  readonly hello: HelloRequest;
  readonly onOpen: () => void;
  /** Exactly once, unless `close` was called. All requests have been answered with it before. */
  readonly onBroken: (error: Error) => void;
}

/** A source that owes answers and says nothing for so long is given up. */
const SILENCE_MS_MAX = 10_000;
const WATCH_INTERVAL_MS = 1_000;
const NO_PAYLOAD = Buffer.alloc(0);

function sourceError(sentence: string, cause?: unknown): SourceError {
  return new SourceError({ code: 'sourceFailed' }, sentence, cause);
}

export class SourceLink {
  readonly #options: SourceLinkOptions;
  readonly #clock: Clock;
  readonly #connection: Connection;
  readonly #decoder: FrameDecoder;
  readonly #waiting = new Map<number, { readonly op: number; readonly done: SourceDone }>();
  #sequence = 0;
  #closed = false;
  #heardMs: number;
  #watch: Timer;

  constructor(platform: { network: Network; clock: Clock }, options: SourceLinkOptions) {
    this.#options = options;
    this.#clock = platform.clock;
    this.#heardMs = platform.clock.nowMs();
    this.#decoder = new FrameDecoder((header, payload) => this.#receive(header, payload));
    this.#connection = platform.network.connect(options.address, {
      onOpen: () => this.#sayHello(),
      onData: (chunk) => this.#take(chunk),
      onClose: (error) => this.#break(error === null ? 'it closed' : messageOf(error)),
    });
    this.#watch = this.#watchLater();
  }

  /** `done` comes later than this call; with an error when the link breaks or is closed. */
  request(op: number, offsetBytes: number, lengthBytes: number, done: SourceDone): void {
    this.#send(op, { offsetBytes, lengthBytes }, null, done);
  }

  requestWith(op: number, offsetBytes: number, payload: Buffer, done: SourceDone): void {
    this.#send(op, { offsetBytes, lengthBytes: 0 }, payload, done);
  }

  close(): void {
    if (this.#closed) return;
    this.#end(sourceError('the copy was stopped'));
  }

  #sayHello(): void {
    const payload = Buffer.from(JSON.stringify(this.#options.hello));
    this.#send(Op.hello, { offsetBytes: 0, lengthBytes: 0 }, payload, (error) => {
      if (error === null) this.#options.onOpen();
      else if (!this.#closed) this.#break(error.message);
    });
  }

  #send(
    op: number,
    range: { readonly offsetBytes: number; readonly lengthBytes: number },
    payload: Buffer | null,
    done: SourceDone,
  ): void {
    if (this.#closed) {
      queueMicrotask(() => done(sourceError('the source is gone'), NO_PAYLOAD));
      return;
    }
    if (this.#waiting.size === 0) this.#heardMs = this.#clock.nowMs();
    this.#sequence += 1;
    const sequence = this.#sequence;
    const { epoch } = this.#options.hello;
    this.#waiting.set(sequence, { op, done });
    this.#connection.write(encodeHeader({ op, status: 0, sequence, epoch, ...range }, payload));
    if (payload !== null) this.#connection.write(payload);
  }

  #take(chunk: Buffer): void {
    if (this.#closed) return;
    this.#heardMs = this.#clock.nowMs();
    try {
      this.#decoder.push(chunk);
    } catch (error) {
      this.#break(messageOf(error));
    }
  }

  #receive(header: Readonly<FrameHeader>, payload: Buffer): void {
    const request = this.#waiting.get(header.sequence);
    if (this.#closed || request === undefined || header.op !== (request.op | ANSWER)) return;
    this.#waiting.delete(header.sequence);
    if (header.status === Status.ok) request.done(null, payload);
    else request.done(sourceError(refusalSentence(header.status, payload)), NO_PAYLOAD);
  }

  #watchLater(): Timer {
    const dueMs = this.#clock.nowMs() + WATCH_INTERVAL_MS;
    return this.#clock.timer(WATCH_INTERVAL_MS, () => {
      if (this.#closed) return;
      this.#watch = this.#watchLater();
      // Paused ourselves, we have not listened: the source gets its time again (R17).
      if (this.#clock.nowMs() - dueMs > LOOP_GAP_MS) this.#heardMs = this.#clock.nowMs();
      const silentMs = this.#clock.nowMs() - this.#heardMs;
      if (this.#waiting.size > 0 && silentMs > SILENCE_MS_MAX) this.#break('it does not answer');
    });
  }

  #break(detail: string): void {
    if (this.#closed) return;
    const { address } = this.#options;
    const error = sourceError(`the source ${address} failed: ${detail}`);
    this.#end(error);
    this.#options.onBroken(error);
  }

  #end(error: SourceError): void {
    this.#closed = true;
    this.#watch.cancel();
    this.#connection.destroy();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { done } of waiting) done(error, NO_PAYLOAD);
  }
}

function refusalSentence(status: number, payload: Buffer): string {
  const name = Object.entries(Status).find(([, number]) => number === status)?.[0] ?? 'unknown';
  try {
    const { detail } = JSON.parse(payload.toString('utf8')) as { detail?: unknown };
    if (typeof detail === 'string') return `answered ${name}: ${detail.slice(0, 512)}`;
  } catch {
    // Without a sentence the status alone has to do.
  }
  return `answered ${name}`;
}
