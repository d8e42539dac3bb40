/**
 * Who may ask what of a replica whose folder is whole: promises and the connections that they
 * fence (replication R8), the one data session (R9), copies of the record, rebuild orders.
 */
import type { Platform } from '../../core/platform/index.ts';
import {
  type HelloAnswer,
  type HelloRequest,
  type PromiseAnswer,
  type RebuildAnswer,
  type RebuildRequest,
  Status,
} from '../../core/wire/frame.ts';
import type { Chain, ReplicaBreak } from '../chain/index.ts';
import { currentOf, type ReplicaFolder } from '../disk/index.ts';
import { type OrderResult, type RebuildHost, RebuildOrders } from '../rebuild/index.ts';
import { Admission } from './admission.ts';
import {
  type ControlHost,
  ControlSession,
  type PromiseResult,
  type Rejection,
} from './control-session.ts';
import { DataSession } from './data-session.ts';
import { isFenced, isPromised } from './hello.ts';
import { detailPayload, jsonPayload, refusalPayload } from './payloads.ts';
import type { Peer } from './peer.ts';
import { judgeRecord, recordVersion } from './record-copy.ts';
import type { EventLog, ReplicaState } from './state.ts';

const SOURCES_MAX = 4;
const CLOSING = 'the replica stops';

export interface Hello {
  readonly peer: Peer;
  readonly request: HelloRequest;
  readonly header: { readonly op: number; readonly sequence: number; readonly epoch: number };
}

export interface ServingStatus {
  readonly promise: PromiseAnswer;
  /** Of its copy of the record; the rest of that is nobody's business here: it holds secrets. */
  readonly record: { readonly epoch: number; readonly generation: number } | null;
  readonly failed: boolean;
  readonly layersProblem: string | null;
  readonly allocatedBytes: number;
  readonly controlSessions: number;
  readonly dataSession: { readonly epoch: number; readonly remote: string } | null;
  readonly sourceSessions: number;
  readonly rebuild: (RebuildAnswer & { readonly rebuildId: string }) | null;
}

export class Serving implements ControlHost, RebuildHost {
  readonly platform: Platform;
  readonly log: EventLog;
  readonly #state: ReplicaState;
  readonly #token: string;
  readonly #orders: RebuildOrders;
  readonly breaks: ReadonlySet<ReplicaBreak>;
  readonly #oldStay: boolean;
  readonly #admission: Admission;
  readonly #controls = new Set<ControlSession>();
  /** All that have something in flight or may start something: data and sources. */
  readonly #sessions = new Set<DataSession>();
  #data: DataSession | null = null;
  #closing = false;
  /** Promises and records that are being stored. */
  #storing = 0;
  /** The newest hello for the data session; any other that still waits is dropped. */
  #newestData: Hello | null = null;

  constructor(
    platform: Platform,
    state: ReplicaState,
    options: {
      readonly token: string;
      readonly log: EventLog;
      readonly breaks: ReadonlySet<ReplicaBreak>;
    },
  ) {
    this.breaks = options.breaks;
    this.#oldStay = options.breaks.has('R8-old-sessions-stay');
    this.#admission = new Admission(options.breaks);
    this.platform = platform;
    this.log = options.log;
    this.#state = state;
    this.#token = options.token;
    this.#orders = new RebuildOrders(this);
    this.#orders.clean();
  }

  get promise(): PromiseAnswer {
    return this.#state.promise;
  }

  get record(): unknown {
    return this.#state.record;
  }

  get folder(): ReplicaFolder {
    return this.#state.folder;
  }

  /** The hello is for this replica and shows its token. */
  hello(hello: Hello): Promise<void> {
    switch (hello.request.role) {
      case 'control':
        return this.#helloControl(hello);
      case 'data':
        return this.#helloData(hello);
      case 'source':
        return this.#helloSource(hello);
    }
  }

  async makePromise(
    epoch: number,
    instance: string,
    session: ControlSession,
  ): Promise<PromiseResult> {
    const kind = await this.#first(() =>
      this.#state.makePromise(epoch, instance, () => this.#supersede(session)),
    );
    if (kind === 'promised') session.epoch = epoch;
    return { kind, promise: this.promise };
  }

  storeRecord(record: unknown, epoch: number): Promise<Rejection | null> {
    const { identity } = this.folder;
    return this.#first(() =>
      this.#state.storeRecord(record, epoch, (held) => judgeRecord(record, held, identity)),
    );
  }

  order(request: RebuildRequest): Promise<OrderResult | null> {
    const { epoch } = this.promise;
    return this.#orders.order(request, () => this.promise.epoch === epoch);
  }

  openChain(folderName: string): Promise<Chain> {
    return this.#state.openChain(folderName);
  }

  async releaseChain(chain: Chain): Promise<void> {
    const sessions = [...this.#sessions].filter((session) => session.chain === chain);
    for (const session of sessions) this.#cut(session, 'its layers are given up');
    for (const session of sessions) await session.idle();
  }

  async adoptChain(chain: Chain): Promise<void> {
    const former = this.#state.chain;
    if (former !== null) await this.releaseChain(former);
    await this.#state.adopt(chain);
    await this.#state.renewPromise();
  }

  sourceHello(replicaId: string): HelloRequest {
    const { volumeId, incarnation } = this.folder.identity;
    const { epoch, instance } = this.promise;
    return {
      protocol: 1,
      volumeId,
      incarnation,
      replicaId,
      role: 'source',
      epoch,
      instance,
      token: this.#token,
      rebuildId: null,
    };
  }

  async status(): Promise<ServingStatus> {
    const rebuild = this.#orders.current;
    const sources = [...this.#sessions].filter(({ role }) => role === 'source');
    const data = this.#data;
    return {
      promise: this.promise,
      record: recordVersion(this.#state.record),
      failed: this.#state.failed,
      layersProblem: this.#state.chainProblem?.message ?? null,
      allocatedBytes: await this.#state.allocatedBytes(),
      controlSessions: this.#controls.size,
      dataSession: data === null ? null : { epoch: data.epoch, remote: data.peer.remote },
      sourceSessions: sources.length,
      rebuild: rebuild === null ? null : { rebuildId: rebuild.id, ...rebuild.answer },
    };
  }

  /** What is started ends and is answered; then all is flushed and closed. */
  async close(): Promise<void> {
    this.#closing = true;
    const sessions = [...this.#sessions];
    const quiet = sessions.map((session) => session.quiesce());
    await this.#orders.close();
    await Promise.all(quiet);
    for (const session of sessions) session.peer.end(CLOSING);
    for (const { peer } of this.#controls) peer.end(CLOSING);
    const { chain } = this.#state;
    if (chain !== null && !chain.failed) {
      await new Promise<void>((resolve) => {
        // A failure has marked itself; the files are closed either way.
        chain.flush(() => resolve());
      });
    }
    await this.#state.close();
  }

  peerClosed(peer: Peer): void {
    for (const control of this.#controls) {
      if (control.peer === peer) this.#controls.delete(control);
    }
  }

  /**
   * Promises and records do not queue behind data in the pool of threads (R17): while one is being
   * stored no request for data is started.
   */
  async #first<Value>(store: () => Promise<Value>): Promise<Value> {
    this.#storing += 1;
    try {
      return await store();
    } finally {
      this.#storing -= 1;
      if (this.#storing === 0) for (const session of this.#sessions) session.wake();
    }
  }

  /** A higher promise is durable: whatever is of a lower epoch ends here (R8). */
  #supersede(promiser: ControlSession): void {
    const { epoch } = this.promise;
    const detail = `epoch ${epoch} is promised`;
    for (const control of this.#controls) {
      if (control !== promiser && control.epoch > 0) control.peer.cut(detail);
    }
    for (const session of this.#sessions) if (!this.#oldStay) this.#cut(session, detail);
    const drain = {};
    this.#admission.drain(drain);
    void this.#orders.supersede().then(() => this.#admission.ended(drain));
  }

  #cut(session: DataSession, detail: string): void {
    if (this.#data === session) this.#data = null;
    this.#admission.drain(session);
    session.cut(detail);
  }

  async #helloControl(hello: Hello): Promise<void> {
    const { peer, request } = hello;
    const allocatedBytes = await this.#state.allocatedBytes();
    if (this.#closing) peer.end(CLOSING);
    if (peer.closed) return;
    if (isFenced(request, this.promise)) {
      this.#fence(hello);
      return;
    }
    const epoch = isPromised(request, this.promise) ? request.epoch : 0;
    const session = new ControlSession(peer, this, epoch);
    this.#controls.add(session);
    peer.handOver(session);
    peer.answer(hello.header, Status.ok, jsonPayload(this.#facts(allocatedBytes)));
  }

  async #helloSource(hello: Hello): Promise<void> {
    const allocatedBytes = await this.#state.allocatedBytes();
    const { chain } = this.#state;
    const sources = [...this.#sessions].filter(({ role }) => role === 'source').length;
    if (!isPromised(hello.request, this.promise)) this.#fence(hello);
    else if (chain === null) this.#refuseLayers(hello);
    else if (sources >= SOURCES_MAX) {
      hello.peer.answer(hello.header, Status.busy, detailPayload('too many copies at once'));
      hello.peer.end('too many copies at once');
    } else {
      this.#startSession(hello, chain, allocatedBytes);
    }
  }

  async #helloData(hello: Hello): Promise<void> {
    if (!this.#mayUseData(hello)) return;
    this.#newestData = hello;
    if (this.#data !== null && !this.#oldStay) {
      this.#cut(this.#data, 'a newer data session begins');
    }
    const allocatedBytes = await this.#state.allocatedBytes();
    this.#admission.wait(
      () => {
        if (this.#newestData !== hello) {
          hello.peer.cut('a newer data session begins');
        } else if (this.#mayUseData(hello)) {
          this.#newestData = null;
          const chain = this.#chainFor(hello.request.rebuildId);
          if (chain !== null) this.#data = this.#startSession(hello, chain, allocatedBytes);
        }
      },
      () => hello.peer.cut('a newer data session begins'),
    );
  }

  /** Answers when it may not. */
  #mayUseData(hello: Hello): boolean {
    const { rebuildId } = hello.request;
    if (!isPromised(hello.request, this.promise)) {
      this.#fence(hello);
      return false;
    }
    if (this.#chainFor(rebuildId) !== null) return true;
    if (rebuildId === null || rebuildId === currentOf(this.folder).rebuildId) {
      this.#refuseLayers(hello);
    } else {
      const detail = `there is no rebuild ${rebuildId} here`;
      hello.peer.answer(hello.header, Status.refused, refusalPayload('noSuchRebuild', detail));
      hello.peer.end(detail);
    }
    return false;
  }

  /** The folder that a committed rebuild filled is the replica itself. */
  #chainFor(rebuildId: string | null): Chain | null {
    if (rebuildId === null || rebuildId === currentOf(this.folder).rebuildId) {
      return this.#state.chain;
    }
    const rebuild = this.#orders.current;
    return rebuild !== null && rebuild.id === rebuildId ? rebuild.chain : null;
  }

  #startSession(hello: Hello, chain: Chain, allocatedBytes: number): DataSession | null {
    const { peer, request, header } = hello;
    if (this.#closing) peer.end(CLOSING);
    if (peer.closed) return null;
    const session = new DataSession({
      peer,
      role: request.role === 'source' ? 'source' : 'data',
      chain,
      epoch: request.epoch,
      promise: () => this.promise,
      held: () => this.#storing > 0,
      onDrained: (ended) => {
        this.#sessions.delete(ended);
        if (this.#data === ended) this.#data = null;
        this.#admission.ended(ended);
      },
    });
    this.#sessions.add(session);
    peer.handOver(session);
    peer.answer(header, Status.ok, jsonPayload(this.#facts(allocatedBytes)));
    return session;
  }

  #facts(allocatedBytes: number): HelloAnswer {
    const { identity } = this.folder;
    return {
      protocol: 1,
      poolId: identity.poolId,
      promise: this.promise,
      record: this.#state.record,
      ...this.#state.cache,
      failed: this.#state.failed,
      allocatedBytes,
      sizeBytes: identity.sizeBytes,
    };
  }

  #fence(hello: Hello): void {
    hello.peer.answer(hello.header, Status.fenced, jsonPayload(this.promise));
    hello.peer.end('fenced');
  }

  #refuseLayers(hello: Hello): void {
    const problem = this.#state.chainProblem?.message ?? 'the layers are not open';
    hello.peer.answer(hello.header, Status.refused, refusalPayload('lostIdentity', problem));
    hello.peer.end('layers lost');
  }
}
