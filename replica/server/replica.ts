import { messageOf } from '../../core/errors.ts';
import type {
  Address,
  Connection,
  ConnectionHandlers,
  Listener,
  Platform,
} from '../../core/platform/index.ts';
import { type FrameHeader, Op, Status } from '../../core/wire/frame.ts';
import type { StorageError } from '../chain/index.ts';
import { helloRefusal } from './hello.ts';
import { detailPayload, jsonPayload, parseHello } from './payloads.ts';
import { type FrameHandler, Peer } from './peer.ts';
import { Serving, type ServingStatus } from './serving.ts';
import { isTold, ReplicaState, type StateOptions } from './state.ts';
import { codeOfFailure } from './statuses.ts';

export interface ReplicaOptions extends StateOptions {
  /** What a hello must show. */
  readonly token: string;
  readonly addresses: readonly Address[];
  /** Runs something at the end of this turn of the event loop: answers are gathered until then. */
  readonly defer: (run: () => void) => void;
}

export type ReplicaStatus = {
  readonly replicaId: string;
  readonly volumeId: string;
  readonly addresses: readonly Address[];
} & (({ readonly state: 'serving' } & ServingStatus) | { readonly state: 'lost'; detail: string });

const CONNECTIONS_MAX = 64;
const HELLO_DEADLINE_MS = 10_000;

/** One copy of one volume, served on its addresses. */
export class Replica {
  readonly #platform: Platform;
  readonly #options: ReplicaOptions;
  /** Null when this folder is nobody's: then `#lost` says why, to everyone who asks. */
  readonly #serving: Serving | null;
  readonly #lost: StorageError | null;
  readonly #peers = new Set<Peer>();
  readonly #listeners: Listener[] = [];
  #closing = false;

  private constructor(platform: Platform, options: ReplicaOptions, found: Found) {
    this.#platform = platform;
    this.#options = options;
    this.#serving = found.state === null ? null : new Serving(platform, found.state, options);
    this.#lost = found.lost;
  }

  /**
   * Opens the folder and serves it. What is wrong with it is told to whoever connects; thrown is
   * what no target can act on: a newer format, in use, no permission, an address that is taken.
   *
   * @throws StorageError, or the listener's error.
   */
  static async open(platform: Platform, options: ReplicaOptions): Promise<Replica> {
    const replica = new Replica(platform, options, await openState(platform, options));
    try {
      for (const address of options.addresses) await replica.#listen(address);
    } catch (error) {
      await replica.close();
      throw error;
    }
    return replica;
  }

  /** Where it listens, with the ports that were given. */
  get addresses(): readonly Address[] {
    return this.#listeners.map(({ address }) => address);
  }

  async status(): Promise<ReplicaStatus> {
    const { replicaId, volumeId } = this.#options;
    const common = { replicaId, volumeId, addresses: this.addresses };
    if (this.#serving === null) {
      return { ...common, state: 'lost', detail: this.#lost?.message ?? 'not open' };
    }
    return { ...common, state: 'serving', ...(await this.#serving.status()) };
  }

  /** Accepts nothing more, ends and answers what is started, makes all durable. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    for (const listener of this.#listeners) {
      await new Promise<void>((resolve) => {
        listener.close(resolve);
      });
    }
    await this.#serving?.close();
    for (const peer of this.#peers) peer.end('the replica stops');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #listen(address: Address): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#platform.network.listen(
        address,
        (connection) => this.#accept(connection),
        (error, listener) => {
          if (error !== null || listener === null) {
            reject(error ?? new Error(`cannot listen on ${address}`));
            return;
          }
          this.#listeners.push(listener);
          resolve();
        },
      );
    });
  }

  #accept(connection: Connection): ConnectionHandlers | null {
    if (this.#closing || this.#peers.size >= CONNECTIONS_MAX) return null;
    const peer = new Peer(connection, {
      defer: this.#options.defer,
      first: (made) => new Greeting(made, (header, payload) => this.#greet(made, header, payload)),
      onClosed: (closed, detail) => {
        deadline.cancel();
        this.#peers.delete(closed);
        this.#serving?.peerClosed(closed);
        this.#options.log('disconnected', { remote: closed.remote, detail });
      },
    });
    const deadline = this.#platform.clock.timer(HELLO_DEADLINE_MS, () => {
      if (!peer.greeted) peer.cut('no hello came');
    });
    this.#peers.add(peer);
    return peer;
  }

  #greet(peer: Peer, header: Readonly<FrameHeader>, payload: Buffer): void {
    const { op, sequence, epoch } = header;
    const request = parseHello(payload);
    if (request === null) {
      peer.answer(header, Status.badRequest, detailPayload('not a hello that we understand'));
      peer.end('bad hello');
      return;
    }
    const refusal = helloRefusal(request, { ...this.#options, lost: this.#lost });
    const { role } = request;
    if (refusal !== null || this.#serving === null) {
      this.#options.log('refused', { remote: peer.remote, role, code: refusal?.code });
      peer.answer(header, Status.refused, jsonPayload(refusal));
      peer.end('refused');
      return;
    }
    this.#options.log('hello', { remote: peer.remote, role, epoch: request.epoch });
    this.#serving.hello({ peer, request, header: { op, sequence, epoch } }).catch((error) => {
      peer.answer({ op, sequence, epoch }, codeOfFailure(error), detailPayload(messageOf(error)));
      peer.end('hello failed');
    });
  }
}

/** A connection that has not said hello, or whose hello is being answered. */
class Greeting implements FrameHandler {
  readonly #peer: Peer;
  readonly #greet: (header: Readonly<FrameHeader>, payload: Buffer) => void;

  constructor(peer: Peer, greet: (header: Readonly<FrameHeader>, payload: Buffer) => void) {
    this.#peer = peer;
    this.#greet = greet;
  }

  frame(header: Readonly<FrameHeader>, payload: Buffer): void {
    if (header.op === Op.hello && !this.#peer.greeted) {
      this.#peer.greeted = true;
      this.#greet(header, payload);
      return;
    }
    const detail = 'the first frame is hello, and nothing comes before its answer';
    this.#peer.answer(header, Status.badRequest, detailPayload(detail));
    this.#peer.end(detail);
  }

  closed(): void {
    // Whoever answers the hello looks whether anybody is still there.
  }

  drained(): void {
    // Nothing was sent yet.
  }
}

interface Found {
  readonly state: ReplicaState | null;
  readonly lost: StorageError | null;
}

async function openState(platform: Platform, options: ReplicaOptions): Promise<Found> {
  try {
    return { state: await ReplicaState.open(platform, options), lost: null };
  } catch (error) {
    if (!isTold(error)) throw error;
    options.log('identityLost', { path: error.data.path, detail: error.message });
    return { state: null, lost: error };
  }
}
