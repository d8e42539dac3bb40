import { codeOf } from '../errors.ts';

const SECRET_NAME = /token|secret|password|authorization/i;
const DEPTH_MAX = 6;

/** Fields as they may be written: secrets hidden, errors as data. The argument is not changed. */
export function plainFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return plainObject(fields, 0);
}

function plainObject(value: object, depth: number): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    plain[name] = SECRET_NAME.test(name) && field !== null ? '[hidden]' : plainValue(field, depth);
  }
  return plain;
}

function plainValue(value: unknown, depth: number): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= DEPTH_MAX) return '[deeper]';
  if (value instanceof Error) return plainError(value, depth);
  if (Array.isArray(value)) return value.map((item) => plainValue(item, depth + 1));
  return plainObject(value, depth + 1);
}

/** An operating error is its sentence and code; one without a code is a bug and has its stack. */
function plainError(error: Error, depth: number): Record<string, unknown> {
  const code = codeOf(error);
  return {
    message: error.message,
    ...(code === null ? { stack: error.stack } : { code }),
    ...(error.cause === undefined ? {} : { cause: plainValue(error.cause, depth + 1) }),
  };
}
