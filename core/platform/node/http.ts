import * as http from 'node:http';
import { CodedError, codeOf, messageOf } from '../../errors.ts';
import { MiB } from '../../units.ts';
import type { HttpRequest, HttpResponse, HttpTransport } from '../http.ts';

/** An answer above this is no answer of ours. */
const ANSWER_BYTES_MAX = 16 * MiB;
const IDLE_CONNECTIONS_MAX = 4;

export type HttpTransportErrorData =
  /** Nothing listens there, or the connection broke before the answer was whole. */
  | { readonly code: 'unreachable'; readonly address: string }
  | { readonly code: 'timeout'; readonly timeoutMs: number }
  | { readonly code: 'aborted' }
  | { readonly code: 'tooLarge'; readonly sizeBytesMax: number }
  /** Not JSON. */
  | { readonly code: 'badAnswer'; readonly status: number };

export class HttpTransportError extends CodedError<HttpTransportErrorData> {
  override readonly name = 'HttpTransportError';
}

export interface NodeHttpOptions {
  /** `unix:/path/to.sock` or `http://127.0.0.1:5656`. */
  readonly address: string;
  /** Sent as `Authorization: Bearer …`. */
  readonly bearerToken?: string;
}

/** JSON over HTTP/1.1 on a unix socket or TCP, with kept-alive connections. */
export class NodeHttpTransport implements HttpTransport {
  readonly #address: string;
  readonly #place: http.RequestOptions;
  readonly #authorization: string | null;
  readonly #agent = new http.Agent({ keepAlive: true, maxFreeSockets: IDLE_CONNECTIONS_MAX });

  /** @throws TypeError when the address is neither a unix socket nor an http URL. */
  constructor(options: NodeHttpOptions) {
    this.#address = options.address;
    this.#place = placeOf(options.address);
    this.#authorization =
      options.bearerToken === undefined ? null : `Bearer ${options.bearerToken}`;
  }

  async request(request: HttpRequest): Promise<HttpResponse> {
    const deadline = new Deadline(request);
    try {
      return await this.#attempt(request, deadline, true);
    } finally {
      deadline.close();
    }
  }

  /** Closes the idle connections, and those in use when they are done. */
  close(): void {
    this.#agent.destroy();
  }

  async #attempt(
    request: HttpRequest,
    deadline: Deadline,
    mayRepeat: boolean,
  ): Promise<HttpResponse> {
    const payload = request.body === undefined ? null : Buffer.from(JSON.stringify(request.body));
    const outgoing = http.request({
      ...this.#place,
      method: request.method,
      path: request.path,
      headers: this.#headers(payload),
      // A POST must not be sent twice, so it does not go out on a connection that the other
      // side may just be closing.
      agent: request.method === 'POST' ? new http.Agent() : this.#agent,
    });
    deadline.guard(outgoing);
    try {
      const { status, bytes } = await exchange(outgoing, payload);
      return { status, body: parseBody(bytes, status) };
    } catch (error) {
      if (deadline.error !== null) throw deadline.error;
      if (error instanceof HttpTransportError) throw error;
      const stale = outgoing.reusedSocket && codeOf(error) === 'ECONNRESET';
      if (stale && mayRepeat) return this.#attempt(request, deadline, false);
      throw new HttpTransportError(
        { code: 'unreachable', address: this.#address },
        `${this.#address}: ${messageOf(error)}`,
        error,
      );
    }
  }

  #headers(payload: Buffer | null): http.OutgoingHttpHeaders {
    const headers: http.OutgoingHttpHeaders = { accept: 'application/json' };
    if (this.#authorization !== null) headers['authorization'] = this.#authorization;
    if (payload !== null) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = payload.length;
    }
    return headers;
  }
}

function placeOf(address: string): http.RequestOptions {
  if (address.startsWith('unix:')) {
    return { socketPath: address.slice('unix:'.length), host: 'localhost' };
  }
  const url = new URL(address);
  if (url.protocol !== 'http:') {
    throw new TypeError(`${JSON.stringify(address)} is neither unix:/path nor http://host:port`);
  }
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? 80 : url.port };
}

/** Time-out and abort signal of one call, over all its attempts. */
class Deadline {
  /** Why the call ended early, or null. */
  error: HttpTransportError | null = null;
  readonly #signal: AbortSignal | null;
  readonly #timeout: NodeJS.Timeout;
  readonly #onAbort = () =>
    this.#stop(new HttpTransportError({ code: 'aborted' }, 'the call was aborted'));
  #outgoing: http.ClientRequest | null = null;

  constructor({ timeoutMs, signal }: HttpRequest) {
    this.#signal = signal ?? null;
    this.#timeout = setTimeout(
      () =>
        this.#stop(
          new HttpTransportError({ code: 'timeout', timeoutMs }, `no answer in ${timeoutMs} ms`),
        ),
      timeoutMs,
    );
    this.#signal?.addEventListener('abort', this.#onAbort);
    if (this.#signal?.aborted === true) this.#onAbort();
  }

  guard(outgoing: http.ClientRequest): void {
    this.#outgoing = outgoing;
    if (this.error !== null) outgoing.destroy(this.error);
  }

  close(): void {
    clearTimeout(this.#timeout);
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }

  #stop(error: HttpTransportError): void {
    this.error ??= error;
    this.#outgoing?.destroy(this.error);
  }
}

interface RawAnswer {
  readonly status: number;
  readonly bytes: Buffer;
}

function exchange(outgoing: http.ClientRequest, payload: Buffer | null): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      const chunks: Buffer[] = [];
      let sizeBytes = 0;
      incoming.on('data', (chunk: Buffer) => {
        sizeBytes += chunk.length;
        if (sizeBytes <= ANSWER_BYTES_MAX) {
          chunks.push(chunk);
          return;
        }
        const error = new HttpTransportError(
          { code: 'tooLarge', sizeBytesMax: ANSWER_BYTES_MAX },
          `the answer has more than ${ANSWER_BYTES_MAX} bytes`,
        );
        reject(error);
        outgoing.destroy();
      });
      incoming.on('error', reject);
      incoming.on('end', () => {
        resolve({ status: incoming.statusCode ?? 0, bytes: Buffer.concat(chunks) });
      });
    });
    outgoing.end(payload ?? undefined);
  });
}

function parseBody(bytes: Buffer, status: number): unknown {
  if (bytes.length === 0) return null;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new HttpTransportError(
      { code: 'badAnswer', status },
      `the answer (status ${status}) is not JSON`,
      cause,
    );
  }
}
