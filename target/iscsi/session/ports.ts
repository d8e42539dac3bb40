import type { PduOutput } from '../pdu/writer.ts';

/** One line an event, never one an I/O. Data as fields; no payload, no secrets. */
export type Log = (message: string, fields: Readonly<Record<string, unknown>>) => void;

/** What a connection needs of the socket under it. */
export interface ConnectionPort extends PduOutput {
  /** Where the initiator is, for logs. */
  readonly remote: string;
  /** The address that the initiator connected to, as `host:port`: what SendTargets answers. */
  readonly local: string;
  /** More was sent than the other side has taken: nothing more should be started. */
  readonly isCongested: boolean;
  /** Flushes, sends all there is, then closes. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}
