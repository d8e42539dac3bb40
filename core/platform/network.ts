/** `unix:/path/to.sock` or `tcp:host:port`. */
export type Address = string;

export interface ConnectionHandlers {
  /** Only for connections made by `connect`: the other side accepted. */
  onOpen?(): void;
  /** Bytes in order. The chunk belongs to the receiver and is never written to again. */
  onData(chunk: Buffer): void;
  /** Queued bytes fell under the low-water mark after `write` returned false. */
  onDrain?(): void;
  /** Exactly once, after which nothing else is called. Null: the other side ended it in order. */
  onClose(error: Error | null): void;
}

export interface Connection {
  /** Where the other side is, for logs. */
  readonly remote: string;
  /** Of an accepted connection: the address that the other side came to, where it is known. */
  readonly local?: Address;
  /** Bytes that `write` took and the kernel has not. */
  readonly queuedBytes: number;
  /**
   * Sends in order. The buffer must not be modified afterwards. False: more than the high-water
   * mark is queued, wait for `onDrain` before sending much more.
   */
  write(bytes: Buffer): boolean;
  /** From cork to uncork writes are gathered into one system call. Not counted: one pair a time. */
  cork(): void;
  uncork(): void;
  /** Stops and starts `onData`. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  /** Drops what is queued and closes; `onClose` still comes, not within this call. */
  destroy(): void;
}

export interface Listener {
  /** With the port that was given, where 0 was asked for. */
  readonly address: Address;
  /** Accepts no more; open connections stay. */
  close(done: () => void): void;
}

export interface Network {
  connect(address: Address, handlers: ConnectionHandlers): Connection;
  /**
   * @param accept gives the handlers of a new connection, or null to refuse it at once.
   * @param ready exactly once: the error (EADDRINUSE, ...) or the listener.
   */
  listen(
    address: Address,
    accept: (connection: Connection) => ConnectionHandlers | null,
    ready: (error: Error | null, listener: Listener | null) => void,
  ): void;
}
