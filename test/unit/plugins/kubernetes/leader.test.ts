import { expect, test } from '@jest/globals';
import { silentLogger } from '../../../../core/platform/index.ts';
import { KubernetesError } from '../../../../plugins/kubernetes/api.ts';
import { Leader } from '../../../../plugins/kubernetes/leader.ts';
import { FakeKubernetes } from '../../../fixtures/kubernetes/fake-kubernetes.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';

function rig() {
  const api = new FakeKubernetes();
  const clock = new ManualClock();
  const stop = new AbortController();
  const leader = (self: string) => new Leader({ api, clock, log: silentLogger, self });
  return { api, clock, stop, leader };
}

function outcomeOf<Value>(promise: Promise<Value>): () => Value | 'pending' | 'failed' {
  let outcome: Value | 'pending' | 'failed' = 'pending';
  promise.then(
    (value) => (outcome = value),
    () => (outcome = 'failed'),
  );
  return () => outcome;
}

test('the first one leads, and the second waits as long as the lease is renewed', async () => {
  const { clock, stop, leader } = rig();
  const [one, two] = [leader('one'), leader('two')];
  await one.acquire(stop.signal);
  const kept = outcomeOf(one.keep(stop.signal));
  const acquired = outcomeOf(two.acquire(stop.signal).then(() => 'acquired'));
  await clock.passMs(120_000);
  expect([kept(), acquired()]).toEqual(['pending', 'pending']);
});

test('a lease that is no longer renewed is taken after its duration, not before', async () => {
  const { api, clock, stop, leader } = rig();
  await leader('one').acquire(stop.signal);
  const acquired = outcomeOf(
    leader('two')
      .acquire(stop.signal)
      .then(() => 'acquired'),
  );
  await clock.passMs(14_000);
  expect(acquired()).toBe('pending');
  await clock.passMs(4_000);
  expect(acquired()).toBe('acquired');
  expect(await api.getLease()).toMatchObject({ holder: 'two', transitions: 1 });
});

test('a lease that is released is taken at the next look', async () => {
  const { clock, stop, leader } = rig();
  const one = leader('one');
  await one.acquire(stop.signal);
  await one.release();
  const acquired = outcomeOf(
    leader('two')
      .acquire(stop.signal)
      .then(() => 'acquired'),
  );
  await clock.passMs(0);
  expect(acquired()).toBe('acquired');
});

test('who cannot renew stops well before anybody else may start', async () => {
  const { api, clock, stop, leader } = rig();
  const one = leader('one');
  await one.acquire(stop.signal);
  const kept = outcomeOf(one.keep(stop.signal));
  api.beforeWrite = () => {
    throw new KubernetesError({ code: 'unreachable' }, 'gone');
  };
  await clock.passMs(8_000);
  expect(kept()).toBe('pending');
  await clock.passMs(4_000);
  expect(kept()).toBe('lost');
});

test('who sees another name in the lease stops at once', async () => {
  const { api, clock, stop, leader } = rig();
  const one = leader('one');
  await one.acquire(stop.signal);
  const kept = outcomeOf(one.keep(stop.signal));
  const lease = await api.getLease();
  if (lease === null) throw new Error('there is a lease');
  await api.replaceLease({ ...lease, holder: 'two' });
  await clock.passMs(2_000);
  expect(kept()).toBe('lost');
});

test('of two that take a dead lease together one leads', async () => {
  const { api, clock, stop, leader } = rig();
  await leader('dead').acquire(stop.signal);
  const acquired = ['one', 'two'].map((self) =>
    outcomeOf(
      leader(self)
        .acquire(stop.signal)
        .then(() => 'acquired'),
    ),
  );
  await clock.passMs(18_000);
  expect(acquired.map((one) => one()).toSorted()).toEqual(['acquired', 'pending']);
  expect((await api.getLease())?.transitions).toBe(1);
});

test('a stop ends the waiting and the keeping', async () => {
  const { clock, stop, leader } = rig();
  const one = leader('one');
  await one.acquire(stop.signal);
  const kept = outcomeOf(one.keep(stop.signal));
  const acquired = outcomeOf(
    leader('two')
      .acquire(stop.signal)
      .then(() => 'acquired'),
  );
  await clock.passMs(1_000);
  stop.abort();
  await clock.passMs(0);
  expect([kept(), acquired()]).toEqual(['stopped', 'failed']);
  expect(clock.timerCount).toBe(0);
});
