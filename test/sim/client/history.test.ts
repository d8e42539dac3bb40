import { expect, test } from '@jest/globals';
import { MiB } from '../../../core/units.ts';
import { History } from './history.ts';
import { payloadOf } from './payload.ts';

const BLOCK_BYTES = 4096;

/** What is read at `nowMs`, and what is wrong with it. */
function readBack(history: History, data: Buffer, nowMs: number) {
  return history.readDone(history.beginRead(0, BLOCK_BYTES, nowMs), data, nowMs);
}

test('a power cut of all may take what was read of a write that has no answer, once it is told', () => {
  const history = new History(MiB);
  const { id } = history.beginWrite('write', 0, BLOCK_BYTES, 1);
  const written = payloadOf(id, 0, BLOCK_BYTES);
  const nothing = Buffer.alloc(BLOCK_BYTES);
  expect(readBack(history, written, 2)).toBeNull();
  expect(history.unflushedSinceMs).toBe(2);
  expect(readBack(history, nothing, 3)).toMatchObject({ kind: 'changedBack' });
});

test('what a power cut took is not missed after the loss was told', () => {
  const history = new History(MiB);
  const { id } = history.beginWrite('write', 0, BLOCK_BYTES, 1);
  expect(readBack(history, payloadOf(id, 0, BLOCK_BYTES), 2)).toBeNull();
  history.loseUnflushed();
  expect(readBack(history, Buffer.alloc(BLOCK_BYTES), 3)).toBeNull();
  expect(history.unflushedSinceMs).toBe(3);
});

test('what may be lost counts from when it was sent: its replicas hold it before it is answered', () => {
  const history = new History(MiB);
  history.writeDone(history.beginWrite('write', 0, BLOCK_BYTES, 1), 2, 5);
  expect(history.unflushedSinceMs).toBe(2);
});
