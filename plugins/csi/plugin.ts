/** The CSI plugin of one node. */
import { fileURLToPath } from 'node:url';
import type { AgentClient, Door } from '../../core/api/index.ts';
import { controllerHandlers } from './controller.ts';
import { grpcErrorOf } from './errors.ts';
import { loadServices } from './grpc/definition.ts';
import type { Endpoint } from './grpc/endpoint.ts';
import { type GrpcHandler, type GrpcServer, type GrpcService, serveGrpc } from './grpc/server.ts';
import { identityHandlers } from './identity.ts';
import { nodeHandlers } from './node.ts';
import { PATIENCE_MS, PendingOperations } from './pending.ts';

const PROTO_PATH = fileURLToPath(new URL('./proto/csi.proto', import.meta.url));

/** Which services are there besides Identity. */
export const CSI_MODES = ['all', 'controller', 'node'] as const;
export type CsiMode = (typeof CSI_MODES)[number];

export interface PluginLog {
  info(message: string, fields: Readonly<Record<string, unknown>>): void;
  error(message: string, fields: Readonly<Record<string, unknown>>): void;
}

export interface CsiPluginOptions {
  readonly endpoint: Endpoint;
  readonly mode: CsiMode;
  /** Which orchestrator it is that calls: the front door through which volumes are held. */
  readonly door: Door;
  readonly agent: AgentClient;
  readonly version: string;
  readonly log: PluginLog;
}

/** @throws SocketError when the path of the socket cannot be taken. */
export async function startCsiPlugin(options: CsiPluginOptions): Promise<GrpcServer> {
  const { endpoint, mode, door, agent, version, log } = options;
  const pending = new PendingOperations({ patienceMs: PATIENCE_MS[door] });
  const definitionOf = loadServices(PROTO_PATH);
  const service = (name: string, handlers: GrpcService['handlers']): GrpcService => ({
    definition: definitionOf(`csi.v1.${name}`),
    handlers: told(handlers, log),
  });
  const services = [service('Identity', identityHandlers({ agent, version }))];
  if (mode !== 'node') {
    services.push(service('Controller', controllerHandlers({ agent, door, pending })));
  }
  if (mode !== 'controller') {
    services.push(service('Node', nodeHandlers({ agent, door, pending })));
  }
  const server = await serveGrpc({ endpoint, services, log });
  log.info('the CSI plugin listens', { ...endpoint, mode, door });
  return server;
}

/** Each failure in the caller's terms, and in the log: never the request, which has secrets. */
function told(handlers: GrpcService['handlers'], log: PluginLog): GrpcService['handlers'] {
  const tell =
    (handler: GrpcHandler<never, object>): GrpcHandler<never, object> =>
    async (request, call) => {
      try {
        return await handler(request, call);
      } catch (error) {
        const known = grpcErrorOf(error);
        if (known === null) throw error;
        const { code, message } = known;
        log.info('a call failed', { method: call.method, code, error: message });
        throw known;
      }
    };
  return Object.fromEntries(
    Object.entries(handlers).map(([name, handler]) => [name, tell(handler)]),
  );
}
