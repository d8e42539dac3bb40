import { chmod } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import express, { type NextFunction, type Request, type Response } from 'express';
import { apiError } from '../../core/api/index.ts';
import { codeOf } from '../../core/errors.ts';
import type { Files, Logger } from '../../core/platform/index.ts';
import { problemOf } from './problems.ts';
import { type AgentService, agentRoutes } from './routes.ts';

export interface ApiServer {
  /** Answers what is under way, takes nothing new, removes the socket. */
  close(): Promise<void>;
}

export interface ApiServerDependencies {
  readonly agent: AgentService;
  readonly files: Files;
  readonly log: Logger;
}

/** Sockets of callers that keep them open are closed after so long without a request. */
const KEEP_ALIVE_MS = 30_000;
const SWEEP_INTERVAL_MS = 20;

/**
 * Serves the agent's API on a unix socket of mode 0600: who may open it may do everything.
 * @param socketPath a stale one is replaced: the caller holds the lock of the folder.
 */
export async function serveApi(
  socketPath: string,
  dependencies: ApiServerDependencies,
): Promise<ApiServer> {
  const { agent, files, log } = dependencies;
  const application = express();
  application.disable('x-powered-by');
  application.disable('etag');
  application.use(agentRoutes(agent));
  application.use((request: Request) => {
    throw apiError('notFound', `there is no ${request.method} ${request.path}`);
  });
  application.use(
    // Express tells an error handler by its four parameters.
    (error: unknown, request: Request, response: Response, _next: NextFunction) => {
      const { status, problem, isUnexpected } = problemOf(error);
      const fields = { method: request.method, path: request.path, status, error };
      if (isUnexpected) log.error('request failed', fields);
      else log.debug('request refused', fields);
      if (response.headersSent) response.destroy();
      else response.status(status).json(problem);
    },
  );
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    application(request, response);
  });
  // Attaching may wait two minutes for its target; each step has its own deadline.
  server.requestTimeout = 0;
  await files.remove(socketPath);
  await listen(server, socketPath);
  await chmod(socketPath, 0o600);
  return { close: () => closeServer(server) };
}

function listen(server: Server, socketPath: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  // The socket is made within this call: it never exists with a wider mode.
  const before = process.umask(0o177);
  try {
    server.listen(socketPath, () => {
      server.off('error', reject);
      resolve();
    });
  } finally {
    process.umask(before);
  }
  return promise;
}

async function closeServer(server: Server): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.close((error) => {
    if (error === undefined || codeOf(error) === 'ERR_SERVER_NOT_RUNNING') resolve();
    else reject(error);
  });
  // A connection becomes idle only when its last answer is out.
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_INTERVAL_MS);
  try {
    await promise;
  } finally {
    clearInterval(sweep);
  }
}
