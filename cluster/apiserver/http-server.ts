import { chmod, stat, unlink } from 'node:fs/promises';
import * as http from 'node:http';
import * as net from 'node:net';
import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import { apiError } from '../../core/api/errors.ts';
import { codeOf, messageOf } from '../../core/errors.ts';
import type { Logger } from '../../core/platform/logger.ts';
import type { ClusterContext } from './context.ts';
import { addressText, type ListenAddress, ListenError } from './listen-address.ts';
import { problemOf } from './problems.ts';
import { routes } from './routes.ts';

/** Time for a whole request to arrive; the answer may take longer. */
const REQUEST_TIMEOUT_MS = 30_000;
const CONNECTION_COUNT_MAX = 1_024;
/** After a stop, so long for answers under way to be read. */
const DRAIN_MS = 2_000;

/** Serves the API at one address until closed. */
export class HttpServer implements AsyncDisposable {
  readonly address: string;
  readonly #server: http.Server;
  readonly #stopping: AbortController;

  private constructor(address: string, server: http.Server, stopping: AbortController) {
    this.address = address;
    this.#server = server;
    this.#stopping = stopping;
  }

  /** @throws ListenError with one sentence. */
  static async open(context: ClusterContext, address: ListenAddress): Promise<HttpServer> {
    const stopping = new AbortController();
    const app = express();
    app.disable('x-powered-by').disable('etag').set('query parser', false);
    if (address.kind === 'http') app.use(onlyLoopbackNames);
    app.use(routes(context, stopping.signal), errorAnswers(context.log));
    const server = http.createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, app);
    server.maxConnections = CONNECTION_COUNT_MAX;
    server.on('clientError', refuseGarbage);
    if (address.kind === 'unix') await removeStaleSocket(address.path);
    await listen(server, address);
    return new HttpServer(addressText(bound(server, address)), server, stopping);
  }

  /** Takes no new requests, ends those that wait, and returns when all are answered. */
  async close(): Promise<void> {
    this.#stopping.abort();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeIdleConnections();
    const late = setTimeout(() => this.#server.closeAllConnections(), DRAIN_MS);
    await promise;
    clearTimeout(late);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A web page whose own name leads to 127.0.0.1 (DNS rebinding) is no caller of ours. */
const onlyLoopbackNames: RequestHandler = (request, _response, next) => {
  const host = (request.headers.host ?? '').replace(/:[0-9]+$/, '');
  if (['127.0.0.1', 'localhost', '[::1]'].includes(host)) return next();
  throw apiError('forbidden', 'the Host header must name the loopback address');
};

function errorAnswers(log: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    const problem = problemOf(error);
    // An agent's own fault was logged where it came in.
    if (problem.code === 'internal' && problem !== error) {
      log.error('request failed', { method: request.method, path: request.path, error });
    }
    // Too late for another answer: express cuts the connection.
    if (response.headersSent) return next(error);
    response.status(problem.status).json(problem.data);
  };
}

function refuseGarbage(_error: Error, socket: net.Socket | { destroy(): void }): void {
  if (!(socket instanceof net.Socket) || !socket.writable) return void socket.destroy();
  socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
}

/** A socket file that nobody answers at was left by a crash. @throws ListenError `inUse`. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found === null) return;
  const address = `unix:${path}`;
  if (!found.isSocket()) {
    throw new ListenError(
      { code: 'cannotListen', address },
      `cannot listen on ${address}: a file that is no socket is there; move it away`,
    );
  }
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = net.connect({ path }, () => resolve(true)).on('error', () => resolve(false));
  const isAlive = await promise;
  probe.destroy();
  if (!isAlive) return unlink(path);
  throw new ListenError({ code: 'inUse', address }, `another process listens on ${address}`);
}

async function listen(server: http.Server, address: ListenAddress): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  // The file is made within the call: nobody but us may connect, not even for a moment.
  const umask = address.kind === 'unix' ? process.umask(0o177) : null;
  try {
    if (address.kind === 'unix') server.listen({ path: address.path }, resolve);
    else server.listen({ host: address.host, port: address.port }, resolve);
  } finally {
    if (umask !== null) process.umask(umask);
  }
  try {
    await promise;
    server.off('error', reject);
    if (address.kind === 'unix') await chmod(address.path, 0o600);
  } catch (cause) {
    const text = addressText(address);
    const isTaken = codeOf(cause) === 'EADDRINUSE';
    throw new ListenError(
      { code: isTaken ? 'inUse' : 'cannotListen', address: text },
      isTaken ? `another process listens on ${text}` : `cannot listen: ${messageOf(cause)}`,
      cause,
    );
  }
}

/** With the port that the kernel chose, where 0 was asked for. */
function bound(server: http.Server, address: ListenAddress): ListenAddress {
  const actual = server.address();
  const isTcp = address.kind === 'http' && typeof actual === 'object' && actual !== null;
  return isTcp ? { ...address, port: actual.port } : address;
}
