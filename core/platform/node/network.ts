import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs';
import * as net from 'node:net';
import { dirname } from 'node:path';
import { assert } from '../../assert.ts';
import { codeOf } from '../../errors.ts';
import { MiB } from '../../units.ts';
import type { Address, Connection, ConnectionHandlers, Listener, Network } from '../network.ts';
import { formatTcp, type ParsedAddress, parseAddress } from './address.ts';
import { NodeConnection } from './connection.ts';

/** `write` returns false above it; below, a 1 MiB transfer would be two stops. */
const HIGH_WATER_BYTES = MiB;
/** net.Socket hands it on to its stream; only its types do not say so. */
const SOCKET_OPTIONS: net.SocketConstructorOpts & { highWaterMark: number } = {
  highWaterMark: HIGH_WATER_BYTES,
};
/** A connect to a socket that nobody listens on fails at once; a live one may be busy. */
const PROBE_TIMEOUT_MS = 2_000;

type Accept = (connection: Connection) => ConnectionHandlers | null;
type Ready = (error: Error | null, listener: Listener | null) => void;

export class NodeNetwork implements Network {
  connect(address: Address, handlers: ConnectionHandlers): Connection {
    const socket = new net.Socket(SOCKET_OPTIONS);
    const connection = new NodeConnection(socket, { remote: address });
    connection.attach(handlers);
    const target = parseAddress(address);
    if (target instanceof Error) {
      socket.destroy(target);
    } else if (target.kind === 'unix') {
      socket.connect({ path: target.path });
    } else {
      socket.setNoDelay(true);
      socket.connect({ host: target.host, port: target.port });
    }
    return connection;
  }

  listen(address: Address, accept: Accept, ready: Ready): void {
    const target = parseAddress(address);
    if (target instanceof Error) {
      process.nextTick(ready, target, null);
      return;
    }
    bind(target, accept, (error, listener) => {
      if (target.kind === 'tcp' || codeOf(error) !== 'EADDRINUSE') {
        ready(error, listener);
        return;
      }
      removeIfDead(target.path, (removed) => {
        if (removed) bind(target, accept, ready);
        else ready(error, null);
      });
    });
  }
}

class NodeListener implements Listener {
  readonly address: Address;
  readonly #server: net.Server;

  constructor(address: Address, server: net.Server) {
    this.address = address;
    this.#server = server;
  }

  close(done: () => void): void {
    // Server's own callback would wait for the open connections as well; the listening socket
    // (and its file) is gone when close() has returned.
    if (this.#server.listening) this.#server.close();
    process.nextTick(done);
  }
}

function bind(target: ParsedAddress, accept: Accept, ready: Ready): void {
  const server = net.createServer({ highWaterMark: HIGH_WATER_BYTES, noDelay: true });
  server.on('connection', (socket) => {
    const [remote, local] =
      target.kind === 'unix'
        ? [`unix:${target.path}`, `unix:${target.path}`]
        : [
            formatTcp(socket.remoteAddress ?? '?', socket.remotePort ?? 0),
            formatTcp(socket.localAddress ?? target.host, socket.localPort ?? target.port),
          ];
    const connection = new NodeConnection(socket, { remote, local });
    const handlers = accept(connection);
    if (handlers === null) socket.destroy();
    else connection.attach(handlers);
  });
  let told = false;
  server.on('error', (error) => {
    // Later ones are failed accepts (EMFILE, ECONNABORTED): that client sees its connection
    // fail, the listener goes on.
    if (told) return;
    told = true;
    ready(target.kind === 'unix' ? namedAright(error, target.path) : error, null);
  });
  server.on('listening', () => {
    told = true;
    const address =
      target.kind === 'unix' ? `unix:${target.path}` : boundAddress(server, target.host);
    ready(null, new NodeListener(address, server));
  });
  if (target.kind === 'unix') listenPrivately(server, target.path);
  else server.listen({ host: target.host, port: target.port });
}

/** libuv says EACCES where the folder of a unix socket is missing. */
function namedAright(error: Error, path: string): Error {
  const folder = dirname(path);
  if (codeOf(error) !== 'EACCES' || existsSync(folder)) return error;
  return Object.assign(new Error(`ENOENT: there is no folder ${folder}`), { code: 'ENOENT', path });
}

function boundAddress(server: net.Server, host: string): Address {
  const bound = server.address();
  assert(typeof bound === 'object' && bound !== null, 'a TCP listener has a port');
  return formatTcp(host, bound.port);
}

/**
 * bind and listen happen within `listen()`. The umask keeps others out from the first moment on
 * (0077 and not 0177: a folder that a pool thread makes just now must stay usable), the chmod
 * makes it exactly 0600.
 */
function listenPrivately(server: net.Server, path: string): void {
  const umaskBefore = process.umask(0o077);
  try {
    server.listen({ path });
  } finally {
    process.umask(umaskBefore);
  }
  if (server.listening) chmodSync(path, 0o600);
}

/**
 * Removes the socket file of a listener that died: only a socket, only after a connect attempt
 * was refused, and only if the file is still the one that was tried.
 */
function removeIfDead(path: string, done: (removed: boolean) => void): void {
  const tried = lstatSync(path, { throwIfNoEntry: false });
  if (tried === undefined) {
    done(true);
    return;
  }
  if (!tried.isSocket()) {
    done(false);
    return;
  }
  const probe = net.connect({ path });
  let told = false;
  const finish = (refused: boolean): void => {
    if (told) return;
    told = true;
    probe.destroy();
    const now = lstatSync(path, { throwIfNoEntry: false });
    const same = now !== undefined && now.ino === tried.ino && now.dev === tried.dev;
    if (refused && same) unlinkSync(path);
    done(refused && same);
  };
  probe.setTimeout(PROBE_TIMEOUT_MS, () => finish(false));
  probe.on('connect', () => finish(false));
  probe.on('error', (error) => finish(codeOf(error) === 'ECONNREFUSED'));
}
