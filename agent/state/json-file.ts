/**
 * The agent's durable facts: one small JSON file each, replaced atomically and durably, checked by
 * a schema when read. A newer format is refused, never reinterpreted.
 */
import { z } from 'zod';
import { codeOf, messageOf } from '../../core/errors.ts';
import type { Files } from '../../core/platform/index.ts';
import { MiB } from '../../core/units.ts';
import { StateError } from './state-error.ts';

export const STATE_FORMAT_VERSION = 1;
const FILE_BYTES_MAX = 4 * MiB;

const anyVersionSchema = z.looseObject({ formatVersion: z.number().int() });

/** @returns null if there is no such file. @throws StateError */
export async function readJsonFile<Value>(
  files: Files,
  path: string,
  schema: z.ZodType<Value>,
): Promise<Value | null> {
  const text = await readText(files, path);
  if (text === null) return null;
  const parsed = parseJson(path, text);
  const version = anyVersionSchema.safeParse(parsed);
  if (version.success && version.data.formatVersion > STATE_FORMAT_VERSION) {
    throw new StateError(
      { code: 'stateNewer', path },
      `${path} has format version ${version.data.formatVersion}, this program knows ` +
        `${STATE_FORMAT_VERSION}: it was written by a newer version, run that one`,
    );
  }
  const value = schema.safeParse(parsed);
  if (value.success) return value.data;
  const issue = value.error.issues[0];
  throw damaged(path, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not as it must be'}`);
}

export async function writeJsonFile(files: Files, path: string, value: object): Promise<void> {
  const text = `${JSON.stringify({ formatVersion: STATE_FORMAT_VERSION, ...value }, null, 2)}\n`;
  await files.replaceWhole(path, Buffer.from(text));
}

async function readText(files: Files, path: string): Promise<string | null> {
  try {
    return (await files.readWhole(path, FILE_BYTES_MAX)).toString('utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw new StateError(
      { code: 'stateUnusable', path },
      `${path} cannot be read: ${messageOf(error)}`,
      error,
    );
  }
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw damaged(path, 'it is not whole JSON', cause);
  }
}

function damaged(path: string, what: string, cause?: unknown): StateError {
  return new StateError(
    { code: 'stateDamaged', path },
    `${path} is damaged (${what}): restore it from a backup; nothing was changed`,
    cause,
  );
}
