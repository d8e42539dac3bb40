import { describe, expect, test } from '@jest/globals';
import { Observations, silence } from '../../../../cluster/reconciler/observed.ts';
import type { Heartbeat } from '../../../../core/api/index.ts';
import { HEARTBEAT_LOST_MS } from '../../../../core/limits.ts';
import { FakeNode } from '../../../fixtures/cluster/fake-node.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';

function setUp() {
  const clock = new ManualClock();
  const observations = new Observations(clock);
  const fake = new FakeNode('a', 0);
  const seen = () => {
    const sight = observations.nodes().get('a');
    if (sight === undefined) throw new Error('a was never heard');
    return sight;
  };
  return { clock, observations, fake, seen, beat: () => observations.heard(fake.heartbeat()) };
}

const folder = { volumeId: 'v', poolId: 'p', sizeBytes: 1, process: 'running' as const };

test('a node is lost when silent for longer than the limit, and back when heard', async () => {
  const { clock, seen, beat } = setUp();
  beat();
  await clock.passMs(HEARTBEAT_LOST_MS);
  expect(seen().state).toBe('online');
  await clock.passMs(1);
  expect(seen()).toMatchObject({ state: 'lost', silentMs: HEARTBEAT_LOST_MS + 1 });
  const { comeback } = seen();
  beat();
  expect(seen()).toMatchObject({ state: 'online', silentMs: 0, comeback: comeback + 1 });
});

test('what is known from before a restart is lost until it is heard', async () => {
  const { clock, observations, fake, seen, beat } = setUp();
  observations.restore(fake.heartbeat(), clock.wallMs());
  expect(seen().state).toBe('lost');
  expect(observations.hasUnheard()).toBe(true);
  // The stored heartbeat may be hours old although the node sent one a second ago.
  await clock.passMs(600_000);
  expect(silence(seen())).toBe('unheard since the apiserver started');
  beat();
  expect(seen().state).toBe('online');
  expect(observations.hasUnheard()).toBe(false);
});

test('news is what may need an action, not new figures', () => {
  const { fake, beat } = setUp();
  expect(beat()).toBe(true);
  expect(beat()).toBe(false);
  fake.totalBytes -= 4096;
  expect(beat()).toBe(false);
  fake.folders.set('r', { ...folder });
  expect(beat()).toBe(true);
  expect(beat()).toBe(false);
  fake.folders.set('r', { ...folder, process: 'failed' });
  expect(beat()).toBe(true);
  fake.poolState = 'failed';
  expect(beat()).toBe(true);
  fake.targets.set('v', { token: 't', process: 'running' });
  expect(beat()).toBe(true);
});

describe('what was done since the last true heartbeat', () => {
  const sight = { volumeId: 'v', process: 'running', address: 'unix:/r', report: null } as const;

  test('is believed over the next heartbeat, which may be older, not over two', () => {
    const { observations, seen, beat } = setUp();
    beat();
    observations.replicaActed('a', 'r', sight);
    expect(seen().replicas.get('r')).toEqual(sight);
    beat();
    expect(seen().replicas.get('r')).toEqual(sight);
    beat();
    expect(seen().replicas.get('r')).toBeUndefined();
  });

  test('a removal hides a late report', () => {
    const { observations, fake, seen, beat } = setUp();
    fake.folders.set('r', { ...folder });
    fake.targets.set('v', { token: 't', process: 'running' });
    const late: Heartbeat = fake.heartbeat();
    beat();
    observations.replicaActed('a', 'r', null);
    observations.targetActed('a', 'v', null);
    observations.heard(late);
    expect(seen().replicas.has('r')).toBe(false);
    expect(seen().targets.has('v')).toBe(false);
  });

  test('is forgotten when the machine boots', () => {
    const { observations, fake, seen, beat } = setUp();
    beat();
    observations.replicaActed('a', 'r', sight);
    fake.reboot();
    beat();
    expect(seen().replicas.size).toBe(0);
  });

  test('on a node that was never heard is ignored', () => {
    const { observations } = setUp();
    observations.replicaActed('z', 'r', sight);
    expect(observations.nodes().size).toBe(0);
  });
});

test('nodes come in the order of their names', () => {
  const { observations } = setUp();
  for (const name of ['c', 'a', 'b']) observations.heard(new FakeNode(name, 0).heartbeat());
  expect([...observations.nodes().keys()]).toEqual(['a', 'b', 'c']);
});

test('silence is told in seconds, then in minutes', async () => {
  const { clock, seen, beat } = setUp();
  beat();
  await clock.passMs(12_400);
  expect(silence(seen())).toBe('silent for 12 s');
  await clock.passMs(600_000);
  expect(silence(seen())).toBe('silent for 10 min');
});
