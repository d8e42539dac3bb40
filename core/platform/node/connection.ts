import type { Socket } from 'node:net';
import { assert } from '../../assert.ts';
import type { Address, Connection, ConnectionHandlers } from '../network.ts';

/** After `end`, the other side has so long to close too. */
const LINGER_MS = 5_000;

/** A net.Socket as the ports want it: no closure and no copy per write or chunk. */
export class NodeConnection implements Connection {
  readonly remote: string;
  readonly local?: Address;
  readonly #socket: Socket;
  #handlers: ConnectionHandlers | null = null;
  #error: Error | null = null;
  #ended = false;
  #linger: NodeJS.Timeout | null = null;

  constructor(socket: Socket, ends: { readonly remote: string; readonly local?: Address }) {
    this.remote = ends.remote;
    if (ends.local !== undefined) this.local = ends.local;
    this.#socket = socket;
    socket.on('error', (error) => {
      this.#error ??= error;
    });
  }

  /** Nothing arrives before: reading starts with the first `data` listener. */
  attach(handlers: ConnectionHandlers): void {
    assert(this.#handlers === null, 'a connection has one set of handlers');
    this.#handlers = handlers;
    const socket = this.#socket;
    socket.on('connect', () => handlers.onOpen?.());
    socket.on('data', (chunk: Buffer) => {
      // A paused stream would still deliver what it has read already.
      if (!this.#ended && !socket.destroyed) handlers.onData(chunk);
    });
    socket.on('drain', () => {
      if (!this.#ended && !socket.destroyed) handlers.onDrain?.();
    });
    socket.on('close', () => {
      if (this.#linger !== null) clearTimeout(this.#linger);
      handlers.onClose(this.#error);
    });
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Buffer): boolean {
    // A connection that is going down takes nothing more; onClose tells.
    if (this.#ended || !this.#socket.writable) return false;
    return this.#socket.write(bytes);
  }

  cork(): void {
    if (this.#socket.writableCorked === 0) this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  pause(): void {
    if (!this.#ended) this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    if (this.#ended || this.#socket.destroyed) return;
    this.#ended = true;
    this.#socket.uncork();
    // Reads on, and drops it, so that the end of the other side is seen. Closing with unread
    // bytes would send a reset, which takes what is still on its way to the other side with it.
    this.#socket.resume();
    this.#socket.end();
    this.#linger = setTimeout(() => this.#socket.destroy(), LINGER_MS);
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
