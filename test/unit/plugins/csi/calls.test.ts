/** Calls that overlap, are given up, or meet the end of the plugin. */
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { expect, test } from '@jest/globals';
import type { Door } from '../../../../core/api/index.ts';
import { PendingOperations } from '../../../../plugins/csi/pending.ts';
import { waitFor } from '../../../fixtures/wait-for.ts';
import { FIRST_ID, MOUNT, orchestratorWithPlugin, STAGING, TARGET } from './orchestrator.ts';

const done = { ok: {} };
const STAGE = { volumeId: FIRST_ID, stagingTargetPath: STAGING, volumeCapability: MOUNT };

/** A plugin whose agent lets calls with this ending of their path wait for `go`. */
async function slowAgent(ending: string, door: Door = 'csi') {
  const csi = await orchestratorWithPlugin({ door });
  csi.agent.addVolume('data');
  csi.agent.addVolume('other');
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  csi.agent.before = async ({ path }) => {
    if (!path.endsWith(ending)) return;
    begun.resolve();
    await go.promise;
  };
  csi.agent.after = ({ path }) => {
    if (path.endsWith(ending)) ended.resolve();
  };
  return { ...csi, begun: begun.promise, go: go.resolve, ended: ended.promise };
}

test('a second operation on a volume is told that one is under way; other volumes go on', async () => {
  await using csi = await slowAgent(`${FIRST_ID}/stage`);
  const first = csi.client.node('NodeStageVolume', STAGE);
  await csi.begun;
  const pending = {
    code: 'ABORTED',
    message: expect.stringContaining('NodeStageVolume is still under way'),
  };
  const volume = { volumeId: FIRST_ID };
  const publish = { ...volume, nodeId: 'node-1', volumeCapability: MOUNT };
  expect(await csi.client.node('NodeStageVolume', STAGE)).toEqual(pending);
  const elsewhere = { ...STAGE, stagingTargetPath: '/elsewhere' };
  expect(await csi.client.node('NodeStageVolume', elsewhere)).toEqual(pending);
  expect(await csi.client.node('NodePublishVolume', { ...STAGE, targetPath: TARGET })).toEqual(
    pending,
  );
  const unpublish = { ...volume, targetPath: TARGET };
  expect(await csi.client.node('NodeUnpublishVolume', unpublish)).toEqual(pending);
  expect(await csi.client.node('NodeUnstageVolume', STAGE)).toEqual(pending);
  expect(await csi.client.controller('DeleteVolume', volume)).toEqual(pending);
  expect(await csi.client.controller('ControllerPublishVolume', publish)).toEqual(pending);
  expect(await csi.client.controller('ControllerUnpublishVolume', volume)).toEqual(pending);
  // What only looks is no operation.
  expect(await csi.client.controller('ControllerGetVolume', volume)).toMatchObject({ ok: {} });
  const other = { ...STAGE, volumeId: 'other' };
  expect(await csi.client.node('NodeStageVolume', other)).toEqual(done);
  csi.go();
  expect(await first).toEqual(done);
  expect(await csi.client.node('NodeStageVolume', STAGE)).toEqual(done);
});

test('a volume is created once at a time, by its name', async () => {
  await using csi = await slowAgent('/v1/volumes');
  const create = (name: string) =>
    csi.client.controller('CreateVolume', { name, volumeCapabilities: [MOUNT] });
  const first = create('new');
  await csi.begun;
  expect(await create('new')).toEqual({
    code: 'ABORTED',
    message: expect.stringContaining('volume "new": CreateVolume is still under way'),
  });
  csi.go();
  expect(await first).toMatchObject({ ok: {} });
  expect(await create('new')).toEqual(await first);
});

test('Nomad starts two allocations of a node at a time: the second waits for its turn', async () => {
  await using csi = await slowAgent('/stage', 'nomad');
  const first = csi.client.node('NodeStageVolume', STAGE);
  await csi.begun;
  const second = csi.client.node('NodeStageVolume', STAGE);
  const third = csi.client.node('NodePublishVolume', { ...STAGE, targetPath: TARGET });
  expect(await csi.client.identity('Probe')).toMatchObject({ ok: {} });
  expect(csi.agent.calls('POST', `/v1/volumes/${FIRST_ID}/stage`)).toHaveLength(1);
  csi.go();
  expect(await Promise.all([first, second, third])).toEqual([done, done, done]);
});

test('Mesos unstages what took too long to stage, and only once: that waits for the stage', async () => {
  await using csi = await slowAgent('/stage', 'mesos');
  const stage = csi.client.node('NodeStageVolume', STAGE, { timeoutMs: 100 });
  await csi.begun;
  expect(await stage).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  const unstage = csi.client.node('NodeUnstageVolume', STAGE);
  // Once a later call is answered the unstaging has come to the plugin.
  await csi.client.node('NodeGetCapabilities');
  csi.go();
  expect(await unstage).toEqual(done);
  expect(csi.agent.volumes.get('data')?.consumers).toEqual([]);
});

test('who waits for its turn is told when that takes too long', async () => {
  const pending = new PendingOperations({ patienceMs: 20 });
  const first = Promise.withResolvers<string>();
  const operation = { volume: 'data', method: 'First', abandoned: new AbortController().signal };
  const running = pending.run(operation, () => first.promise);
  const second = pending.run({ ...operation, method: 'Second' }, async () => 'second');
  await expect(second).rejects.toThrow('volume "data": First is still under way');
  first.resolve('first');
  expect(await running).toBe('first');
  expect(await pending.run(operation, async () => 'third')).toBe('third');
});

test('what is given up while it waits for its turn never begins', async () => {
  const pending = new PendingOperations({ patienceMs: 60_000 });
  const first = Promise.withResolvers<string>();
  const hangUp = new AbortController();
  const operation = { volume: 'data', method: 'First', abandoned: new AbortController().signal };
  const running = pending.run(operation, () => first.promise);
  const begun: string[] = [];
  const second = pending.run({ ...operation, abandoned: hangUp.signal }, async () =>
    begun.push('second'),
  );
  hangUp.abort();
  await expect(second).rejects.toMatchObject({ code: 'ABORTED' });
  first.resolve('first');
  await running;
  expect(begun).toEqual([]);
});

test('an operation that failed is not under way any more', async () => {
  await using csi = await orchestratorWithPlugin();
  for (let count = 0; count < 2; count += 1) {
    expect(await csi.client.node('NodeStageVolume', STAGE)).toMatchObject({ code: 'NOT_FOUND' });
  }
});

test('what a caller gave up goes on, and is found done when it asks again', async () => {
  await using csi = await slowAgent('/stage');
  const given = csi.client.node('NodeStageVolume', STAGE, { timeoutMs: 100 });
  await csi.begun;
  expect(await given).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  expect(await csi.client.node('NodeStageVolume', STAGE)).toMatchObject({ code: 'ABORTED' });
  csi.go();
  await csi.ended;
  await waitFor(
    'the first call has ended',
    async () => 'ok' in (await csi.client.node('NodeStageVolume', STAGE)),
    5_000,
  );
  expect(csi.agent.volumes.get('data')?.consumers).toEqual([STAGING]);
});

test('what only looks ends when its caller hangs up', async () => {
  await using csi = await orchestratorWithPlugin();
  const aborted = Promise.withResolvers<void>();
  const hangUp = new AbortController();
  csi.agent.before = async ({ signal }) => {
    signal?.addEventListener('abort', () => aborted.resolve());
    hangUp.abort();
    await aborted.promise;
  };
  const call = csi.client.controller('ListVolumes', {}, { signal: hangUp.signal });
  expect(await call).toMatchObject({ code: 'CANCELLED' });
  await aborted.promise;
});

test('a plugin that ends answers what is under way, and then nobody', async () => {
  await using csi = await slowAgent('/stage');
  const idle = createConnection({ path: csi.socketPath });
  await once(idle, 'connect');
  const first = csi.client.node('NodeStageVolume', STAGE);
  await csi.begun;
  const closed = csi.plugin.close();
  expect(await csi.client.identity('GetPluginInfo')).toMatchObject({ code: 'UNAVAILABLE' });
  csi.go();
  expect(await first).toEqual(done);
  await closed;
  await expect(stat(csi.socketPath)).rejects.toMatchObject({ code: 'ENOENT' });
  expect(await csi.client.identity('GetPluginInfo')).toMatchObject({ code: 'UNAVAILABLE' });
  expect(csi.bugs).toEqual([]);
});

test('a plugin that ends waits for what nobody waits for any more', async () => {
  await using csi = await slowAgent('/stage');
  const given = csi.client.node('NodeStageVolume', STAGE, { timeoutMs: 100 });
  await csi.begun;
  expect(await given).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  let isClosed = false;
  const closed = csi.plugin.close().then(() => (isClosed = true));
  expect(await csi.client.identity('Probe')).toMatchObject({ code: 'UNAVAILABLE' });
  expect(isClosed).toBe(false);
  csi.go();
  await closed;
  expect(csi.agent.volumes.get('data')?.consumers).toEqual([STAGING]);
});
