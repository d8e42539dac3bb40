import { expect, test } from '@jest/globals';
import { WorkQueue } from '../../../../plugins/kubernetes/work-queue.ts';
import { ManualClock, settle } from '../../../fixtures/manual-clock.ts';

/** Runs are held until the test ends them. */
class Rig {
  readonly clock = new ManualClock();
  readonly started: string[] = [];
  readonly #open = new Map<string, PromiseWithResolvers<void>>();
  readonly queue = new WorkQueue({
    clock: this.clock,
    concurrencyMax: 2,
    retryMsMin: 1_000,
    retryMsMax: 4_000,
    handle: (key) => {
      this.started.push(key);
      const run = Promise.withResolvers<void>();
      this.#open.set(key, run);
      return run.promise;
    },
  });

  async end(key: string): Promise<void> {
    this.#open.get(key)?.resolve();
    await settle();
  }

  async fail(key: string): Promise<void> {
    this.#open.get(key)?.reject(new Error('not yet'));
    await settle();
  }
}

test('a few keys run together, each one once at a time', async () => {
  const { queue, started, ...rig } = withRig();
  for (const key of ['a', 'b', 'c', 'a', 'c']) queue.add(key);
  expect(started).toEqual(['a', 'b']);
  await rig.end('b');
  expect(started).toEqual(['a', 'b', 'c']);
});

test('a key that comes while it runs runs once more', async () => {
  const { queue, started, ...rig } = withRig();
  queue.add('a');
  queue.add('a');
  queue.add('a');
  await rig.end('a');
  await rig.end('a');
  expect(started).toEqual(['a', 'a']);
});

test('a key that failed is tried again, ever more rarely, up to a limit', async () => {
  const { queue, started, clock, ...rig } = withRig();
  queue.add('a');
  for (const delayMs of [1_000, 2_000, 4_000, 4_000]) {
    const before = started.length;
    await rig.fail('a');
    await clock.passMs(delayMs - 1);
    expect(started).toHaveLength(before);
    await clock.passMs(1);
    expect(started).toHaveLength(before + 1);
  }
});

test('a key that changed is tried at once, and a success forgets the failures', async () => {
  const { queue, started, clock, ...rig } = withRig();
  queue.add('a');
  await rig.fail('a');
  queue.add('a');
  expect(started).toHaveLength(2);
  await rig.end('a');
  expect(clock.timerCount).toBe(0);
  queue.add('a');
  await rig.fail('a');
  await clock.passMs(1_000);
  expect(started).toHaveLength(4);
});

test('a stop waits for what runs, and starts nothing more', async () => {
  const { queue, started, clock, ...rig } = withRig();
  for (const key of ['a', 'b', 'c']) queue.add(key);
  let stopped = false;
  const stop = queue.stop().then(() => (stopped = true));
  await rig.fail('a');
  expect(stopped).toBe(false);
  await rig.end('b');
  await stop;
  queue.add('d');
  await clock.passMs(10_000);
  expect(started).toEqual(['a', 'b']);
});

function withRig() {
  const rig = new Rig();
  return {
    queue: rig.queue,
    clock: rig.clock,
    started: rig.started,
    end: (key: string) => rig.end(key),
    fail: (key: string) => rig.fail(key),
  };
}
