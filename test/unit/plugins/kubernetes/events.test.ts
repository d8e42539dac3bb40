import { expect, test } from '@jest/globals';
import { silentLogger } from '../../../../core/platform/index.ts';
import { Events, subjectOf } from '../../../../plugins/kubernetes/events.ts';
import { FakeKubernetes } from '../../../fixtures/kubernetes/fake-kubernetes.ts';
import { aClaim } from '../../../fixtures/kubernetes/objects.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';

function rig() {
  const api = new FakeKubernetes();
  const clock = new ManualClock();
  let count = 0;
  const bytes = () => Buffer.from([(count += 1)]);
  const random = { below: () => 0, uuid: () => '', bytes };
  const events = new Events(api, { clock, random, log: silentLogger });
  const tell = (message: string) =>
    events.tell(subjectOf('PersistentVolumeClaim', aClaim()), {
      type: 'Warning',
      reason: 'ProvisioningFailed',
      message,
    });
  return { api, clock, tell };
}

test('the same sentence about the same claim is counted, and not more than every ten seconds', async () => {
  const { api, clock, tell } = rig();
  await tell('no space');
  await tell('no space');
  await clock.passMs(10_000);
  await tell('no space');
  await tell('no pool');
  expect(api.events.map(({ message, count }) => [message, count])).toEqual([
    ['no space', 2],
    ['no pool', 1],
  ]);
});

test('a sentence is cut to what Kubernetes takes', async () => {
  const { api, tell } = rig();
  await tell('x'.repeat(5_000));
  expect(api.events[0]?.message).toHaveLength(1_024);
});

test('an event that Kubernetes refuses stops nobody, and is told anew the next time', async () => {
  const { api, tell } = rig();
  api.beforeWrite = () => {
    throw new Error('gone');
  };
  await tell('no space');
  api.beforeWrite = () => undefined;
  await tell('no space');
  expect(api.events).toHaveLength(1);
});
