import { describe, expect, test } from '@jest/globals';
import { parseVolume, VolumeFormatError } from '../../../../cluster/reconciler/parse-volume.ts';
import {
  attachmentCleared,
  type Change,
  creationFailed,
  deletionStarted,
  detachingStarted,
  published,
  replicaMinted,
  replicaRemoved,
} from '../../../../cluster/reconciler/volume.ts';
import { volume } from '../../../fixtures/cluster/world.ts';

const creating = volume({ phase: { kind: 'creating' }, folders: { a: 'minted', b: 'wanted' } });
const whole = volume({ phase: { kind: 'creating' } });
const ready = volume();
const attached = volume({ attachedTo: 'a' });
const detaching = volume({ attachedTo: 'a', phase: { kind: 'ready', detaching: true } });
const deleting = volume({ phase: { kind: 'deleting', failure: null } });

const failure = { code: 'noSpace', detail: 'full' } as const;

describe('a transition applies in its phase and in no other:', () => {
  const all = { creating, whole, ready, attached, detaching, deleting };
  test.each<[string, Change, (keyof typeof all)[]]>([
    ['replicaMinted', replicaMinted('v@b'), ['creating']],
    ['published', published, ['whole']],
    ['creationFailed', creationFailed(failure), ['creating', 'whole']],
    ['deletionStarted', deletionStarted, ['creating', 'whole', 'ready']],
    ['replicaRemoved', replicaRemoved('v@a'), ['deleting']],
    ['detachingStarted', detachingStarted, ['attached']],
    ['attachmentCleared', attachmentCleared, ['detaching']],
  ])('%s', (_name, change, expected) => {
    const applies = Object.entries(all)
      .filter(([, document]) => change(document) !== null)
      .map(([name]) => name);
    expect(applies).toEqual(expected);
  });
});

test('a replica that is no member is neither minted nor removed', () => {
  expect(replicaMinted('v@z')(creating)).toBeNull();
  expect(replicaRemoved('v@z')(deleting)).toBeNull();
});

test('clearing an attachment is one generation, and changes nothing else', () => {
  const next = attachmentCleared(detaching);
  expect(next?.record).toEqual({ ...detaching.record, attachment: null, generation: 2 });
  expect(next?.phase).toEqual({ kind: 'ready', detaching: false });
});

describe('a document of the store', () => {
  const stored = JSON.parse(JSON.stringify(attached)) as Record<string, unknown>;

  test('is read as it was written', () => {
    expect(parseVolume('volume v', stored)).toEqual(attached);
  });

  test('of a newer version is refused in one sentence', () => {
    const newer = { ...stored, formatVersion: 2 };
    expect(() => parseVolume('volume v', newer)).toThrow(
      "the store's document of volume volume v has format version 2, this program knows 1: " +
        'it was written by a newer version; run that version',
    );
  });

  const LATER = ['door', 'claim'];
  const first = Object.keys(stored).filter((field) => !LATER.includes(field));

  test('of the first version of the format has what came later, empty', () => {
    const { door: _door, claim: _claim, ...rest } = stored;
    const { nodes: _nodes, zones: _zones, ...options } = attached.options;
    expect(parseVolume('volume v', { ...rest, options })).toEqual({
      ...stored,
      door: null,
      claim: null,
    });
  });

  test.each(first)('without %s is refused, and the field named', (field) => {
    const { [field]: _left, ...rest } = stored;
    expect(() => parseVolume('volume v', rest)).toThrow(VolumeFormatError);
    expect(() => parseVolume('volume v', rest)).toThrow(`field ${field}`);
  });

  test.each([
    [null],
    ['text'],
    [[]],
    [{ ...stored, name: 'another' }],
    [{ ...stored, replicas: [{ id: 'x' }] }],
    [{ ...stored, phase: { kind: 'lost' } }],
    [{ ...stored, record: { formatVersion: 1 } }],
  ])('that is %j is refused', (value) => {
    expect(() => parseVolume('volume v', value)).toThrow(VolumeFormatError);
  });
});
