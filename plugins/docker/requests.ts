/** The requests of docker.volumedriver/1.0, checked by hand: four fields, all but one optional. */
import { apiError } from '../../core/api/index.ts';

export type Fields = Readonly<Record<string, unknown>>;

/** A consumer is `docker:` and the mount's id, and has at most 256 characters. */
const CONSUMER_CHARACTERS_MAX = 256;
const CONSUMER_PREFIX = 'docker:';

/** @throws ApiError badRequest when the body is not one JSON object. No body at all: no fields. */
export function parseBody(body: Buffer): Fields {
  if (body.length === 0) return {};
  const value = parseJson(body);
  // Go writes a nil argument as `null`.
  if (value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw apiError('badRequest', 'the body of the request is not a JSON object');
  }
  return value as Fields;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw apiError('badRequest', 'the body of the request is not JSON', { cause });
  }
}

export function nameOf(fields: Fields): string {
  const name = fields['Name'];
  if (typeof name === 'string' && name !== '') return name;
  throw apiError('badRequest', 'the request names no volume: Name must be a string');
}

/** Values in Opts are strings; Go writes an empty map as `null`. */
export function optionsOf(fields: Fields): Readonly<Record<string, string>> {
  const options = fields['Opts'] ?? {};
  if (typeof options !== 'object' || Array.isArray(options)) {
    throw apiError('badRequest', 'Opts must be an object of strings');
  }
  for (const [option, value] of Object.entries(options)) {
    if (typeof value !== 'string') {
      const shown = JSON.stringify(option.slice(0, 64));
      throw apiError('badRequest', `option ${shown} must be a string`);
    }
  }
  return options as Readonly<Record<string, string>>;
}

/** Who mounts, for the agent; null for dvdcli, which sends no id. */
export function consumerOf(fields: Fields): string | null {
  const id = fields['ID'] ?? '';
  if (typeof id !== 'string') throw apiError('badRequest', 'ID must be a string');
  if (id === '') return null;
  const consumer = `${CONSUMER_PREFIX}${id}`;
  if (consumer.length <= CONSUMER_CHARACTERS_MAX) return consumer;
  const idCharactersMax = CONSUMER_CHARACTERS_MAX - CONSUMER_PREFIX.length;
  throw apiError('badRequest', `ID is longer than ${idCharactersMax} characters`);
}
