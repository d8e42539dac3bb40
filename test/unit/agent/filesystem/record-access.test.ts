import { expect, test } from '@jest/globals';
import { recordAccess } from '../../../../agent/filesystem/record-access.ts';
import { ApiserverClient } from '../../../../core/api/index.ts';
import type { FileSystemState } from '../../../../core/volume/record.ts';
import { RecordServer } from '../../../fixtures/agent/record-server.ts';

const blank: FileSystemState = { kind: 'ext4', uuid: null, state: 'blank' };
const formatting: FileSystemState = { kind: 'ext4', uuid: 'u', state: 'formatting' };

function access(server: RecordServer) {
  const revisions: number[] = [];
  const record = recordAccess(server.volumeId, new ApiserverClient(server), (revision) => {
    revisions.push(revision);
  });
  return { record, revisions };
}

test('only the file system and the generation change', async () => {
  const server = new RecordServer(blank);
  const before = server.record;
  await access(server).record.change(blank, formatting);
  expect(server.record).toEqual({
    ...before,
    fileSystem: formatting,
    generation: before.generation + 1,
  });
  expect(server.actors).toEqual([{ kind: 'agent' }]);
});

test('a swap of the target in between is no reason to give up', async () => {
  const server = new RecordServer(blank);
  let swapCount = 0;
  server.beforePut = () => {
    swapCount += 1;
    if (swapCount <= 3) server.change({ epoch: server.record.epoch + 1 });
  };
  await access(server).record.change(blank, formatting);
  expect(server.record.fileSystem).toEqual(formatting);
  expect(server.record.epoch).toBe(3);
});

test('a state that somebody else changed meanwhile is a conflict, and stays theirs', async () => {
  const server = new RecordServer(blank);
  const theirs: FileSystemState = { kind: 'ext4', uuid: 'other', state: 'formatting' };
  server.beforePut = () => server.change({ fileSystem: theirs });
  await expect(access(server).record.change(blank, formatting)).rejects.toMatchObject({
    code: 'conflict',
  });
  expect(server.record.fileSystem).toEqual(theirs);
});

test('a swap that was committed although its answer was lost counts as done', async () => {
  const server = new RecordServer(blank);
  server.loseAnswers = 1;
  await access(server).record.change(blank, formatting);
  expect(server.record.fileSystem).toEqual(formatting);
  expect(server.record.generation).toBe(2);
});

test('the store revision of each answer is noted', async () => {
  const server = new RecordServer(blank);
  const { record, revisions } = access(server);
  expect(await record.read()).toEqual(blank);
  expect(revisions).toEqual([server.revision]);
});
