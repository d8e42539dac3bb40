/** Where a plugin listens (CSI specification, "CSI_ENDPOINT"). */
import { resolve } from 'node:path';
import { CodedError } from '../../../core/errors.ts';

export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: '127.0.0.1' | '::1'; readonly port: number };

export class EndpointError extends CodedError<{ readonly code: 'badEndpoint' }> {
  override readonly name = 'EndpointError';
}

/**
 * gRPC names unix sockets `unix:path` and `unix:///absolute/path`. A bare path is what people type.
 * `unix://path` is refused: some take it as relative, others as absolute.
 *
 * @throws EndpointError with a sentence that names the text and what is accepted.
 */
export function parseEndpoint(text: string): Endpoint {
  const path = pathOf(text);
  if (path !== null && !/[\0\n]/.test(path)) return { kind: 'unix', path: resolve(path) };
  const tcp = /^tcp:\/\/(127\.0\.0\.1|localhost|\[::1\]):([0-9]{1,5})$/.exec(text);
  const port = Number(tcp?.[2]);
  if (tcp !== null && port <= 65_535) {
    return { kind: 'tcp', host: tcp[1] === '[::1]' ? '::1' : '127.0.0.1', port };
  }
  throw new EndpointError(
    { code: 'badEndpoint' },
    `endpoint ${JSON.stringify(text.slice(0, 256))} cannot be served: give unix:///path, ` +
      'unix:path, /path or tcp://127.0.0.1:PORT',
  );
}

function pathOf(text: string): string | null {
  if (text.startsWith('/')) return text;
  if (!text.startsWith('unix:')) return null;
  const rest = text.slice('unix:'.length);
  if (rest.startsWith('//')) return rest.startsWith('///') ? rest.slice(2) : null;
  return rest === '' ? null : rest;
}
