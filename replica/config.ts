/**
 * The configuration of a replica's process, checked by hand: this process loads no schema library.
 * One file serves `create` and `serve`; each takes the fields that it needs.
 */
import { CodedError } from '../core/errors.ts';
import type { ReplicaSpec } from './disk/index.ts';

export interface ServeConfig {
  readonly replicaId: string;
  readonly volumeId: string;
  readonly incarnation: string;
  readonly poolId: string;
  readonly poolPath: string;
  readonly addresses: readonly string[];
  readonly adminSocket: string;
  readonly token: string;
}

export class ConfigError extends CodedError<{ readonly code: 'badConfig'; readonly path: string }> {
  override readonly name = 'ConfigError';
}

export function configError(path: string, sentence: string, cause?: unknown): ConfigError {
  return new ConfigError({ code: 'badConfig', path }, `configuration ${path}: ${sentence}`, cause);
}

const TEXT_LENGTH_MAX = 4096;
const TOKEN_LENGTH_MIN = 16;
const ADDRESSES_MAX = 8;

/** @throws ConfigError that names the first field that is not as it must be. */
export function parseServeConfig(text: string, path: string): ServeConfig {
  const fields = parseObject(text, path);
  const { addresses } = fields;
  if (!Array.isArray(addresses) || addresses.length === 0 || addresses.length > ADDRESSES_MAX) {
    throw configError(path, 'addresses must be a list of 1 to 8 addresses');
  }
  const token = textField(fields, 'token', path);
  if (token.length < TOKEN_LENGTH_MIN) throw configError(path, 'token is too short');
  return {
    ...parseIds(fields, path),
    poolPath: absolutePath(fields, 'poolPath', path),
    adminSocket: absolutePath(fields, 'adminSocket', path),
    addresses: addresses.map((address: unknown) => {
      if (typeof address === 'string' && /^(unix:\/|tcp:)./.test(address)) return address;
      throw configError(path, 'each address must be unix:/path or tcp:host:port');
    }),
    token,
  };
}

/** @throws ConfigError */
export function parseCreateSpec(text: string, path: string): ReplicaSpec {
  const fields = parseObject(text, path);
  return {
    ...parseIds(fields, path),
    poolPath: absolutePath(fields, 'poolPath', path),
    sizeBytes: wholeNumber(fields, 'sizeBytes', path),
    blockSizeBytes: wholeNumber(fields, 'blockSizeBytes', path),
    record: fields['record'] ?? null,
  };
}

type Fields = Readonly<Record<string, unknown>>;

function parseObject(text: string, path: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw configError(path, 'it is not JSON', error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw configError(path, 'it is not a JSON object');
  }
  return value as Fields;
}

function parseIds(fields: Fields, path: string) {
  return {
    replicaId: textField(fields, 'replicaId', path),
    volumeId: textField(fields, 'volumeId', path),
    incarnation: textField(fields, 'incarnation', path),
    poolId: textField(fields, 'poolId', path),
  };
}

function textField(fields: Fields, name: string, path: string): string {
  const value = fields[name];
  if (typeof value === 'string' && value !== '' && value.length <= TEXT_LENGTH_MAX) return value;
  throw configError(path, `${name} is missing or not a text`);
}

function absolutePath(fields: Fields, name: string, path: string): string {
  const value = textField(fields, name, path);
  if (value.startsWith('/') && !value.includes('\0')) return value.replace(/(.)\/+$/, '$1');
  throw configError(path, `${name} must be an absolute path`);
}

function wholeNumber(fields: Fields, name: string, path: string): number {
  const value = fields[name];
  if (Number.isSafeInteger(value) && (value as number) > 0) return value as number;
  throw configError(path, `${name} must be a positive whole number`);
}
