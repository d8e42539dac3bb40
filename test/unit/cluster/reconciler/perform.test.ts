import { expect, test } from '@jest/globals';
import type { Action } from '../../../../cluster/reconciler/actions.ts';
import { Observations } from '../../../../cluster/reconciler/observed.ts';
import { perform } from '../../../../cluster/reconciler/perform.ts';
import type { Runtime } from '../../../../cluster/reconciler/ports.ts';
import type { Change, VolumeDocument } from '../../../../cluster/reconciler/volume.ts';
import { apiError } from '../../../../core/api/index.ts';
import { silentLogger } from '../../../../core/platform/index.ts';
import { FakeNode } from '../../../fixtures/cluster/fake-node.ts';
import { volume } from '../../../fixtures/cluster/world.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';

/** One volume, one node, and a runtime that does what it is told to. */
function setUp(wanted: VolumeDocument, runtime: Partial<Runtime> = {}) {
  const observations = new Observations(new ManualClock());
  observations.heard(new FakeNode('a', 0).heartbeat());
  const scene = { volume: wanted };
  const deps = {
    runtime: {
      runReplica: async () => 'unix:/r',
      removeReplica: async () => undefined,
      runTarget: async () => undefined,
      stopTarget: async () => undefined,
      ...runtime,
    },
    volumes: {
      change: async (_id: string, change: Change) => {
        const next = change(scene.volume);
        scene.volume = next ?? scene.volume;
        return next !== null;
      },
      bury: async () => undefined,
    },
    observations,
    log: silentLogger,
    storeAddress: () => 'unix:/apiserver.sock',
  };
  const act = (action: Action, number = 1) =>
    perform(action, { number, signal: new AbortController().signal }, deps);
  return { scene, observations, act };
}

const names = { node: 'a', volumeId: 'v', volumeName: 'volume v' };
const detaching = volume({ attachedTo: 'a', phase: { kind: 'ready', detaching: true } });

test('the attachment goes when its own target was released, not when a stray one was', async () => {
  const { scene, act } = setUp(detaching);
  await act({ kind: 'stopTarget', ...names, detaches: false });
  expect(scene.volume).toBe(detaching);
  await act({ kind: 'stopTarget', ...names, detaches: true });
  expect(scene.volume.record.attachment).toBeNull();
});

test('the attachment stays when the target could not be released', async () => {
  const refusing = { stopTarget: async () => Promise.reject(apiError('timeout', 'flush')) };
  const { scene, act } = setUp(detaching, refusing);
  await expect(act({ kind: 'stopTarget', ...names, detaches: true })).rejects.toThrow('flush');
  expect(scene.volume).toBe(detaching);
});

test('what was started is seen at once, with its address', async () => {
  const { observations, act } = setUp(volume());
  const order = { ...ORDER, mint: false };
  await act({ kind: 'runReplica', ...names, order });
  expect(observations.nodes().get('a')?.replicas.get('v@a')).toMatchObject({
    process: 'running',
    address: 'unix:/r',
  });
});

const ORDER = {
  replicaId: 'v@a',
  volumeId: 'v',
  incarnation: 'i',
  sizeBytes: 4096,
  blockSizeBytes: 512,
  poolId: 'p',
  token: 't',
  record: null,
};
const creating = volume({ phase: { kind: 'creating' }, folders: { a: 'wanted' } });

test.each([
  ['noSpace', 1, 'deleting'],
  ['dataLoss', 1, 'deleting'],
  ['internal', 3, 'creating'],
  ['internal', 4, 'deleting'],
  ['unavailable', 99, 'creating'],
  ['timeout', 99, 'creating'],
] as const)('%s at attempt %d leaves a creation %s', async (code, number, phase) => {
  const refusing = { runReplica: async () => Promise.reject(apiError(code, 'no')) };
  const { scene, act } = setUp(creating, refusing);
  const done = act({ kind: 'runReplica', ...names, order: { ...ORDER, mint: true } }, number);
  if (phase === 'creating') await expect(done).rejects.toThrow('no');
  else await done;
  expect(scene.volume.phase.kind).toBe(phase);
});

test('a replica that the record names is never given up', async () => {
  const refusing = { runReplica: async () => Promise.reject(apiError('dataLoss', 'gone')) };
  const ready = volume();
  const { scene, act } = setUp(ready, refusing);
  const done = act({ kind: 'runReplica', ...names, order: { ...ORDER, mint: false } }, 99);
  await expect(done).rejects.toThrow('gone');
  expect(scene.volume).toBe(ready);
});
