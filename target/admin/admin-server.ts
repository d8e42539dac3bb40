/** HTTP on the target's admin socket (0600): GET /status, POST /release. Nothing else. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { TargetStatus } from './status.ts';

export interface AdminServerOptions {
  readonly socketPath: string;
  readonly status: () => TargetStatus;
  /** Resolves when the record says released; then the process ends. */
  readonly release: () => Promise<void>;
}

/** @returns the server, listening; rejects when the socket cannot be had. */
export function startAdminServer(options: AdminServerOptions): Promise<Server> {
  const server = createServer((request, response) => {
    answer(options, request, response);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.socketPath, () => {
      resolve(server);
    });
  });
}

function answer(
  options: AdminServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  request.resume();
  if (request.method === 'GET' && request.url === '/status') {
    send(response, 200, options.status());
  } else if (request.method === 'POST' && request.url === '/release') {
    options.release().then(
      () => send(response, 200, options.status()),
      (error: unknown) => send(response, 500, { detail: String(error) }),
    );
  } else {
    send(response, 404, { detail: 'GET /status and POST /release are what there is' });
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(text);
}
