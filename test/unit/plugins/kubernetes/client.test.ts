import { expect, test } from '@jest/globals';
import { silentLogger } from '../../../../core/platform/index.ts';
import { KubernetesError } from '../../../../plugins/kubernetes/api.ts';
import { KubernetesApiClient, WatchedView } from '../../../../plugins/kubernetes/client/index.ts';
import { FakeApiServer } from '../../../fixtures/kubernetes/api-server.ts';
import { aClaim, aClass } from '../../../fixtures/kubernetes/objects.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';
import { waitFor } from '../../../fixtures/wait-for.ts';

const LEASE = { namespace: 'openebs', name: 'openebs-provisioner' };
const CLAIMS = '/api/v1/persistentvolumeclaims';
const CLASSES = '/apis/storage.k8s.io/v1/storageclasses';
const ONE_CLAIM = '/api/v1/namespaces/default/persistentvolumeclaims/web';
const SOON_MS = 5_000;

const list = (version: string, ...items: readonly object[]) => ({
  status: 200,
  body: { metadata: { resourceVersion: version }, items },
});

function failure(status: number, message: string) {
  return { status, body: { kind: 'Status', message } };
}

test.each([
  [404, 'notFound'],
  [403, 'forbidden'],
  [409, 'conflict'],
  [422, 'refused'],
] as const)('an answer %d is the failure %s, with what the API said', async (status, code) => {
  await using server = await FakeApiServer.open();
  server.answer = () => failure(status, 'because');
  const client = new KubernetesApiClient(server.config, LEASE);
  const failed = await client.setClaimFinalizers(aClaim(), []).catch((error: unknown) => error);
  expect(failed).toBeInstanceOf(KubernetesError);
  expect(failed).toMatchObject({
    code,
    message: `the Kubernetes API answered ${status}: because`,
  });
});

test('what is there already is told apart from what somebody else has changed', async () => {
  await using server = await FakeApiServer.open();
  server.answer = () => failure(409, 'already exists');
  const client = new KubernetesApiClient(server.config, LEASE);
  await expect(client.createVolume({ metadata: { name: 'pvc-1' } })).rejects.toMatchObject({
    code: 'exists',
  });
});

test('nothing is no failure of a read, nor of a deletion', async () => {
  await using server = await FakeApiServer.open();
  server.answer = () => failure(404, 'not found');
  const client = new KubernetesApiClient(server.config, LEASE);
  expect(await client.getVolume('pvc-1')).toBeNull();
  expect(await client.getLease()).toBeNull();
  expect(await client.hasNode('worker-1')).toBe(false);
  await client.deleteVolume({ metadata: { name: 'pvc-1', uid: '1' } });
});

test('an API that does not answer is unreachable', async () => {
  const server = await FakeApiServer.open();
  await server[Symbol.asyncDispose]();
  const client = new KubernetesApiClient(server.config, LEASE);
  await expect(client.getVolume('pvc-1')).rejects.toMatchObject({ code: 'unreachable' });
});

test('a change names the version that it was made for, and only what it changes', async () => {
  await using server = await FakeApiServer.open();
  server.answer = () => ({ status: 200, body: aClaim() });
  const client = new KubernetesApiClient(server.config, LEASE);
  const claim = aClaim({ resourceVersion: '7' });
  await client.setClaimFinalizers(claim, ['a']);
  await client.clearSelectedNode(claim);
  expect(server.requests).toMatchObject([
    {
      method: 'PATCH',
      path: ONE_CLAIM,
      body: { metadata: { resourceVersion: '7', finalizers: ['a'] } },
    },
    {
      method: 'PATCH',
      path: ONE_CLAIM,
      body: {
        metadata: {
          resourceVersion: '7',
          annotations: { 'volume.kubernetes.io/selected-node': null },
        },
      },
    },
  ]);
});

test('a lease comes back as it was written', async () => {
  await using server = await FakeApiServer.open();
  let stored: unknown = null;
  server.answer = ({ method, body }) => {
    if (method !== 'GET') stored = body;
    return { status: 200, body: stored };
  };
  const client = new KubernetesApiClient(server.config, LEASE);
  const lease = {
    holder: 'one',
    durationSeconds: 15,
    transitions: 3,
    acquiredAt: '2026-01-01T00:00:00.000Z',
    renewedAt: '2026-01-01T00:00:10.000Z',
  };
  await client.replaceLease({ ...lease, resourceVersion: '9' });
  expect(await client.getLease()).toEqual({ ...lease, resourceVersion: '9' });
});

test('a view is open when all has been listed, also if that failed at first', async () => {
  await using server = await FakeApiServer.open();
  const clock = new ManualClock();
  let failing = true;
  server.answer = ({ path }) => {
    if (path === CLAIMS && failing) return failure(500, 'not yet');
    return list('1', ...(path === CLASSES ? [aClass()] : path === CLAIMS ? [aClaim()] : []));
  };
  const changed = {
    claim: () => undefined,
    volume: () => undefined,
    storageClass: () => undefined,
  };
  let isOpen = false;
  const opening = WatchedView.open(server.config, { clock, log: silentLogger, changed });
  void opening.then(() => (isOpen = true));
  await waitFor('the list has failed', () => clock.timerCount > 0, SOON_MS);
  expect(isOpen).toBe(false);
  failing = false;
  await clock.passMs(2_000);
  await using view = await opening;
  expect(view.claim('default', 'web')?.metadata.name).toBe('web');
  expect(view.storageClass('openebs')?.provisioner).toBe('maya.csi.openebs.io');
  expect(view.volume('pvc-1')).toBeUndefined();
});

test('a view is told what changes, and goes on when a watch has broken', async () => {
  await using server = await FakeApiServer.open();
  server.answer = () => list('1');
  const told: string[] = [];
  const changed = {
    claim: ({ metadata }: { metadata: { name: string } }) => void told.push(metadata.name),
    volume: () => undefined,
    storageClass: () => undefined,
  };
  const clock = new ManualClock();
  await using view = await WatchedView.open(server.config, { clock, log: silentLogger, changed });
  const first = await waitFor('the watch is open', () => server.watches.get(CLAIMS), SOON_MS);
  first.send('ADDED', aClaim({ name: 'one', resourceVersion: '2' }));
  await waitFor('the claim is told', () => told.includes('one'), SOON_MS);
  first.close();
  const second = await waitFor(
    'the watch is begun again',
    () => {
      const now = server.watches.get(CLAIMS);
      return now === first ? undefined : now;
    },
    SOON_MS,
  );
  second.send('DELETED', aClaim({ name: 'one', resourceVersion: '3' }));
  await waitFor('the claim is gone', () => view.claim('default', 'one') === undefined, SOON_MS);
  expect(told).toEqual(['one', 'one']);
});
