import { CodedError } from '../../core/errors.ts';

export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'http'; readonly host: string; readonly port: number };

export class ListenError extends CodedError<{
  readonly code: 'badAddress' | 'notLoopback' | 'inUse' | 'cannotListen';
  readonly address: string;
}> {
  override readonly name = 'ListenError';
}

/** sockaddr_un.sun_path has 108 bytes with its closing NUL (unix(7)). */
const SOCKET_PATH_BYTES_MAX = 107;
const LOOPBACK = new Set(['127.0.0.1', '[::1]', 'localhost']);

/** @throws ListenError with one sentence. */
export function parseListenAddress(text: string): ListenAddress {
  if (text.startsWith('unix:')) return unixAddress(text, text.slice('unix:'.length));
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.protocol !== 'http:' || url.pathname !== '/' || url.search !== '') {
    throw new ListenError(
      { code: 'badAddress', address: text },
      `--listen ${shown(text)} is neither unix:/path nor http://127.0.0.1:PORT`,
    );
  }
  if (!LOOPBACK.has(url.hostname)) {
    throw new ListenError(
      { code: 'notLoopback', address: text },
      `--listen ${shown(text)}: this version listens on loopback only (unix:/path or ` +
        'http://127.0.0.1:PORT), because it has neither TLS nor accounts yet',
    );
  }
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { kind: 'http', host, port: url.port === '' ? 80 : Number(url.port) };
}

function unixAddress(text: string, path: string): ListenAddress {
  if (!path.startsWith('/') || path.includes('\0')) {
    throw new ListenError(
      { code: 'badAddress', address: text },
      `--listen ${shown(text)}: the path of a socket starts with /`,
    );
  }
  const lengthBytes = Buffer.byteLength(path);
  if (lengthBytes <= SOCKET_PATH_BYTES_MAX) return { kind: 'unix', path };
  throw new ListenError(
    { code: 'badAddress', address: text },
    `the socket path ${path} has ${lengthBytes} bytes, Linux allows ${SOCKET_PATH_BYTES_MAX}: ` +
      'use a state folder with a shorter name, or --listen',
  );
}

export function addressText(address: ListenAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `http://${host}:${address.port}`;
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 128));
}
