import { expect, test } from '@jest/globals';
import { delay, until, within } from '../../../../agent/host/time.ts';
import { EagerClock } from '../../../fixtures/agent/eager-clock.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';

test('waiting asks again until there is an answer, or time is up', async () => {
  const clock = new EagerClock();
  let count = 0;
  const third = () => {
    count += 1;
    return count === 3 ? 'third' : null;
  };
  expect(await until(third, { clock, timeoutMs: 1_000, intervalMs: 100 })).toBe('third');
  const startMs = clock.nowMs();
  expect(await until(() => null, { clock, timeoutMs: 1_000, intervalMs: 300 })).toBeNull();
  expect(clock.nowMs() - startMs).toBe(1_200);
});

test('without patience there is still one question', async () => {
  const patience = { clock: new EagerClock(), timeoutMs: 0, intervalMs: 100 };
  expect(await until(() => 'there', patience)).toBe('there');
  expect(await until(() => null, patience)).toBeNull();
});

test('a wait ends at once when it is aborted, and leaves no timer', async () => {
  const clock = new ManualClock();
  const quit = new AbortController();
  const waiting = delay(clock, 1_000, quit.signal);
  quit.abort();
  await waiting;
  await delay(clock, 1_000, quit.signal);
  expect(clock.timerCount).toBe(0);
});

test('work that takes too long is not waited for', async () => {
  const clock = new EagerClock();
  expect(await within(clock, 100, Promise.resolve('quick'))).toBe('quick');
  expect(await within(clock, 100, new Promise(() => undefined))).toBeNull();
});
