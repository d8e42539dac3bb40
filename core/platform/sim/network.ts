import { assert } from '../../assert.ts';
import type { Connection, ConnectionHandlers } from '../network.ts';
import { SimEndpoint } from './endpoint.ts';
import type { SimMachine } from './machine.ts';
import type { SimProcess } from './process.ts';
import type { Range, SimRandom } from './random.ts';
import type { Simulation } from './simulation.ts';

export interface Link {
  readonly latencyMs: Range;
  readonly bytesPerMs: number;
}

/** Within a machine: loopback and unix sockets. */
const LOCAL_LINK: Link = { latencyMs: [0.005, 0.05], bytesPerMs: 4_000_000 };
const LINK: Link = { latencyMs: [0.05, 0.5], bytesPerMs: 1_000_000 };
/** After a heal the next retransmission is due within so long. */
const RETRY_MS: Range = [1, 1_500];
const FIRST_FREE_PORT = 40_000;

export interface SimListener {
  readonly process: SimProcess;
  readonly key: string;
  accept(connection: Connection): ConnectionHandlers | null;
}

/**
 * The links between machines. What cannot pass stays where it is, as with TCP: it goes on after
 * the heal, or the connection times out.
 */
export class SimNetwork {
  /** Unacknowledged bytes for so long end a connection with ETIMEDOUT. */
  retransmitTimeoutMs = 900_000;
  /** A connect that nobody answers ends with ETIMEDOUT. */
  connectTimeoutMs = 130_000;
  readonly simulation: Simulation;
  readonly random: SimRandom;
  readonly #links = new Map<string, Link>();
  readonly #blocked = new Set<string>();
  readonly #listeners = new Map<string, SimListener>();
  readonly #endpoints = new Set<SimEndpoint>();
  #portCount = 0;
  #connectionCount = 0;

  constructor(simulation: Simulation, random: SimRandom) {
    this.simulation = simulation;
    this.random = random;
  }

  /** Both directions between two machines. */
  setLink(one: string, other: string, link: Partial<Link>): void {
    this.#links.set(pair(one, other), { ...LINK, ...link });
    this.#links.set(pair(other, one), { ...LINK, ...link });
  }

  link(from: SimMachine, to: SimMachine): Link {
    if (from === to) return LOCAL_LINK;
    return this.#links.get(pair(from.name, to.name)) ?? LINK;
  }

  /** Nothing passes between the two groups, in either direction. */
  partition(one: readonly string[], other: readonly string[]): void {
    for (const from of one) {
      for (const to of other) {
        this.block(from, to);
        this.block(to, from);
      }
    }
  }

  /** Nothing passes in this one direction. */
  block(from: string, to: string): void {
    if (from === to) return;
    this.#note(`blocked ${from} → ${to}`);
    this.#blocked.add(pair(from, to));
  }

  unblock(from: string, to: string): void {
    this.#note(`unblocked ${from} → ${to}`);
    this.#blocked.delete(pair(from, to));
    this.#retry();
  }

  heal(): void {
    this.#note('healed');
    this.#blocked.clear();
    this.#retry();
  }

  /** Whether a packet gets through now: the way is open and the machine is up. */
  passes(from: SimMachine, to: SimMachine): boolean {
    return from.up && to.up && !this.isBlocked(from, to);
  }

  isBlocked(from: SimMachine, to: SimMachine): boolean {
    return this.#blocked.has(pair(from.name, to.name));
  }

  /** Something in between resets every connection of the two machines. */
  dropConnections(one: string, other: string): void {
    this.#note(`dropped the connections ${one} – ${other}`);
    for (const endpoint of this.#endpoints) {
      const { peer } = endpoint;
      if (peer === null) continue;
      const names = [endpoint.process.machine.name, peer.process.machine.name];
      if (names.includes(one) && names.includes(other)) endpoint.reset('ECONNRESET');
    }
  }

  /** For ProcessNetwork, SimEndpoint, SimProcess and SimMachine only, from here on. */

  register(listener: SimListener): boolean {
    if (this.#listeners.has(listener.key)) return false;
    this.#listeners.set(listener.key, listener);
    return true;
  }

  unregister(listener: SimListener): void {
    if (this.#listeners.get(listener.key) === listener) this.#listeners.delete(listener.key);
  }

  listenerAt(key: string): SimListener | null {
    return this.#listeners.get(key) ?? null;
  }

  freePort(): number {
    this.#portCount += 1;
    return FIRST_FREE_PORT + this.#portCount;
  }

  newEndpoint(owner: SimProcess, remote: string): SimEndpoint {
    this.#connectionCount += 1;
    const endpoint = new SimEndpoint(this, owner, [remote, `${remote} (${this.#connectionCount})`]);
    this.#endpoints.add(endpoint);
    return endpoint;
  }

  forget(endpoint: SimEndpoint): void {
    this.#endpoints.delete(endpoint);
  }

  processGone(owner: SimProcess, how: 'killed' | 'powerLost'): void {
    for (const [key, listener] of this.#listeners) {
      if (listener.process === owner) this.#listeners.delete(key);
    }
    for (const endpoint of this.#endpoints) {
      if (endpoint.process === owner) endpoint.processGone(how);
    }
  }

  machineBooted(machine: SimMachine): void {
    assert(machine.up, 'a machine that booted is up');
    this.#retry();
  }

  #retry(): void {
    for (const endpoint of this.#endpoints) {
      if (!endpoint.stalled) continue;
      this.simulation.schedule(this.random.between(RETRY_MS), () => endpoint.retry());
    }
  }

  #note(what: string): void {
    this.simulation.note('network', what);
  }
}

function pair(from: string, to: string): string {
  return `${from} ${to}`;
}
