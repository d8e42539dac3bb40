import { expect, test } from '@jest/globals';
import { apiError } from '../../../../core/api/index.ts';
import { GiB } from '../../../../core/units.ts';
import {
  BLOCK,
  MOUNT,
  mode,
  orchestratorWithPlugin,
  STAGING,
  TARGET,
  UNKNOWN_ID,
} from './orchestrator.ts';

const done = { ok: {} };
const OTHER_TARGET = '/var/lib/kubelet/pods/b/mount';

/** A plugin with one volume, and calls about it. */
async function nodeWithVolume(capability: object = MOUNT) {
  const csi = await orchestratorWithPlugin({ door: 'kubernetes' });
  const volumeId = await csi.createVolume('data', capability);
  const stage = { volumeId, stagingTargetPath: STAGING, volumeCapability: capability };
  const publish = { ...stage, targetPath: TARGET };
  return {
    ...csi,
    volumeId,
    volume: () => csi.agent.volumes.get('data'),
    stage: (more: object = {}) => csi.client.node('NodeStageVolume', { ...stage, ...more }),
    unstage: (more: object = {}) =>
      csi.client.node('NodeUnstageVolume', { volumeId, stagingTargetPath: STAGING, ...more }),
    publish: (more: object = {}) => csi.client.node('NodePublishVolume', { ...publish, ...more }),
    unpublish: (more: object = {}) =>
      csi.client.node('NodeUnpublishVolume', { volumeId, targetPath: TARGET, ...more }),
    stats: (volumePath: string, more: object = {}) =>
      csi.client.node('NodeGetVolumeStats', { volumeId, volumePath, ...more }),
  };
}

test('a volume is staged, published, unpublished and unstaged, each as often as asked', async () => {
  await using node = await nodeWithVolume();
  const twice = async (call: () => Promise<unknown>) => {
    expect(await call()).toEqual(done);
    expect(await call()).toEqual(done);
  };
  await twice(() => node.stage());
  expect(node.volume()?.holders).toEqual([
    { node: 'node-1', door: 'kubernetes', id: STAGING, label: '', paths: [] },
  ]);
  await twice(() => node.publish());
  expect(node.volume()?.holders[0]?.paths).toEqual([TARGET]);
  await twice(() => node.unpublish());
  await twice(() => node.unstage());
  expect(node.volume()).toMatchObject({ holders: [], attachedTo: null });
});

test('a volume is staged by its name, where people registered it beforehand', async () => {
  await using node = await nodeWithVolume();
  const volumeId = 'data';
  expect(await node.stage({ volumeId })).toEqual(done);
  expect(await node.publish({ volumeId })).toEqual(done);
  expect(await node.unpublish({ volumeId })).toEqual(done);
  expect(await node.unstage({ volumeId })).toEqual(done);
});

test('the agent learns how the volume is to be used', async () => {
  await using node = await nodeWithVolume();
  const volumeCapability = {
    mount: { fsType: 'ext4', mountFlags: ['noatime', 'discard'] },
    accessMode: { mode: 'SINGLE_NODE_READER_ONLY' },
  };
  const volumeContext = {
    'csi.storage.k8s.io/pod.name': 'web-0',
    'csi.storage.k8s.io/pod.namespace': 'default',
  };
  expect(await node.stage({ volumeCapability })).toEqual(done);
  expect(await node.publish({ volumeCapability, volumeContext })).toEqual(done);
  const body = (what: string) =>
    node.agent.calls('POST', `/v1/volumes/${node.volumeId}/${what}`)[0]?.body;
  expect(body('stage')).toEqual({
    stagingPath: STAGING,
    door: 'kubernetes',
    as: 'mount',
    fileSystem: 'ext4',
    mountOptions: ['noatime', 'discard'],
    readOnly: true,
    label: '',
  });
  expect(body('publish')).toEqual({
    targetPath: TARGET,
    stagingPath: STAGING,
    as: 'mount',
    mountOptions: ['noatime', 'discard'],
    readOnly: true,
    label: 'pod default/web-0',
  });
});

test.each([
  [
    { 'csi.storage.k8s.io/pod.name': 'a\nb', 'csi.storage.k8s.io/pod.namespace': 'default' },
    TARGET,
    '',
  ],
  [
    {},
    '/csi/per-alloc/6c4a1e3c-4a3f-4b2a-9e7d-0123456789ab/data/rw-file-system-single-node-writer',
    'allocation 6c4a1e3c-4a3f-4b2a-9e7d-0123456789ab',
  ],
])('with the context %j on %s the user is called %j', async (volumeContext, targetPath, label) => {
  await using node = await nodeWithVolume();
  await node.stage();
  await node.publish({ volumeContext, targetPath });
  const [call] = node.agent.calls('POST', `/v1/volumes/${node.volumeId}/publish`);
  expect(call?.body).toMatchObject({ label });
});

test('secrets and contexts are nowhere: not at the agent and not in the log', async () => {
  await using node = await nodeWithVolume();
  const secrets = { password: 'hunter2' };
  await node.stage({ secrets, publishContext: { token: 'hunter2' } });
  await node.publish({ secrets, stagingTargetPath: '/nowhere' });
  expect(node.logged.join()).toContain('NodePublishVolume');
  expect(JSON.stringify([node.logged, node.agent.requests, node.bugs])).not.toContain('hunter2');
});

test('what was staged or published with other words is not taken for the same', async () => {
  await using node = await nodeWithVolume();
  await node.stage();
  const reader = { volumeCapability: mode('SINGLE_NODE_READER_ONLY') };
  expect(await node.stage(reader)).toMatchObject({ code: 'ALREADY_EXISTS' });
  await node.publish();
  expect(await node.publish({ readonly: true })).toMatchObject({ code: 'ALREADY_EXISTS' });
  expect(await node.publish(reader)).toMatchObject({ code: 'ALREADY_EXISTS' });
});

test('nothing is published that is not staged there', async () => {
  await using node = await nodeWithVolume();
  expect(await node.publish()).toEqual({
    code: 'FAILED_PRECONDITION',
    message: `volume "data" is not staged on ${STAGING}`,
  });
  await node.stage();
  expect(await node.publish({ stagingTargetPath: '' })).toMatchObject({
    code: 'FAILED_PRECONDITION',
    message: expect.stringContaining('staging_target_path is missing'),
  });
  expect(await node.publish({ stagingTargetPath: '/elsewhere' })).toMatchObject({
    code: 'FAILED_PRECONDITION',
  });
  expect(await node.publish()).toEqual(done);
  // Late: unstage comes before unpublish.
  expect(await node.unstage()).toMatchObject({ code: 'FAILED_PRECONDITION' });
});

test('one writer is published at one path, several writers at several', async () => {
  await using node = await nodeWithVolume();
  await node.stage();
  const single = { volumeCapability: mode('SINGLE_NODE_SINGLE_WRITER') };
  const several = { volumeCapability: mode('SINGLE_NODE_MULTI_WRITER') };
  expect(await node.publish(single)).toEqual(done);
  expect(await node.publish(single)).toEqual(done);
  expect(await node.publish({ ...single, targetPath: OTHER_TARGET })).toMatchObject({
    code: 'FAILED_PRECONDITION',
    message: expect.stringContaining(`is published at "${TARGET}": unpublish it there first`),
  });
  await node.unpublish();
  expect(await node.publish({ ...single, targetPath: OTHER_TARGET })).toEqual(done);
  expect(await node.publish(several)).toEqual(done);
});

test('a volume is not used as what it is not', async () => {
  await using node = await nodeWithVolume();
  const block = { volumeCapability: BLOCK };
  expect(await node.stage(block)).toEqual({
    code: 'FAILED_PRECONDITION',
    message: expect.stringContaining('it has the file system ext4: use mount access'),
  });
  const xfs = { volumeCapability: { ...MOUNT, mount: { fsType: 'xfs' } } };
  expect(await node.stage(xfs)).toMatchObject({ code: 'FAILED_PRECONDITION' });
  await node.stage();
  expect(await node.publish(block)).toMatchObject({ code: 'FAILED_PRECONDITION' });
  // What is wrong with the request and not with the volume is the caller's to mend.
  node.agent.before = ({ path }) => {
    if (path.endsWith('/publish')) throw apiError('badRequest', 'mount option "x" is unknown');
  };
  expect(await node.publish()).toEqual({
    code: 'INVALID_ARGUMENT',
    message: 'mount option "x" is unknown',
  });
});

test('what is gone is unpublished and unstaged', async () => {
  await using node = await nodeWithVolume();
  for (const volumeId of [UNKNOWN_ID, 'never-made', '..', '../../etc']) {
    expect(await node.unpublish({ volumeId })).toEqual(done);
    expect(await node.unstage({ volumeId })).toEqual(done);
    expect(await node.stage({ volumeId })).toMatchObject({ code: 'NOT_FOUND' });
    expect(await node.stats(TARGET, { volumeId })).toMatchObject({ code: 'NOT_FOUND' });
  }
});

test('a volume in use elsewhere is not staged here', async () => {
  await using node = await nodeWithVolume();
  const volume = node.volume();
  if (volume === undefined) throw new Error('it was made');
  volume.holders = [{ node: 'node-2', door: 'nomad', id: '/x', label: 'allocation 1', paths: [] }];
  expect(await node.stage()).toEqual({
    code: 'FAILED_PRECONDITION',
    message: 'volume "data" is in use by nomad (allocation 1) on node node-2',
  });
});

test('a mounted volume tells of its bytes and inodes, on the path where it is', async () => {
  await using node = await nodeWithVolume();
  await node.stage();
  await node.publish();
  const ok = {
    ok: {
      usage: [
        { unit: 'BYTES', total: `${GiB}`, used: '4096', available: `${GiB - 4096}` },
        { unit: 'INODES', total: '100', used: '11', available: '89' },
      ],
      volumeCondition: { abnormal: false, message: 'the volume is healthy' },
    },
  };
  expect(await node.stats(TARGET)).toEqual(ok);
  expect(await node.stats(STAGING)).toEqual(ok);
  for (const path of ['/elsewhere', 'some/path', '/a/../b', `/${'x'.repeat(5_000)}`]) {
    expect(await node.stats(path)).toMatchObject({ code: 'NOT_FOUND' });
  }
  expect(await node.stats('')).toEqual({
    code: 'INVALID_ARGUMENT',
    message: 'volume_path is missing',
  });
});

test('a raw device tells of its size alone', async () => {
  await using node = await nodeWithVolume(BLOCK);
  expect(await node.stage()).toEqual(done);
  expect(await node.publish()).toEqual(done);
  const volume = node.volume();
  if (volume !== undefined) volume.condition = 'faulted';
  expect(await node.stats(TARGET)).toEqual({
    ok: {
      usage: [{ unit: 'BYTES', total: `${GiB}` }],
      volumeCondition: { abnormal: true, message: 'the volume is faulted' },
    },
  });
});

test('a node tells its name and where it is', async () => {
  await using node = await orchestratorWithPlugin();
  const segments = { 'topology.openebs.io/node': 'node-1', 'topology.openebs.io/zone': 'a' };
  const info = () => node.client.node('NodeGetInfo');
  expect(await info()).toEqual({ ok: { nodeId: 'node-1', accessibleTopology: { segments } } });
  node.agent.nodes.set('node-1', null);
  expect(await info()).toEqual({
    ok: {
      nodeId: 'node-1',
      accessibleTopology: { segments: { 'topology.openebs.io/node': 'node-1' } },
    },
  });
});

const VOLUME = { volumeId: UNKNOWN_ID };
const STAGE = { ...VOLUME, stagingTargetPath: STAGING, volumeCapability: MOUNT };

test.each([
  ['NodeStageVolume', { ...STAGE, volumeId: '' }, 'volume_id is missing'],
  ['NodeStageVolume', { ...STAGE, stagingTargetPath: '' }, 'staging_target_path is missing'],
  ['NodeStageVolume', { ...STAGE, stagingTargetPath: 'a/b' }, 'is not an absolute path'],
  ['NodeStageVolume', { ...STAGE, stagingTargetPath: '/a/../b' }, 'is not an absolute path'],
  ['NodeStageVolume', { ...STAGE, stagingTargetPath: '/a\u0000b' }, 'is not an absolute path'],
  ['NodeStageVolume', { ...STAGE, volumeCapability: null }, 'volume_capability is missing'],
  ['NodeStageVolume', { ...STAGE, volumeCapability: {} }, 'access_type is missing or unknown'],
  [
    'NodeStageVolume',
    { ...STAGE, volumeCapability: { ...MOUNT, mount: { mountFlags: ['x'.repeat(5_000)] } } },
    'mount_flags are larger than 4 KiB',
  ],
  ['NodeUnstageVolume', { stagingTargetPath: STAGING }, 'volume_id is missing'],
  ['NodeUnstageVolume', VOLUME, 'staging_target_path is missing'],
  ['NodePublishVolume', STAGE, 'target_path is missing'],
  ['NodePublishVolume', { ...STAGE, targetPath: '/a/./b' }, 'is not an absolute path'],
  ['NodePublishVolume', { ...STAGE, targetPath: `/${'x'.repeat(1_030)}` }, 'is not an absolute'],
  ['NodePublishVolume', { ...VOLUME, targetPath: TARGET }, 'volume_capability is missing'],
  ['NodeUnpublishVolume', { targetPath: TARGET }, 'volume_id is missing'],
  ['NodeUnpublishVolume', VOLUME, 'target_path is missing'],
  ['NodeUnpublishVolume', { ...VOLUME, targetPath: '/etc/../root' }, 'is not an absolute path'],
  ['NodeGetVolumeStats', { volumePath: TARGET }, 'volume_id is missing'],
])(
  '%s %j is refused by the field, and the agent is not asked',
  async (method, request, sentence) => {
    await using node = await orchestratorWithPlugin();
    expect(await node.client.node(method, request)).toEqual({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(sentence),
    });
    expect(node.agent.requests).toEqual([]);
  },
);
