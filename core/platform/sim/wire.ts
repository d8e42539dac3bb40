import type { SimMachine } from './machine.ts';
import type { SimNetwork } from './network.ts';

export type Segment =
  /** The answer to a connect: the handshake is done. */
  | { readonly kind: 'accepted' }
  | { readonly kind: 'data'; readonly bytes: Buffer }
  | { readonly kind: 'fin' }
  | { readonly kind: 'reset' };

export interface WireEvents {
  arrived(segment: Segment): void;
  timedOut(): void;
  emptied(): void;
}

/** One direction of a connection: segments arrive in order, or wait for a blocked way to open. */
export class Wire {
  readonly #network: SimNetwork;
  readonly #from: SimMachine;
  readonly #events: WireEvents;
  readonly #inFlight: { readonly segment: Segment; readonly arriveAtMs: number }[] = [];
  #to: SimMachine | null = null;
  #lastArriveAtMs = 0;
  #armed = false;
  #stalls = 0;
  #stalled = false;
  /** Its sender lost power: what is on the way arrives, but nothing is sent twice. */
  #cut = false;

  constructor(network: SimNetwork, from: SimMachine, events: WireEvents) {
    this.#network = network;
    this.#from = from;
    this.#events = events;
  }

  get empty(): boolean {
    return this.#inFlight.length === 0;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  send(segment: Segment, to: SimMachine): void {
    this.#to = to;
    const { latencyMs, bytesPerMs } = this.#network.link(this.#from, to);
    const lengthBytes = segment.kind === 'data' ? segment.bytes.length : 0;
    const takesMs = this.#network.random.between(latencyMs) + lengthBytes / bytesPerMs;
    this.#lastArriveAtMs = Math.max(this.#lastArriveAtMs, this.#network.simulation.nowMs + takesMs);
    this.#inFlight.push({ segment, arriveAtMs: this.#lastArriveAtMs });
    this.#arm();
  }

  /** It arrived, but the answer cannot get back: it will be sent again. */
  putBack(segment: Segment, to: SimMachine): void {
    this.#to = to;
    this.#inFlight.unshift({ segment, arriveAtMs: 0 });
    this.#stall();
  }

  retry(): void {
    if (!this.#stalled) return;
    this.#stalled = false;
    this.#arm();
  }

  clear(): void {
    this.#inFlight.length = 0;
    this.#stalled = false;
  }

  /** The sender loses power: only what has left it already arrives, if the way is open. */
  cut(): void {
    this.#cut = true;
    this.#inFlight.length = this.#network.random.below(this.#inFlight.length + 1);
    if (this.#stalled) this.clear();
  }

  #arm(): void {
    const head = this.#inFlight[0];
    if (head === undefined || this.#armed || this.#stalled) return;
    this.#armed = true;
    const { simulation } = this.#network;
    simulation.schedule(head.arriveAtMs - simulation.nowMs, () => {
      this.#armed = false;
      this.#arrive();
    });
  }

  #arrive(): void {
    if (this.#inFlight.length === 0 || this.#to === null || this.#stalled) return;
    const to = this.#to;
    const passes =
      to.up && (this.#cut || this.#from.up) && !this.#network.isBlocked(this.#from, to);
    if (!passes) {
      if (this.#cut) this.clear();
      else this.#stall();
      return;
    }
    const arrived = this.#inFlight.shift();
    if (arrived !== undefined) this.#events.arrived(arrived.segment);
    if (this.empty) this.#events.emptied();
    else this.#arm();
  }

  #stall(): void {
    this.#stalled = true;
    this.#stalls += 1;
    const stall = this.#stalls;
    this.#network.simulation.schedule(this.#network.retransmitTimeoutMs, () => {
      if (!this.#stalled || this.#stalls !== stall) return;
      this.clear();
      this.#events.timedOut();
      this.#events.emptied();
    });
  }
}
