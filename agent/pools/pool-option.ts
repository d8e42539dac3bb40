import { resolve } from 'node:path';
import { apiError } from '../../core/api/index.ts';

export interface PoolOption {
  readonly path: string;
  readonly name: string;
}

export const DEFAULT_POOL_NAME = 'default';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** `PATH[:name]`; what follows the last colon is a name only if it looks like one. */
export function parsePoolOption(text: string): PoolOption {
  const colonIndex = text.lastIndexOf(':');
  const name = text.slice(colonIndex + 1);
  const path = colonIndex < 0 ? text : text.slice(0, colonIndex);
  const hasName = colonIndex >= 0 && !name.includes('/');
  if (hasName && !NAME.test(name)) {
    throw apiError(
      'badRequest',
      `--pool ${text}: ${JSON.stringify(name)} is no name for a pool: ` +
        'letters, digits, dots, dashes and underscores, at most 64',
    );
  }
  const folder = hasName ? path : text;
  if (folder === '') throw apiError('badRequest', `--pool ${text}: the folder is missing`);
  return { path: resolve(folder), name: hasName ? name : DEFAULT_POOL_NAME };
}
