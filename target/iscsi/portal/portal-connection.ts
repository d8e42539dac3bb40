import type { ConnectionHandlers, Connection as Socket } from '../../../core/platform/index.ts';
import { MiB } from '../../../core/units.ts';
import { Connection } from '../session/connection.ts';
import type { ConnectionPort } from '../session/ports.ts';
import type { Target } from '../session/target.ts';

/**
 * So many bytes that the other side has not taken are too many. Well above the socket's own mark:
 * up to here the answers of a deep queue of large reads pile up with nothing being wrong, and to
 * stop reading then would leave the device idle each time.
 */
const CONGESTED_BYTES = 8 * MiB;

/**
 * Joins a socket and the protocol engine. What is sent during one turn of the event loop leaves
 * in one system call: the first PDU corks the socket, and a microtask, which runs when the chunk
 * or the answer of a replica in hand is done with, flushes and uncorks it.
 */
export class PortalConnection implements ConnectionPort, ConnectionHandlers {
  readonly remote: string;
  readonly local: string;
  readonly connection: Connection;
  readonly #socket: Socket;
  readonly #closed: (connection: PortalConnection) => void;
  #isCongested = false;
  #isCorked = false;
  #flushIsDue = false;
  #isOver = false;
  readonly #flush = (): void => this.#flushNow();

  constructor(
    socket: Socket,
    options: {
      readonly target: Target;
      readonly local: string;
      readonly closed: (connection: PortalConnection) => void;
    },
  ) {
    this.#socket = socket;
    this.#closed = options.closed;
    this.remote = socket.remote;
    this.local = options.local;
    this.connection = new Connection(options.target, this);
  }

  get isCongested(): boolean {
    return this.#isCongested;
  }

  // ---- ConnectionPort

  send(bytes: Buffer): void {
    if (this.#isOver) return;
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
    }
    const isFull = !this.#socket.write(bytes);
    if (isFull && !this.#isCongested && this.#socket.queuedBytes > CONGESTED_BYTES) {
      // Answers that nobody takes must not pile up: no more requests until they are taken.
      this.#isCongested = true;
      this.#socket.pause();
    }
  }

  wantsFlush(): void {
    if (this.#flushIsDue || this.#isOver) return;
    this.#flushIsDue = true;
    queueMicrotask(this.#flush);
  }

  end(): void {
    if (this.#isOver) return;
    this.#flushNow();
    this.#isOver = true;
    this.#socket.end();
  }

  destroy(): void {
    this.#isOver = true;
    this.#socket.destroy();
  }

  // ---- ConnectionHandlers

  onData(chunk: Buffer): void {
    if (!this.#isOver) this.connection.receive(chunk);
  }

  onDrain(): void {
    if (!this.#isCongested) return;
    this.#isCongested = false;
    this.#socket.resume();
    this.connection.drained();
  }

  onClose(): void {
    this.#isOver = true;
    this.connection.lost();
    this.#closed(this);
  }

  #flushNow(): void {
    this.#flushIsDue = false;
    if (this.#isOver) return;
    this.connection.flush();
    if (!this.#isCorked) return;
    this.#isCorked = false;
    this.#socket.uncork();
  }
}
