import { expect, test } from '@jest/globals';
import { Turns } from '../../../../agent/host/turns.ts';

test('one key is worked on once at a time, in order; other keys do not wait', async () => {
  const turns = new Turns();
  const log: string[] = [];
  const first = Promise.withResolvers<void>();
  const work = (name: string, until: Promise<void>) => async () => {
    log.push(`${name} starts`);
    await until;
    log.push(`${name} ends`);
  };
  const all = [
    turns.take('a', work('a1', first.promise)),
    turns.take('a', work('a2', Promise.resolve())),
    turns.take('b', work('b1', Promise.resolve())),
  ];
  await all[2];
  expect(log).toEqual(['a1 starts', 'b1 starts', 'b1 ends']);
  first.resolve();
  await Promise.all(all);
  expect(log.slice(3)).toEqual(['a1 ends', 'a2 starts', 'a2 ends']);
});

test('a failure is the caller’s alone: the next turn comes all the same', async () => {
  const turns = new Turns();
  const failing = turns.take('a', async () => {
    throw new Error('broken');
  });
  const next = turns.take('a', async () => 'done');
  await expect(failing).rejects.toThrow('broken');
  expect(await next).toBe('done');
});

test('a queue that is too long turns away instead of growing, and empties again', async () => {
  const turns = new Turns();
  const gate = Promise.withResolvers<void>();
  const all = Array.from({ length: 64 }, () => turns.take('a', () => gate.promise));
  await expect(turns.take('a', () => gate.promise)).rejects.toMatchObject({ code: 'unavailable' });
  gate.resolve();
  await Promise.all(all);
  await turns.settled();
  expect(await turns.take('a', async () => 'free')).toBe('free');
});
