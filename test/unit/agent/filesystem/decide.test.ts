import { expect, test } from '@jest/globals';
import { decide } from '../../../../agent/filesystem/decide.ts';
import type { Content } from '../../../../agent/filesystem/probe.ts';
import type { FileSystemState } from '../../../../core/volume/record.ts';

const OWN = '11111111-2222-4333-8444-555555555555';
const FOREIGN = '99999999-2222-4333-8444-555555555555';

const blankRecord: FileSystemState = { kind: 'ext4', uuid: null, state: 'blank' };
const formatting: FileSystemState = { kind: 'ext4', uuid: OWN, state: 'formatting' };
const formatted: FileSystemState = { kind: 'ext4', uuid: OWN, state: 'formatted' };

const blank: Content = { kind: 'blank' };
const data: Content = { kind: 'data' };
const foreign: Content = { kind: 'foreign', what: 'a gpt table or the like' };
const fileSystem = (type: string, uuid: string | null): Content => ({
  kind: 'fileSystem',
  type,
  uuid,
});

test('only a blank device of a volume that never had a file system is formatted', () => {
  expect(decide(blankRecord, blank)).toEqual({ kind: 'format' });
  for (const content of [data, foreign, fileSystem('ext4', OWN), fileSystem('xfs', null)]) {
    expect(decide(blankRecord, content).kind).toBe('refuse');
  }
});

test('a format that was cut short is done again, whatever it left of its own', () => {
  for (const content of [blank, data, fileSystem('ext4', OWN)]) {
    expect(decide(formatting, content)).toEqual({ kind: 'format' });
  }
});

test('a format that was cut short never goes over what somebody else made', () => {
  for (const content of [foreign, fileSystem('ext4', FOREIGN), fileSystem('xfs', OWN)]) {
    expect(decide(formatting, content).kind).toBe('refuse');
  }
  const unnamed: FileSystemState = { ...formatting, uuid: null };
  expect(decide(unnamed, fileSystem('ext4', null)).kind).toBe('refuse');
});

test('a formatted volume is mounted only with the very file system that was made on it', () => {
  expect(decide(formatted, fileSystem('ext4', OWN))).toEqual({ kind: 'mount', uuid: OWN });
  for (const content of [
    blank,
    data,
    foreign,
    fileSystem('ext4', FOREIGN),
    fileSystem('ext4', null),
    fileSystem('xfs', OWN),
  ]) {
    expect(decide(formatted, content).kind).toBe('refuse');
  }
});

test('a refusal says what should be there and what is', () => {
  const decision = decide(formatted, fileSystem('xfs', FOREIGN));
  expect(decision).toEqual({
    kind: 'refuse',
    reason: `it should hold ext4 ${OWN} and holds xfs ${FOREIGN}`,
  });
});
