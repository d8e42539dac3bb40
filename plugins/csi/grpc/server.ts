import { once } from 'node:events';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { assert } from '../../../core/assert.ts';
import { KiB, MiB } from '../../../core/units.ts';
import { listenOnSocket } from '../../sockets/socket.ts';
import type { Endpoint } from './endpoint.ts';
import { GrpcError } from './grpc-error.ts';

/** The specifications' messages have fields of 128 bytes and maps of 4 KiB. */
const REQUEST_BYTES_MAX = 256 * KiB;
/** What callers take of an answer by default. */
const ANSWER_BYTES_MAX = 4 * MiB;
const MESSAGE_CHARACTERS_MAX = 2_048;
const CONNECTIONS_MAX = 64;
const STREAMS_MAX_PER_CONNECTION = 128;
/** Calls under way, those that nobody waits for any more among them. */
const CALLS_MAX = 256;
/** At the end a caller has so long to take its last answer and hang up. */
const GOODBYE_MS = 2_000;

export interface GrpcCall {
  /** `/csi.v1.Controller/CreateVolume` */
  readonly method: string;
  /** Aborted when the caller hangs up or its deadline has passed: nobody reads the answer. */
  readonly abandoned: AbortSignal;
}

/** From message to message. @throws GrpcError; anything else is a bug. */
export type GrpcHandler<Request, Answer extends object> = (
  request: Request,
  call: GrpcCall,
) => Promise<Answer>;

export interface GrpcService {
  readonly definition: ServiceDefinition;
  /** By the name of the call. A call without a handler is answered UNIMPLEMENTED. */
  readonly handlers: Readonly<Record<string, GrpcHandler<never, object>>>;
}

export interface GrpcLog {
  error(message: string, fields: Readonly<Record<string, unknown>>): void;
}

export interface GrpcServerOptions {
  readonly endpoint: Endpoint;
  readonly services: readonly GrpcService[];
  readonly log: GrpcLog;
}

export interface GrpcServer {
  /** Takes nothing new, ends what is under way, hangs up, removes the socket. */
  close(): Promise<void>;
}

/** @throws SocketError when the path of the socket cannot be taken. */
export async function serveGrpc(options: GrpcServerOptions): Promise<GrpcServer> {
  const { endpoint, services, log } = options;
  const calls = new Calls(log);
  const server = new Server({
    'grpc.max_receive_message_length': REQUEST_BYTES_MAX,
    'grpc.max_send_message_length': ANSWER_BYTES_MAX,
    'grpc.max_concurrent_streams': STREAMS_MAX_PER_CONNECTION,
    'grpc.enable_channelz': 0,
  });
  for (const { definition, handlers } of services) {
    for (const name of Object.keys(handlers)) {
      assert(Object.hasOwn(definition, name), `${name} is a call of its service`);
    }
    server.addService(definition, calls.implementationOf(handlers, definition));
  }
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const connections = new Set<Socket>();
  const listener = createServer((connection) => {
    connections.add(connection);
    connection.on('error', () => undefined);
    connection.on('close', () => connections.delete(connection));
    injector.injectConnection(connection);
  });
  listener.maxConnections = CONNECTIONS_MAX;
  await listen(listener, endpoint);
  let closing: Promise<void> | null = null;
  return {
    close: () => (closing ??= close({ listener, server, calls, connections })),
  };
}

async function listen(listener: NetServer, endpoint: Endpoint): Promise<void> {
  if (endpoint.kind === 'unix') return listenOnSocket(listener, endpoint.path);
  listener.listen({ host: endpoint.host, port: endpoint.port });
  await once(listener, 'listening');
}

interface Parts {
  readonly listener: NetServer;
  readonly server: Server;
  readonly calls: Calls;
  readonly connections: ReadonlySet<Socket>;
}

async function close({ listener, server, calls, connections }: Parts): Promise<void> {
  const closed = once(listener, 'close');
  listener.close();
  await calls.ended();
  // It closes each connection when its last answer is taken, but tells us before.
  server.tryShutdown(() => undefined);
  await Promise.race([closed, delay(GOODBYE_MS, undefined, { ref: false })]);
  for (const connection of connections) connection.destroy();
  await closed;
  server.forceShutdown();
}

/** The calls under way. */
class Calls {
  readonly #log: GrpcLog;
  readonly #underWay = new Set<Promise<void>>();
  #isClosing = false;

  constructor(log: GrpcLog) {
    this.#log = log;
  }

  implementationOf(
    handlers: GrpcService['handlers'],
    definition: ServiceDefinition,
  ): UntypedServiceImplementation {
    const unary =
      (name: string, handler: GrpcHandler<never, object>) =>
      (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) => {
        const method = definition[name]?.path ?? name;
        const running = this.#run({ method, handler, call }).then((outcome) => {
          if (outcome instanceof GrpcError) answer(statusOf(outcome));
          else answer(null, outcome);
        });
        this.#underWay.add(running);
        void running.finally(() => this.#underWay.delete(running));
      };
    return Object.fromEntries(
      Object.entries(handlers).map(([name, handler]) => [name, unary(name, handler)]),
    );
  }

  /** Takes no further call, and resolves when none is under way. */
  async ended(): Promise<void> {
    this.#isClosing = true;
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /** Never rejects. */
  async #run(of: {
    readonly method: string;
    readonly handler: GrpcHandler<never, object>;
    readonly call: ServerUnaryCall<unknown, unknown>;
  }): Promise<object> {
    const { method, handler, call } = of;
    if (this.#isClosing) return refusal('UNAVAILABLE', 'the plugin is stopping');
    if (this.#underWay.size >= CALLS_MAX) {
      return refusal('RESOURCE_EXHAUSTED', `${CALLS_MAX} calls are under way already`);
    }
    const hangUp = new AbortController();
    call.on('cancelled', () => hangUp.abort(new Error('the caller hung up')));
    try {
      // The codec made it of the wire by the definition that the handler was written for.
      return await handler(call.request as never, { method, abandoned: hangUp.signal });
    } catch (error) {
      if (error instanceof GrpcError) return error;
      const stack = error instanceof Error ? error.stack : String(error);
      this.#log.error('a call met a bug', { method, error: stack });
      return refusal('INTERNAL', 'the plugin met a bug of its own; its log tells more');
    }
  }
}

function refusal(code: GrpcError['code'], message: string): GrpcError {
  return new GrpcError({ code }, message);
}

function statusOf({ code, message }: GrpcError) {
  return { code: status[code], details: message.slice(0, MESSAGE_CHARACTERS_MAX) };
}
