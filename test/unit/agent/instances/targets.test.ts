import { expect, test } from '@jest/globals';
import { Targets } from '../../../../agent/instances/targets.ts';
import { JsonFolder } from '../../../../agent/state/json-folder.ts';
import { targetSpecSchema } from '../../../../agent/state/schemas.ts';
import type { FakeProcess } from '../../../fixtures/agent/fake-processes.ts';
import { eventually, instanceRig } from '../../../fixtures/agent/instance-rig.ts';
import { settle } from '../../../fixtures/manual-clock.ts';

const VOLUME = '00000000-0000-4000-8000-000000000001';
const ORDER = {
  attachmentToken: 'token-1',
  iqn: 'iqn.2016-09.com.openebs:volume',
  portal: '127.0.0.1:3260',
  storeAddress: 'unix:/apiserver.sock',
  replicaToken: 'a secret of 16 and more',
};

function rig() {
  const base = instanceRig();
  const { paths, files, dependencies, admin, processes } = base;
  const use = { isUsed: false };
  const open = async () => {
    const options = { folder: paths.instances, prefix: 'target-', schema: targetSpecSchema };
    const specs = await JsonFolder.open(files, options);
    const targets = new Targets({
      ...dependencies,
      specs,
      volumeName: () => 'data',
      isUsedHere: () => use.isUsed,
    });
    return { specs, targets };
  };
  const config = () =>
    files.json(paths.config('target', VOLUME)) as {
      instance: string;
      attachmentToken: string;
      knownDead: string[];
    };
  const status = { state: 'serving', reason: '' };
  admin.peer(`unix:${paths.targetAdminSocket(VOLUME)}`, async ({ method }) => {
    const { instance } = config();
    if (processes.living.length === 0) throw new Error('connection refused');
    if (method === 'POST') processes.living[0]?.end({ exitCode: 0 });
    const body = { ...status, instance, epoch: 4, portal: ORDER.portal, members: [] };
    return { status: 200, body };
  });
  return { ...base, use, open, config, status };
}

async function only(processes: { living: FakeProcess[] }): Promise<FakeProcess> {
  return eventually(() => processes.living[0]);
}

test('a target is started once per attachment, with secrets in a file and not in arguments', async () => {
  const { open, processes, paths, config } = rig();
  const { targets } = await open();
  await targets.put(VOLUME, ORDER);
  await targets.put(VOLUME, ORDER);
  await targets.waitServing(VOLUME, 'token-1', 10_000);
  expect(processes.all.map(({ argv }) => argv)).toEqual([
    ['maya', 'target', '--config', paths.config('target', VOLUME)],
  ]);
  expect(config()).toMatchObject({ ...ORDER, volumeName: 'data', knownDead: [] });
  await eventually(() => targets.attachmentOf(VOLUME) !== null);
  expect(await targets.report()).toMatchObject([
    { state: 'serving', epoch: 4, attachmentToken: 'token-1' },
  ]);
});

test('each run is a new instance, and earlier ones are named as known dead', async () => {
  const { open, processes, config } = rig();
  const { targets } = await open();
  await targets.put(VOLUME, ORDER);
  const first = await only(processes);
  const { instance } = config();
  first.end({ signal: 'SIGKILL' });
  await only(processes);
  const second = config();
  expect(second.instance).not.toBe(instance);
  expect(second.knownDead).toEqual([instance]);
});

test('a run whose pid was never written down is not called dead', async () => {
  const { open, config } = rig();
  const { specs, targets } = await open();
  await specs.put(VOLUME, {
    ...ORDER,
    volumeId: VOLUME,
    volumeName: 'data',
    wanted: 'stopped',
    heldFor: null,
    runs: [{ instance: 'lost-in-a-crash', process: null }],
  });
  await targets.put(VOLUME, ORDER);
  await targets.waitServing(VOLUME, 'token-1', 10_000);
  expect(config().knownDead).toEqual([]);
});

test('for a new attachment the old target is released before the new one starts', async () => {
  const { open, processes, config, admin } = rig();
  const { targets } = await open();
  await targets.put(VOLUME, ORDER);
  await only(processes);
  processes.onSpawn = () => expect(processes.living.length).toBe(1);
  await targets.put(VOLUME, { ...ORDER, attachmentToken: 'token-2' });
  await targets.waitServing(VOLUME, 'token-2', 10_000);
  expect(processes.living.length).toBe(1);
  expect(config().attachmentToken).toBe('token-2');
  expect(admin.requests.filter((line) => line.startsWith('POST')).length).toBe(1);
  expect(processes.signals).toEqual([]);
});

test('status 3 means not again for this attachment; a new attachment starts it', async () => {
  const { open, processes } = rig();
  const { targets, specs } = await open();
  await targets.put(VOLUME, ORDER);
  const first = await only(processes);
  first.end({ exitCode: 3 });
  await eventually(() => specs.get(VOLUME)?.heldFor);
  expect(await targets.report()).toMatchObject([{ process: 'failed', state: 'failed' }]);
  await expect(targets.put(VOLUME, ORDER)).rejects.toThrow(/is not started again/);
  await expect(targets.waitServing(VOLUME, 'token-1', 60_000)).rejects.toThrow(/not started again/);
  expect(processes.living).toEqual([]);
  const next = await open();
  await next.targets.recover('boot-1');
  expect(processes.living).toEqual([]);
  await targets.put(VOLUME, { ...ORDER, attachmentToken: 'token-2' });
  expect(processes.living.length).toBeLessThanOrEqual(1);
  await targets.waitServing(VOLUME, 'token-2', 10_000);
});

test('a restarted agent takes the running target over', async () => {
  const { open, processes } = rig();
  const first = await open();
  await first.targets.put(VOLUME, ORDER);
  await only(processes);
  await first.targets.abandon();
  const second = await open();
  await second.targets.recover('boot-1');
  await second.targets.waitServing(VOLUME, 'token-1', 10_000);
  expect(processes.all.length).toBe(1);
  expect(second.targets.attachmentOf(VOLUME)).toMatchObject({ token: 'token-1' });
});

test('an agent killed between start and note finds the target by its arguments', async () => {
  const { open, processes } = rig();
  const first = await open();
  await first.targets.put(VOLUME, ORDER);
  await only(processes);
  await first.targets.abandon();
  const spec = first.specs.get(VOLUME);
  if (spec === null) throw new Error('no spec');
  const runs = spec.runs.map((run) => ({ ...run, process: null }));
  await first.specs.put(VOLUME, { ...spec, runs });
  const second = await open();
  await second.targets.recover('boot-1');
  await settle();
  expect(processes.all.length).toBe(1);
  expect(second.specs.get(VOLUME)?.runs[0]?.process?.pid).toBe(processes.all[0]?.identity.pid);
});

test('after a reboot a target is started only when asked for again', async () => {
  const { open, processes } = rig();
  const first = await open();
  await first.targets.put(VOLUME, ORDER);
  (await only(processes)).isAlive = false;
  await first.targets.abandon();
  const second = await open();
  await second.targets.recover('boot-2');
  await settle();
  expect(processes.living).toEqual([]);
  expect(await second.targets.report()).toMatchObject([{ process: 'stopped' }]);
});

test('a target in use on this node is not taken away; afterwards nothing of it is left', async () => {
  const { open, processes, use, files, paths } = rig();
  const { targets } = await open();
  await targets.put(VOLUME, ORDER);
  await only(processes);
  use.isUsed = true;
  await expect(targets.remove(VOLUME)).rejects.toMatchObject({ code: 'inUse' });
  expect(processes.living.length).toBe(1);
  use.isUsed = false;
  await targets.remove(VOLUME);
  await targets.remove(VOLUME);
  expect(processes.living).toEqual([]);
  expect(await files.list(paths.instances)).toEqual([]);
  expect(await targets.report()).toEqual([]);
});

test('an attach does not wait for a target that fails again and again', async () => {
  const { open, processes } = rig();
  const { targets } = await open();
  processes.onSpawn = (process) => process.end({ exitCode: 1 });
  await targets.put(VOLUME, ORDER);
  const waiting = targets.waitServing(VOLUME, 'token-1', 3_600_000);
  await expect(waiting).rejects.toMatchObject({ code: 'unavailable' });
  await targets.remove(VOLUME);
});

test('a shutdown that is called off starts the targets again', async () => {
  const { open, processes } = rig();
  const { targets } = await open();
  await targets.put(VOLUME, ORDER);
  await only(processes);
  await targets.stopAll();
  expect(processes.living).toEqual([]);
  await expect(targets.put(VOLUME, ORDER)).rejects.toThrow(/shutting down/);
  await targets.resume('boot-1');
  await eventually(() => processes.living.length === 1);
  await targets.put(VOLUME, ORDER);
  expect(processes.all.length).toBe(2);
  await targets.stopAll();
});

test('a target that waits is told with what for', async () => {
  const { open, status } = rig();
  const { targets } = await open();
  status.state = 'waiting';
  status.reason = '1 of 3 replicas answers';
  await targets.put(VOLUME, ORDER);
  await expect(targets.waitServing(VOLUME, 'token-1', 5_000)).rejects.toMatchObject({
    code: 'timeout',
    message: 'the target of volume "data" does not serve on this node: 1 of 3 replicas answers',
  });
  await targets.stopAll();
});
