/** HTTP on the replica's admin socket (0600): GET /status. Nothing else. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { messageOf } from '../../core/errors.ts';

export interface StatusServerOptions {
  readonly socketPath: string;
  /** A JSON value without secrets. */
  readonly status: () => Promise<unknown>;
}

/** @returns the server, listening; rejects when the socket cannot be had. */
export function startStatusServer(options: StatusServerOptions): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume();
    if (request.method !== 'GET' || request.url !== '/status') {
      send(response, 404, { detail: 'GET /status is what there is' });
      return;
    }
    options.status().then(
      (status) => send(response, 200, status),
      (error: unknown) => send(response, 500, { detail: messageOf(error) }),
    );
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.socketPath, () => resolve(server));
  });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
  response.end(text);
}
