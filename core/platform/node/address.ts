import type { Address } from '../network.ts';

export type ParsedAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** sockaddr_un.sun_path has 108 bytes with its closing NUL (unix(7)). */
const SOCKET_PATH_BYTES_MAX = 107;

function addressError(code: 'EINVAL' | 'ENAMETOOLONG', sentence: string): Error {
  return Object.assign(new Error(`${code}: ${sentence}`), { code });
}

/** @returns the parts, or an Error with `code` EINVAL or ENAMETOOLONG. */
export function parseAddress(address: Address): ParsedAddress | Error {
  if (address.startsWith('unix:')) {
    const path = address.slice('unix:'.length);
    const lengthBytes = Buffer.byteLength(path);
    if (path === '' || path.includes('\0')) {
      return addressError('EINVAL', 'a unix address is unix:/path/to.sock');
    }
    if (lengthBytes > SOCKET_PATH_BYTES_MAX) {
      return addressError(
        'ENAMETOOLONG',
        `the socket path ${path} has ${lengthBytes} bytes, ` +
          `Linux allows ${SOCKET_PATH_BYTES_MAX}: use a folder with a shorter name`,
      );
    }
    return { kind: 'unix', path };
  }
  const match = /^tcp:(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    return addressError(
      'EINVAL',
      `${JSON.stringify(address)} is no address: unix:/path or tcp:host:port`,
    );
  }
  return { kind: 'tcp', host, port };
}

export function formatTcp(host: string, port: number): Address {
  return host.includes(':') ? `tcp:[${host}]:${port}` : `tcp:${host}:${port}`;
}
