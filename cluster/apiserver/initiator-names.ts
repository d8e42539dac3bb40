import { apiError } from '../../core/api/errors.ts';

/** In a record: any initiator. */
const ANY = '*';

/** Those who may log in at most: several nodes' worth, and still a short record. */
const NAME_COUNT_MAX = 64;

/** RFC 7143 §4.2.7; kept as given, because initiators say their names as they are configured. */
const INITIATOR_NAME = /^(iqn|eui|naa)\.[^\s\p{Cc},]{1,219}$/iu;

/** Sorted, each once; `any` or `*` alone: any. @throws ApiError badRequest. */
export function initiatorNames(names: readonly string[]): readonly string[] {
  const wanted = new Set(names.map((name) => (name === 'any' ? ANY : name)));
  if (wanted.has(ANY)) {
    if (wanted.size === 1) return [ANY];
    throw apiError('badRequest', 'initiatorNames: `any` stands alone, with no other name');
  }
  for (const name of wanted) {
    if (INITIATOR_NAME.test(name)) continue;
    throw apiError(
      'badRequest',
      `initiatorNames: ${JSON.stringify(name)} is no iSCSI name: it starts with iqn., eui. or naa.`,
    );
  }
  return [...wanted].toSorted();
}

/** Those who may log in already, and those who are to. @throws ApiError badRequest. */
export function mergedNames(
  before: readonly string[],
  added: readonly string[],
): readonly string[] {
  if (before.includes(ANY) || added.includes(ANY)) return [ANY];
  const names = [...new Set([...before, ...added])].toSorted();
  if (names.length <= NAME_COUNT_MAX) return names;
  throw apiError(
    'badRequest',
    `initiatorNames: more than ${NAME_COUNT_MAX} initiators for one volume; detach it first`,
  );
}
