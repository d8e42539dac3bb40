import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { HttpTransportError, NodeHttpTransport } from '../../../../../core/platform/node/index.ts';
import { MiB } from '../../../../../core/units.ts';
import { temporaryFolder } from '../../../../fixtures/temporary-folder.ts';

interface Exchange {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

type Answer = (exchange: Exchange, response: http.ServerResponse) => void;

/** A server on a unix socket (or a port), with a transport to it; both end with the block. */
async function serve(answer: Answer, where: { path: string } | { port: number }) {
  const seen: Exchange[] = [];
  const server = http.createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const exchange = {
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      };
      seen.push(exchange);
      answer(exchange, response);
    });
  });
  let connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => {
    server.listen('path' in where ? where : { ...where, host: '127.0.0.1' }, resolve);
  });
  const address =
    'path' in where
      ? `unix:${where.path}`
      : `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const transport = new NodeHttpTransport({ address, bearerToken: 'secret' });
  return {
    seen,
    server,
    transport,
    connectionCount: () => connections,
    [Symbol.asyncDispose]: async () => {
      transport.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const json =
  (value: unknown, status = 200): Answer =>
  (_exchange, response) => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };

function failureOf(promise: Promise<unknown>): Promise<HttpTransportError> {
  return promise.then(
    () => {
      throw new Error('it succeeded');
    },
    (error: unknown) => {
      expect(error).toBeInstanceOf(HttpTransportError);
      return error as HttpTransportError;
    },
  );
}

describe('the HTTP transport', () => {
  test('carries JSON both ways over a unix socket, with the token', async () => {
    await using folder = await temporaryFolder('http');
    await using served = await serve(json({ made: true }, 201), { path: join(folder.path, 's') });
    const answer = await served.transport.request({
      method: 'POST',
      path: '/v1/volumes?name=a%20b',
      body: { text: 'größe' },
      timeoutMs: 5_000,
    });
    expect(answer).toEqual({ status: 201, body: { made: true } });
    expect(served.seen[0]).toMatchObject({
      method: 'POST',
      url: '/v1/volumes?name=a%20b',
      body: '{"text":"größe"}',
      headers: { authorization: 'Bearer secret', 'content-type': 'application/json' },
    });
  });

  test('carries it over loopback too: null without a body, and errors as answers', async () => {
    const answer: Answer = (exchange, response) => {
      if (exchange.url === '/none') response.writeHead(204).end();
      else json({ code: 'notFound' }, 404)(exchange, response);
    };
    await using served = await serve(answer, { port: 0 });
    const get = (path: string) =>
      served.transport.request({ method: 'GET', path, timeoutMs: 5_000 });
    expect(await get('/none')).toEqual({ status: 204, body: null });
    expect(await get('/other')).toEqual({ status: 404, body: { code: 'notFound' } });
    expect(served.seen[0]?.headers['content-length']).toBeUndefined();
  });

  test('keeps its connection, but sends a POST on a new one', async () => {
    await using folder = await temporaryFolder('http');
    await using served = await serve(json(1), { path: join(folder.path, 's') });
    const send = (method: 'GET' | 'POST') =>
      served.transport.request({ method, path: '/', timeoutMs: 5_000 });
    for (let index = 0; index < 5; index += 1) await send('GET');
    expect(served.connectionCount()).toBe(1);
    await send('POST');
    await send('POST');
    expect(served.connectionCount()).toBe(3);
  });

  test('asks again when a kept connection was just closed by the other side', async () => {
    await using folder = await temporaryFolder('http');
    let cut = false;
    const answer: Answer = (exchange, response) => {
      if (cut) {
        cut = false;
        response.socket?.destroy();
      } else {
        json('here')(exchange, response);
      }
    };
    await using served = await serve(answer, { path: join(folder.path, 's') });
    const send = (method: 'GET' | 'POST') =>
      served.transport.request({ method, path: '/', timeoutMs: 5_000 });
    await send('GET');
    cut = true;
    expect((await send('GET')).body).toBe('here');
    expect(served.seen).toHaveLength(3);
    cut = true;
    expect((await failureOf(send('POST'))).code).toBe('unreachable');
    expect(served.seen).toHaveLength(4);
  });

  test('gives up at the deadline, even in the middle of an answer', async () => {
    await using folder = await temporaryFolder('http');
    const answer: Answer = (exchange, response) => {
      if (exchange.url === '/half') response.writeHead(200).write('{"half":');
    };
    await using served = await serve(answer, { path: join(folder.path, 's') });
    for (const path of ['/never', '/half']) {
      const call = served.transport.request({ method: 'GET', path, timeoutMs: 30 });
      const failure = await failureOf(call);
      expect(failure.data).toEqual({ code: 'timeout', timeoutMs: 30 });
      expect(failure.message).toBe('no answer in 30 ms');
    }
  });

  test('stops when it is told to, before or while it waits', async () => {
    await using folder = await temporaryFolder('http');
    const stop = new AbortController();
    await using served = await serve(() => stop.abort(), { path: join(folder.path, 's') });
    const request = { method: 'GET', path: '/', timeoutMs: 5_000, signal: stop.signal } as const;
    expect((await failureOf(served.transport.request(request))).code).toBe('aborted');
    expect((await failureOf(served.transport.request(request))).code).toBe('aborted');
    expect(served.seen).toHaveLength(1);
  });

  test('takes no endless answer, no half one, and none that is not JSON', async () => {
    await using folder = await temporaryFolder('http');
    const answer: Answer = (exchange, response) => {
      if (exchange.url === '/endless') {
        response.end(Buffer.alloc(16 * MiB + 1, 0x20));
      } else if (exchange.url === '/half') {
        response.writeHead(200, { 'content-length': 100 });
        response.write('{"half":', () => response.socket?.destroy());
      } else {
        response.writeHead(502).end('<html>Bad Gateway</html>');
      }
    };
    await using served = await serve(answer, { path: join(folder.path, 's') });
    const get = (path: string) =>
      failureOf(served.transport.request({ method: 'GET', path, timeoutMs: 10_000 }));
    expect((await get('/endless')).code).toBe('tooLarge');
    expect((await get('/half')).code).toBe('unreachable');
    expect((await get('/html')).data).toEqual({ code: 'badAnswer', status: 502 });
  });

  test('says where nobody listens', async () => {
    await using folder = await temporaryFolder('http');
    const address = `unix:${join(folder.path, 'none')}`;
    const transport = new NodeHttpTransport({ address });
    const failure = await failureOf(
      transport.request({ method: 'GET', path: '/', timeoutMs: 5_000 }),
    );
    expect(failure.data).toEqual({ code: 'unreachable', address });
    expect(failure.message).toContain('ENOENT');
    expect(() => new NodeHttpTransport({ address: 'https://host' })).toThrow(
      '"https://host" is neither unix:/path nor http://host:port',
    );
  });
});
