import { assert } from '../../assert.ts';
import { KiB, MiB } from '../../units.ts';
import type { Address, Connection, ConnectionHandlers } from '../network.ts';
import type { SimMachine } from './machine.ts';
import type { SimNetwork } from './network.ts';
import type { SimProcess } from './process.ts';
import { networkError } from './process-network.ts';
import { ReceiveBuffer } from './receive-buffer.ts';
import { type Segment, Wire } from './wire.ts';

/** Bytes on the wire or not yet taken by the other side's process: both kernels' buffers. */
const WINDOW_BYTES = 256 * KiB;
const SEGMENT_BYTES = 64 * KiB;
const HIGH_WATER_BYTES = MiB;
const LINGER_MS = 5_000;
/** From the kernel's knowing to the callback. */
const WAKE_MS = [0, 0.02] as const;
/** A machine that is off does not answer ARP either. */
const UNREACHABLE_MS = 3_000;

type EndpointState = 'connecting' | 'open' | 'closed';

/** One end of a connection: the process's Connection and what the kernel does for it. */
export class SimEndpoint implements Connection {
  readonly remote: string;
  local?: Address;
  readonly process: SimProcess;
  readonly #network: SimNetwork;
  readonly #id: string;
  readonly #wire: Wire;
  readonly #received = new ReceiveBuffer();
  readonly #queue: Buffer[] = [];
  #peer: SimEndpoint | null = null;
  #handlers: ConnectionHandlers | null = null;
  #state: EndpointState = 'connecting';
  #powerLost = false;
  #queuedBytes = 0;
  #windowUsedBytes = 0;
  #heldAckBytes = 0;
  #retryConnect: (() => void) | null = null;
  #corked = false;
  #paused = false;
  #needsDrain = false;
  #delivering = false;
  #ended = false;
  #finSent = false;
  #finReceived = false;
  #finTaken = false;

  constructor(network: SimNetwork, owner: SimProcess, [remote, id]: readonly [string, string]) {
    this.#network = network;
    this.process = owner;
    this.remote = remote;
    this.#id = id;
    this.#wire = new Wire(network, owner.machine, {
      arrived: (segment) => this.#arrivedAtPeer(segment),
      timedOut: () => this.reset('ETIMEDOUT'),
      emptied: () => this.#forgetIfDone(),
    });
  }

  get peer(): SimEndpoint | null {
    return this.#peer;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Something of it waits for a way that is blocked. */
  get stalled(): boolean {
    return this.#wire.stalled || this.#heldAckBytes > 0 || this.#retryConnect !== null;
  }

  /** A blocked way may be open again. */
  retry(): void {
    const connect = this.#retryConnect;
    this.#retryConnect = null;
    connect?.();
    this.#acknowledge(0);
    this.#wire.retry();
  }

  attach(handlers: ConnectionHandlers): void {
    assert(this.#handlers === null, 'a connection has one set of handlers');
    this.#handlers = handlers;
    this.#wake();
  }

  connect(machine: SimMachine, key: string): void {
    const { simulation } = this.#network;
    simulation.schedule(this.#network.connectTimeoutMs, () => {
      if (this.#state === 'connecting') this.fail('ETIMEDOUT');
    });
    this.#toMachine(machine, () => this.#knock(machine, key));
  }

  /** The connection never came about. */
  fail(code: string): void {
    this.#network.simulation.schedule(0, () => this.#close(networkError(code, this.remote)));
  }

  /** The other side, or something in between, broke it. */
  reset(code: string): void {
    if (this.#state === 'closed') return;
    this.#wire.clear();
    this.#close(networkError(code, this.remote));
  }

  write(bytes: Buffer): boolean {
    if (this.#ended || this.#state === 'closed') return false;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#pump();
    if (this.#queuedBytes < HIGH_WATER_BYTES) return true;
    this.#needsDrain = true;
    return false;
  }

  cork(): void {
    this.#corked = true;
  }

  uncork(): void {
    this.#corked = false;
    this.#pump();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#wake();
  }

  end(): void {
    if (this.#ended || this.#state === 'closed') return;
    this.#ended = true;
    this.#corked = false;
    this.#paused = false;
    this.#pump();
    this.#wake();
    this.#network.simulation.schedule(LINGER_MS, () => this.process.enter(() => this.destroy()));
  }

  destroy(): void {
    if (this.#state === 'closed') return;
    this.#sendLastWord();
    this.#close(null);
  }

  processGone(how: 'killed' | 'powerLost'): void {
    if (how === 'powerLost') {
      this.#powerLost = true;
      this.#wire.cut();
    } else if (this.#state !== 'closed') {
      this.#sendLastWord();
    }
    if (this.#state !== 'closed') this.#close(null);
  }

  /** A packet of the handshake reaches the machine where somebody may listen. */
  #knock(machine: SimMachine, key: string): void {
    if (this.#state !== 'connecting') return;
    const own = this.process.machine;
    if (!this.#network.passes(own, machine) || !this.#network.passes(machine, own)) {
      this.#retryConnect = () => this.#knock(machine, key);
      if (!machine.up) {
        this.#network.simulation.schedule(UNREACHABLE_MS, () => {
          if (this.#state === 'connecting' && !machine.up) this.fail('EHOSTUNREACH');
        });
      }
      return;
    }
    const listener = this.#network.listenerAt(key);
    if (listener === null) {
      this.#toMachine(machine, () => this.fail('ECONNREFUSED'));
      return;
    }
    const remote = key.includes(' unix:') ? `unix:${this.remote.slice(5)}` : `tcp:${own.name}:0`;
    const server = this.#network.newEndpoint(listener.process, remote);
    server.local = key.slice(key.indexOf(' ') + 1).replace(/^tcp:/, `tcp:${machine.name}:`);
    this.#peer = server;
    server.#peer = this;
    server.#state = 'open';
    server.#send({ kind: 'accepted' });
    listener.process.enter(() => {
      if (server.#state === 'closed') return;
      const stillThere = this.#network.listenerAt(key) === listener;
      const handlers = stillThere ? listener.accept(server) : null;
      listener.process.note(`${handlers === null ? 'refused' : 'accepted'} ${server.#id}`);
      if (handlers === null) server.destroy();
      else server.attach(handlers);
    });
  }

  #established(): void {
    if (this.#state !== 'connecting') return;
    this.#state = 'open';
    this.process.enter(() => {
      if (this.#state !== 'open') return;
      this.process.note(`connected ${this.#id}`);
      this.#handlers?.onOpen?.();
      this.#wake();
    });
    this.#pump();
  }

  #toMachine(machine: SimMachine, then: () => void): void {
    const { latencyMs } = this.#network.link(this.process.machine, machine);
    this.#network.simulation.schedule(this.#network.random.between(latencyMs), then);
  }

  /** Hands what is queued to the kernel, as far as the window allows. */
  #pump(): void {
    if (this.#state !== 'open' || this.#corked) return;
    while (this.#windowUsedBytes < WINDOW_BYTES) {
      const bytes = this.#takeQueued(Math.min(SEGMENT_BYTES, WINDOW_BYTES - this.#windowUsedBytes));
      if (bytes === null) break;
      this.#windowUsedBytes += bytes.length;
      this.#send({ kind: 'data', bytes });
    }
    if (this.#queue.length > 0) return;
    if (this.#needsDrain) {
      this.#needsDrain = false;
      this.#soon(() => {
        if (!this.#ended) this.#handlers?.onDrain?.();
      });
    }
    if (this.#ended && !this.#finSent) {
      this.#finSent = true;
      this.#send({ kind: 'fin' });
      this.#closeIfBothEnded();
    }
  }

  /** A copy is made only now: a sender that changes its buffer after `write` sees it here. */
  #takeQueued(lengthMax: number): Buffer | null {
    const first = this.#queue[0];
    if (first === undefined) return null;
    const taken = Buffer.from(first.subarray(0, lengthMax));
    if (taken.length === first.length) this.#queue.shift();
    else this.#queue[0] = first.subarray(taken.length);
    this.#queuedBytes -= taken.length;
    return taken;
  }

  #send(segment: Segment): void {
    if (this.#peer !== null) this.#wire.send(segment, this.#peer.process.machine);
  }

  #sendLastWord(): void {
    if (this.#finSent) return;
    this.#finSent = true;
    // Linux sends a reset where unread bytes are thrown away, and may at other times.
    const reset = this.#received.lengthBytes > 0 || this.#network.random.chance(0.3);
    this.#send(reset ? { kind: 'reset' } : { kind: 'fin' });
  }

  #arrivedAtPeer(segment: Segment): void {
    const peer = this.#peer;
    assert(peer !== null, 'a segment was sent to somebody');
    if (peer.#state !== 'closed') {
      peer.#receive(segment);
      return;
    }
    // Nobody is there any more. A FIN still fits a socket that was closed in order.
    const known = segment.kind !== 'data' && !peer.#powerLost;
    if (known || segment.kind === 'reset') return;
    this.#toMachine(peer.process.machine, () => {
      if (this.#network.passes(peer.process.machine, this.process.machine)) {
        this.reset('ECONNRESET');
      } else {
        this.#wire.putBack(segment, peer.process.machine);
      }
    });
  }

  #receive(segment: Segment): void {
    switch (segment.kind) {
      case 'accepted':
        this.#established();
        return;
      case 'data':
        this.#received.push(segment.bytes);
        break;
      case 'fin':
        this.#finReceived = true;
        break;
      case 'reset':
        this.reset('ECONNRESET');
        return;
    }
    this.#wake();
  }

  /** Has the process called soon, if there is something for it. */
  #wake(): void {
    const something = this.#received.lengthBytes > 0 || (this.#finReceived && !this.#finTaken);
    const able = this.#state === 'open' && this.#handlers !== null && !this.#paused;
    if (!something || !able || this.#delivering) return;
    this.#delivering = true;
    this.#network.simulation.schedule(this.#network.random.between(WAKE_MS), () =>
      this.process.enter(() => {
        this.#delivering = false;
        if (this.#state === 'open' && !this.#paused) this.#deliver();
      }),
    );
  }

  #deliver(): void {
    if (this.#ended) this.#acknowledge(this.#received.drop());
    const chunk = this.#received.take(this.#network.random);
    if (chunk !== null) {
      this.process.note(`got ${chunk.length} bytes on ${this.#id}`);
      this.#acknowledge(chunk.length);
      this.#handlers?.onData(chunk);
    } else if (this.#finReceived) {
      this.#finTaken = true;
      this.#ended = true;
      this.#pump();
      this.#closeIfBothEnded();
    }
    this.#wake();
  }

  /** Opens the sender's window again, once its machine can be told. */
  #acknowledge(lengthBytes: number): void {
    const peer = this.#peer;
    this.#heldAckBytes += lengthBytes;
    if (peer === null || this.#heldAckBytes === 0) return;
    if (!this.#network.passes(this.process.machine, peer.process.machine)) return;
    peer.#windowUsedBytes -= this.#heldAckBytes;
    this.#heldAckBytes = 0;
    peer.#pump();
  }

  #closeIfBothEnded(): void {
    if (this.#finSent && this.#finTaken && this.#state === 'open') this.#close(null);
  }

  #close(error: Error | null): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#received.drop();
    this.#heldAckBytes = 0;
    this.#retryConnect = null;
    this.#soon(() => {
      this.process.note(`closed ${this.#id}${error === null ? '' : `: ${error.message}`}`);
      this.#handlers?.onClose(error);
    }, 'closed');
    this.#forgetIfDone();
  }

  #soon(callback: () => void, state: EndpointState = 'open'): void {
    this.#network.simulation.schedule(this.#network.random.between(WAKE_MS), () =>
      this.process.enter(() => {
        if (this.#state === state) callback();
      }),
    );
  }

  #forgetIfDone(): void {
    if (this.#state === 'closed' && this.#wire.empty) this.#network.forget(this);
  }
}
