import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { codeOf } from '../../../../core/errors.ts';
import {
  inSyncIds,
  parseRecord,
  RecordFormatError,
  type VolumeRecord,
  withMemberState,
} from '../../../../core/volume/record.ts';

const RECORD: VolumeRecord = {
  formatVersion: 1,
  volumeId: 'v',
  incarnation: 'i',
  epoch: 4,
  generation: 9,
  targetInstance: 'old',
  releasedBy: null,
  attachment: { token: 't', node: 'n0', initiatorNames: ['iqn.2026-01.x:a'], chapSecret: null },
  replicas: [
    { id: 'r0', node: 'n0', state: 'inSync' },
    { id: 'r1', node: 'n1', state: 'rebuilding' },
    { id: 'r2', node: 'n2', state: 'stale' },
  ],
  sizeBytes: 1 << 30,
  blockSizeBytes: 512,
  fileSystem: { kind: 'ext4', uuid: 'u', state: 'formatted' },
  snapshots: [{ name: 's', layerId: 'l' }],
  reservations: [],
  minInSync: 1,
};

/** The code and detail with which the record is refused, or null. */
function refusalOf(value: unknown): readonly [string, string] | null {
  try {
    parseRecord(value);
    return null;
  } catch (error) {
    if (!(error instanceof RecordFormatError)) throw error;
    return [error.code, error.data.detail];
  }
}

/** Each field of the record and of what is in it: its path, and the record without it. */
function* fieldsOf(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    // Members of lists are values; the fields of the first are enough.
    if (!Array.isArray(value)) yield [...path, key];
    if (!Array.isArray(value) || key === '0') yield* fieldsOf(inner, [...path, key]);
  }
}

function withField(
  path: readonly string[],
  change: (parent: Record<string, unknown>, key: string) => void,
) {
  const copy = structuredClone(RECORD) as unknown as Record<string, unknown>;
  let parent = copy;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
  change(parent, path.at(-1) ?? '');
  return copy;
}

const FIELDS = [...fieldsOf(RECORD)];

describe('a record', () => {
  test('is read back as it was written', () => {
    expect(parseRecord(JSON.parse(JSON.stringify(RECORD)))).toEqual(RECORD);
    const bare = { ...RECORD, attachment: null, targetInstance: null, replicas: [], snapshots: [] };
    expect(parseRecord(JSON.parse(JSON.stringify(bare)))).toEqual(bare);
  });

  test('has more than twenty fields to lose', () => {
    expect(FIELDS.length).toBeGreaterThan(20);
  });

  test.each(FIELDS.map((path) => [path.join('.'), path] as const))(
    'without %s is refused, and so is anything strange there',
    (_name, path) => {
      expect(refusalOf(withField(path, (parent, key) => delete parent[key]))?.[0]).toBe(
        'badRecord',
      );
      const strange = [
        undefined,
        Number.NaN,
        -1,
        0.5,
        2 ** 53,
        '',
        'x'.repeat(513),
        true,
        [[]],
        [1],
      ];
      for (const value of [...strange, { a: 1 }, () => 1]) {
        const refusal = refusalOf(withField(path, (parent, key) => (parent[key] = value)));
        // The only values here that a field may have are -- none.
        const newer = path[0] === 'formatVersion' && typeof value === 'number' && value > 1;
        expect(refusal?.[0]).toBe(newer ? 'newerRecord' : 'badRecord');
      }
    },
  );

  test('names the field that is wrong', () => {
    expect(refusalOf({ ...RECORD, epoch: 'four' })).toEqual(['badRecord', 'epoch']);
    expect(refusalOf({ ...RECORD, reservations: [1] })).toEqual(['badRecord', 'reservations']);
    const replicas = [{ id: 'r', node: 'n', state: 'insync' }];
    expect(refusalOf({ ...RECORD, replicas })).toEqual(['badRecord', 'replicas.state']);
  });

  test('of a newer format is refused as such, whatever else is in it', () => {
    expect(refusalOf({ formatVersion: 2 })).toEqual(['newerRecord', 'formatVersion 2']);
    expect(refusalOf({ ...RECORD, formatVersion: 0 })).toEqual(['badRecord', 'formatVersion']);
  });

  test('does not take lists without end', () => {
    const snapshots = Array.from({ length: 1025 }, () => ({ name: 's', layerId: 'l' }));
    expect(refusalOf({ ...RECORD, snapshots })).toEqual(['badRecord', 'snapshots']);
  });

  test('out of anything at all is a record or a RecordFormatError', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(refusalOf(value)?.[0]).toBe('badRecord');
      }),
      { numRuns: 300 },
    );
    for (const value of [undefined, null, 7, 'record', []]) {
      expect(refusalOf(value)).toEqual(['badRecord', 'record']);
    }
  });

  test('cut short anywhere is no JSON or no record', () => {
    const text = JSON.stringify(RECORD);
    for (let length = 0; length < text.length; length += 1) {
      expect(() => parseRecord(JSON.parse(text.slice(0, length)))).toThrow();
    }
  });
});

describe('members', () => {
  test('in sync are listed in their order', () => {
    expect(inSyncIds(RECORD)).toEqual(['r0']);
    expect(inSyncIds(withMemberState(RECORD, 'r2', 'inSync'))).toEqual(['r0', 'r2']);
  });

  test('change state in a new record, the others stay', () => {
    const changed = withMemberState(RECORD, 'r0', 'stale');
    expect(changed.replicas.map(({ state }) => state)).toEqual(['stale', 'rebuilding', 'stale']);
    expect(RECORD.replicas[0]?.state).toBe('inSync');
    expect(withMemberState(RECORD, 'nobody', 'stale')).toEqual(RECORD);
  });
});

test('an error of the format has a code', () => {
  expect(codeOf(new RecordFormatError({ code: 'badRecord', detail: 'x' }, 'x'))).toBe('badRecord');
});
