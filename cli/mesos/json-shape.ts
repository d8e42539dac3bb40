/** What JSON a field holds, with the sentences for what it should. */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One sentence for each field that Mesos does not know, and so ignores without a word. */
export function unknownFields(
  object: JsonObject,
  place: string,
  valid: readonly string[],
): readonly string[] {
  return Object.keys(object)
    .filter((name) => !valid.includes(name))
    .map((name) => {
      const where = `${place}${shown(name)}`;
      return `${where} is unknown, and Mesos ignores it; valid fields: ${valid.join(', ')}`;
    });
}

/** Mesos takes null for a field that is not there. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** No `.`, `..` or empty parts, and no slash at the end. */
export function isPlainPath(path: string): boolean {
  return /^(\/[^/]+)+$/.test(path) && !/\/\.{1,2}(\/|$)/.test(path);
}

export function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 80);
}
