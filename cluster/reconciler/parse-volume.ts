/** Documents as they come out of the store: ours, but perhaps of another version. */
import { claimSchema, doorSchema } from '../../core/api/doors.ts';
import { CodedError } from '../../core/errors.ts';
import { parseRecord } from '../../core/volume/record.ts';
import { VOLUME_FORMAT_VERSION, type VolumeDocument } from './volume.ts';

export class VolumeFormatError extends CodedError<{
  readonly code: 'badVolume' | 'newerVolume';
  readonly name: string;
}> {
  override readonly name = 'VolumeFormatError';
}

/** @throws VolumeFormatError naming the first field that is not as it must be. */
export function parseVolume(name: string, value: unknown): VolumeDocument {
  if (typeof value !== 'object' || value === null) throw bad(name, 'it is no object');
  const fields = value as Readonly<Record<string, unknown>>;
  const version = fields['formatVersion'];
  if (typeof version === 'number' && version > VOLUME_FORMAT_VERSION) {
    throw new VolumeFormatError(
      { code: 'newerVolume', name },
      `the store's document of volume ${name} has format version ${version}, this program knows ` +
        `${VOLUME_FORMAT_VERSION}: it was written by a newer version; run that version`,
    );
  }
  const whole = withLaterFields(value as Readonly<Record<string, unknown>>);
  for (const [field, isRight] of Object.entries(CHECKS)) {
    if (!isRight(whole[field])) throw bad(name, `field ${field}`);
  }
  if (fields['name'] !== name) throw bad(name, 'field name');
  return { ...(whole as unknown as VolumeDocument), record: recordOf(name, fields['record']) };
}

/** What was added to the format since its first version; the store keeps documents as written. */
function withLaterFields(fields: Readonly<Record<string, unknown>>) {
  const { options } = fields;
  if (typeof options !== 'object' || options === null) return fields;
  const wider = { nodes: [], zones: [], ...options };
  return { door: null, claim: null, ...fields, options: wider } as Record<string, unknown>;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string' && value !== '';

const CHECKS: Readonly<Record<keyof VolumeDocument, Check>> = {
  formatVersion: (value) => value === VOLUME_FORMAT_VERSION,
  id: isText,
  name: isText,
  createdAt: isText,
  options: isObjectWith({
    sizeBytes: Number.isSafeInteger,
    replicaCount: Number.isSafeInteger,
    hasDefaultReplicaCount: (value) => typeof value === 'boolean',
    fileSystem: oneOf('none', 'ext4', 'xfs'),
    fileSystemOptions: (value) => typeof value === 'string',
    pool: (value) => value === null || isText(value),
    nodes: isListOf(isText),
    zones: isListOf(isText),
  }),
  portal: isText,
  replicaToken: isText,
  replicas: isListOf(
    isObjectWith({
      id: isText,
      node: isText,
      poolId: isText,
      folder: oneOf('wanted', 'minted', 'removed'),
    }),
  ),
  record: (value) => typeof value === 'object',
  door: (value) => value === null || doorSchema.safeParse(value).success,
  claim: (value) => value === null || claimSchema.safeParse(value).success,
  phase: isObjectWith({ kind: oneOf('creating', 'ready', 'deleting') }),
};

function isObjectWith(checks: Readonly<Record<string, Check>>): Check {
  return (value) => {
    if (typeof value !== 'object' || value === null) return false;
    const fields = value as Readonly<Record<string, unknown>>;
    return Object.entries(checks).every(([field, isRight]) => isRight(fields[field]));
  };
}

function isListOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check);
}

function oneOf(...words: readonly string[]): Check {
  return (value) => typeof value === 'string' && words.includes(value);
}

function recordOf(name: string, value: unknown): VolumeDocument['record'] {
  try {
    return parseRecord(value);
  } catch (cause) {
    throw bad(name, 'field record', cause);
  }
}

function bad(name: string, what: string, cause?: unknown): VolumeFormatError {
  return new VolumeFormatError(
    { code: 'badVolume', name },
    `the store's document of volume ${name} is not as it must be (${what})`,
    cause,
  );
}
