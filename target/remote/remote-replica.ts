/**
 * A replica as its target sees it: a control connection (hello, promises, records, rebuild
 * orders, pings) and a data session, both made again when they break. Unanswered data requests
 * survive a broken session and are sent again in order first (replication R15); who may resume
 * is decided by the caller, by openSession and holdSession.
 */

import {
  type BlockDevice,
  type BlockDone,
  type BlockError,
  checkRange,
  NO_DATA,
  type ReadDone,
} from '../../core/block/block-device.ts';
import { crc32c } from '../../core/crc32c/index.ts';
import { TRANSFER_BYTES_MAX, UNMAP_BYTES_MAX } from '../../core/limits.ts';
import type { Clock, Network } from '../../core/platform/index.ts';
import type { VolumeRecord } from '../../core/volume/record.ts';
import {
  type HelloAnswer,
  type HelloRequest,
  Op,
  type RebuildAnswer,
  type RebuildRequest,
} from '../../core/wire/frame.ts';
import { ControlChannel, type ControlListener, type PromiseResult } from './control-channel.ts';
import { DataSession, type RequestSink, type SessionKey } from './data-session.ts';

export interface RemoteReplicaOptions {
  readonly id: string;
  readonly volumeId: string;
  readonly incarnation: string;
  readonly token: string;
  readonly sizeBytes: number;
  /** Where it listens now; null: not known. */
  readonly address: () => string | null;
  /** Switches R15's order off: only in the simulator's own tests. */
  readonly resumesUnordered?: boolean;
}

export interface RemoteReplicaListener extends ControlListener {
  missed(id: string, detail: string): void;
  fenced(id: string, epoch: number, instance: string): void;
}

export interface RemoteReplicaDependencies {
  readonly network: Network;
  readonly clock: Clock;
  readonly listener: RemoteReplicaListener;
}

type DataOp = Parameters<DataSession['submit']>[0];

export class RemoteReplica implements BlockDevice {
  readonly id: string;
  readonly sizeBytes: number;
  readonly #control: ControlChannel;
  readonly #data: DataSession;

  constructor(options: RemoteReplicaOptions, dependencies: RemoteReplicaDependencies) {
    this.id = options.id;
    this.sizeBytes = options.sizeBytes;
    const hello = (role: 'control' | 'data', key: Omit<SessionKey, 'cache'>): HelloRequest => ({
      protocol: 1,
      volumeId: options.volumeId,
      incarnation: options.incarnation,
      replicaId: options.id,
      role,
      epoch: key.epoch,
      instance: key.instance,
      token: options.token,
      rebuildId: key.rebuildId,
    });
    const place = {
      id: options.id,
      address: options.address,
      hello,
      resumesUnordered: options.resumesUnordered ?? false,
    };
    this.#control = new ControlChannel(place, dependencies);
    this.#data = new DataSession(place, dependencies);
  }

  open(): void {
    this.#control.open();
  }

  close(): void {
    this.#control.close();
    this.#data.close();
  }

  promise(epoch: number, instance: string, done: (result: PromiseResult) => void): void {
    this.#control.promise(epoch, instance, done);
  }

  startPings(epoch: number): void {
    this.#control.startPings(epoch);
  }

  storeRecord(record: VolumeRecord, done: (stored: boolean) => void): void {
    this.#control.storeRecord(record, done);
  }

  rebuild(
    request: RebuildRequest,
    done: (error: BlockError | null, answer: RebuildAnswer | null) => void,
  ): void {
    this.#control.rebuild(request, done);
  }

  openSession(key: SessionKey): void {
    this.#data.open(key);
  }

  holdSession(): void {
    this.#data.hold();
  }

  dropSession(): void {
    this.#data.drop();
  }

  submit(
    op: DataOp,
    range: { readonly offsetBytes: number; readonly lengthBytes: number },
    payload: { readonly bytes: Buffer; readonly crc: number } | null,
    sink: RequestSink,
    tag: number,
  ): void {
    this.#data.submit(op, range, payload, sink, tag);
  }

  read(offsetBytes: number, lengthBytes: number, done: ReadDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, lengthBytes, TRANSFER_BYTES_MAX);
    if (error !== null) queueMicrotask(() => done(error, NO_DATA));
    else this.submit(Op.read, { offsetBytes, lengthBytes }, null, sinkOf(done), 0);
  }

  write(offsetBytes: number, data: Buffer, done: BlockDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, data.length, TRANSFER_BYTES_MAX);
    const payload = { bytes: data, crc: crc32c(data) };
    if (error !== null) queueMicrotask(() => done(error));
    else this.submit(Op.write, { offsetBytes, lengthBytes: data.length }, payload, sinkOf(done), 0);
  }

  unmap(offsetBytes: number, lengthBytes: number, done: BlockDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, lengthBytes, UNMAP_BYTES_MAX);
    if (error !== null) queueMicrotask(() => done(error));
    else this.submit(Op.unmap, { offsetBytes, lengthBytes }, null, sinkOf(done), 0);
  }

  flush(done: BlockDone): void {
    this.submit(Op.flush, { offsetBytes: 0, lengthBytes: 0 }, null, sinkOf(done), 0);
  }
}

function sinkOf(done: ReadDone): RequestSink {
  return { answered: (_tag, error, data) => done(error, data) };
}

/** Parsed hello answers are handed on as they are. */
export type { HelloAnswer, PromiseResult, RequestSink, SessionKey };
