import { assert } from '../../assert.ts';
import type { Address, Connection, ConnectionHandlers, Listener, Network } from '../network.ts';
import type { SimMachine } from './machine.ts';
import type { SimListener, SimNetwork } from './network.ts';
import type { SimProcess } from './process.ts';

const LOCAL_HOSTS = new Set(['127.0.0.1', 'localhost', '::1', '0.0.0.0', '::']);

type Place =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/**
 * The network as one process sees it. A host is the name of a machine, or one of the usual names
 * of the own one; unix sockets are the machine's own.
 */
export class ProcessNetwork implements Network {
  readonly #process: SimProcess;
  readonly #network: SimNetwork;

  constructor(owner: SimProcess, network: SimNetwork) {
    this.#process = owner;
    this.#network = network;
  }

  connect(address: Address, handlers: ConnectionHandlers): Connection {
    const endpoint = this.#network.newEndpoint(this.#process, address);
    endpoint.attach(handlers);
    const place = parsePlace(address);
    const machine = place === null ? null : this.#machineOf(place);
    if (place === null) endpoint.fail('EINVAL');
    else if (machine === null) endpoint.fail('ENOTFOUND');
    else endpoint.connect(machine, keyOf(machine, place));
    return endpoint;
  }

  listen(
    address: Address,
    accept: (connection: Connection) => ConnectionHandlers | null,
    ready: (error: Error | null, listener: Listener | null) => void,
  ): void {
    const later = (error: Error | null, listener: Listener | null): void => {
      this.#process.simulation.schedule(0, () => this.#process.enter(() => ready(error, listener)));
    };
    let place = parsePlace(address);
    if (place === null || (place.kind === 'tcp' && !this.#isOwn(place.host))) {
      later(networkError(place === null ? 'EINVAL' : 'EADDRNOTAVAIL', address), null);
      return;
    }
    if (place.kind === 'tcp' && place.port === 0) {
      place = { ...place, port: this.#network.freePort() };
    }
    const bound = place.kind === 'unix' ? address : `tcp:${place.host}:${place.port}`;
    const key = keyOf(this.#process.machine, place);
    const registered: SimListener = { process: this.#process, key, accept };
    if (!this.#network.register(registered)) {
      later(networkError('EADDRINUSE', address), null);
      return;
    }
    this.#process.note(`listens on ${bound}`);
    later(null, {
      address: bound,
      close: (done) => {
        this.#network.unregister(registered);
        this.#process.simulation.schedule(0, () => this.#process.enter(done));
      },
    });
  }

  #machineOf(place: Place): SimMachine | null {
    if (place.kind === 'unix' || LOCAL_HOSTS.has(place.host)) return this.#process.machine;
    return this.#process.simulation.machines.get(place.host) ?? null;
  }

  #isOwn(host: string): boolean {
    return LOCAL_HOSTS.has(host) || host === this.#process.machine.name;
  }
}

export function networkError(code: string, address: string): Error {
  return Object.assign(new Error(`${code}: ${address}`), { code });
}

function parsePlace(address: Address): Place | null {
  if (address.startsWith('unix:')) return { kind: 'unix', path: address.slice(5) };
  const match = /^tcp:\[?([^\]]+?)\]?:([0-9]{1,5})$/.exec(address);
  const host = match?.[1];
  return host === undefined ? null : { kind: 'tcp', host, port: Number(match?.[2]) };
}

function keyOf(machine: SimMachine, place: Place): string {
  const local = place.kind === 'unix' ? `unix:${place.path}` : `tcp:${place.port}`;
  assert(!machine.name.includes(' '), 'machine names have no blanks');
  return `${machine.name} ${local}`;
}
