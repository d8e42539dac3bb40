/**
 * A small JSON file that is replaced as a whole: readable by people, guarded by a CRC32C over what
 * it says, with a format version.
 */
import { crc32c } from '../../core/crc32c/index.ts';
import type { Files } from '../../core/platform/index.ts';
import { asStorageError, corruptFile, newerFormat, type SealedKind } from '../chain/index.ts';

const DOCUMENT_BYTES_MAX = 1024 * 1024;

export type Fields = Readonly<Record<string, unknown>>;

/** What the envelope adds to the fields of a document. */
const ENVELOPE: ReadonlySet<string> = new Set(['formatVersion', 'kind', 'crc32c']);

export async function writeDocument(
  files: Files,
  path: string,
  kind: SealedKind,
  body: Fields,
): Promise<void> {
  const { name, formatVersion } = kind;
  const document = { formatVersion, kind: name, ...body, crc32c: checksum(kind, body) };
  await files.replaceWhole(path, Buffer.from(`${JSON.stringify(document, null, 2)}\n`));
}

/** @throws StorageError: missing, corrupt, newerFormat, system. */
export async function readDocument(files: Files, path: string, kind: SealedKind): Promise<Fields> {
  let content: Buffer;
  try {
    content = await files.readWhole(path, DOCUMENT_BYTES_MAX);
  } catch (error) {
    throw asStorageError(error, path);
  }
  const document = parseFields(content, path);
  const { formatVersion } = document;
  if (typeof formatVersion === 'number' && formatVersion > kind.formatVersion) {
    throw newerFormat(path, formatVersion, kind.formatVersion);
  }
  if (document['kind'] !== kind.name || formatVersion !== kind.formatVersion) {
    throw corruptFile(path, `not a document of kind ${kind.name}`);
  }
  const entries = Object.entries(document).filter(([name]) => !ENVELOPE.has(name));
  const body: Fields = Object.fromEntries(entries);
  if (document['crc32c'] !== checksum(kind, body)) throw corruptFile(path, 'wrong checksum');
  return body;
}

/** A JSON object, without a checksum: made by others. */
export function parseFields(content: Buffer, path: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(content.toString('utf8'));
  } catch (error) {
    throw corruptFile(path, 'not JSON', error);
  }
  if (!isFields(value)) throw corruptFile(path, 'not a JSON object');
  return value;
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON keeps the order of names, so what was read spells like what was written. */
function checksum(kind: SealedKind, body: Fields): string {
  const text = JSON.stringify([kind.name, kind.formatVersion, body]);
  return crc32c(Buffer.from(text)).toString(16).padStart(8, '0');
}
