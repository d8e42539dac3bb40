import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { ApiError } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import { KiB } from '../../core/units.ts';
import type { PluginLog, VolumeDriver } from './driver.ts';
import { parseBody } from './requests.ts';

/** The engine sends names and options; nothing of it is near this. */
const BODY_BYTES_MAX = 256 * KiB;
/** A request must be here whole by then; the answer may take longer. */
const REQUEST_DEADLINE_MS = 30_000;
const CONTENT_TYPE = 'application/vnd.docker.plugins.v1.2+json';

type Reply = { readonly status: number; readonly body: Readonly<Record<string, unknown>> };

/**
 * HTTP as dockerd speaks it. Accept, Content-Type and Host are not looked at: each engine version
 * sends its own. Every failure is `{"Err": "..."}` with a status that tells what kind it is; the
 * engine shows the text of any of them.
 */
export function makeServer(driver: VolumeDriver, log: PluginLog): Server {
  const server = createServer((request, response) => {
    // A closing server keeps no connection open for a next request.
    response.on('finish', () => {
      if (!server.listening) request.socket.end();
    });
    void answer(request, response, { driver, log });
  });
  server.requestTimeout = REQUEST_DEADLINE_MS;
  server.headersTimeout = REQUEST_DEADLINE_MS;
  return server;
}

type Parts = { readonly driver: VolumeDriver; readonly log: PluginLog };

/** Never rejects. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { driver, log }: Parts,
): Promise<void> {
  const hangUp = new AbortController();
  response.on('close', () => {
    if (!response.writableFinished) hangUp.abort(new Error('dockerd hung up'));
  });
  try {
    const reply = await replyTo(request, hangUp.signal, driver);
    send(response, reply);
  } catch (error) {
    if (hangUp.signal.aborted) return;
    send(response, { status: statusOf(error), body: { Err: messageOf(error) } });
    if (error instanceof ApiError) {
      const { code } = error.data;
      log.info('a volume call failed', { call: request.url, code, error: error.message });
    } else {
      const stack = error instanceof Error ? error.stack : String(error);
      log.error('a volume call met a bug', { call: request.url, error: stack });
    }
  }
}

async function replyTo(
  request: IncomingMessage,
  hungUp: AbortSignal,
  driver: VolumeDriver,
): Promise<Reply> {
  const path = (request.url ?? '').split('?')[0] ?? '';
  const endpoint = driver.endpoints.get(path);
  if (endpoint === undefined) {
    return failure(404, `there is no call ${JSON.stringify(path.slice(0, 128))}`);
  }
  if (request.method !== 'POST') return failure(405, `${path} is asked with POST`);
  const body = await readBody(request);
  if (body === null) return failure(413, `a request has at most ${BODY_BYTES_MAX} bytes`);
  return { status: 200, body: await endpoint(parseBody(body), { hungUp }) };
}

/** Null when it is too large. Rejects when the connection breaks. */
async function readBody(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > BODY_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function failure(status: number, sentence: string): Reply {
  return { status, body: { Err: sentence } };
}

function statusOf(error: unknown): number {
  return error instanceof ApiError ? error.status : 500;
}

function send(response: ServerResponse, { status, body }: Reply): void {
  if (response.destroyed) return;
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'Content-Type': CONTENT_TYPE,
    'Content-Length': Buffer.byteLength(text),
    // What is left of a body that was not read must not be taken for the next request.
    ...(status === 413 ? { Connection: 'close' } : {}),
  });
  response.end(text);
}
