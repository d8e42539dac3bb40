import { expect, test } from '@jest/globals';
import { Changes, waitFor } from '../../../../cluster/apiserver/changes.ts';
import { ManualClock, settle } from '../../../fixtures/manual-clock.ts';

function setUp() {
  const clock = new ManualClock();
  const changes = new Changes(() => undefined);
  const caller = new AbortController();
  const scene = { answer: undefined as string | undefined, lookCount: 0 };
  const waiting = waitFor(
    {
      changes,
      topics: ['a', 'b'],
      clock,
      deadlineMs: clock.nowMs() + 10_000,
      signal: caller.signal,
    },
    async () => {
      scene.lookCount += 1;
      return scene.answer;
    },
  );
  return { clock, changes, caller, scene, waiting };
}

test('whoever waits looks at once when one of the topics changes, and at no other', async () => {
  const { changes, scene, waiting, clock } = setUp();
  await settle();
  expect(scene.lookCount).toBe(1);
  changes.notify('c');
  await settle();
  expect(scene.lookCount).toBe(1);
  scene.answer = 'here';
  changes.notify('b');
  expect(await waiting).toBe('here');
  expect(changes.topicCount).toBe(0);
  expect(clock.timerCount).toBe(0);
});

test('without a change it looks once a second, until the deadline', async () => {
  const { clock, changes, scene, waiting } = setUp();
  await clock.passMs(10_000);
  expect(await waiting).toBeNull();
  expect(scene.lookCount).toBe(11);
  expect(changes.topicCount).toBe(0);
});

test('a caller that leaves waits no longer, and leaves nothing behind', async () => {
  const { clock, changes, caller, waiting } = setUp();
  await settle();
  expect(changes.topicCount).toBe(2);
  caller.abort();
  await expect(waiting).rejects.toThrow('aborted');
  expect(changes.topicCount).toBe(0);
  expect(clock.timerCount).toBe(0);
});

test('a change during a look is not missed', async () => {
  const clock = new ManualClock();
  const changes = new Changes(() => undefined);
  const looks: string[] = [];
  const signal = new AbortController().signal;
  const wait = { changes, topics: ['a'], clock, deadlineMs: clock.nowMs() + 10_000, signal };
  const found = await waitFor(wait, async () => {
    looks.push('look');
    if (looks.length === 1) changes.notify('a');
    await settle();
    return looks.length === 2 ? 'found' : undefined;
  });
  expect(found).toBe('found');
});
