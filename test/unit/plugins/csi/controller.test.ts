import { expect, test } from '@jest/globals';
import { GiB, MiB } from '../../../../core/units.ts';
import { pageOf } from '../../../../plugins/csi/volume-pages.ts';
import {
  BLOCK,
  FIRST_ID,
  MOUNT,
  mode,
  orchestratorWithPlugin,
  STAGING,
  UNKNOWN_ID,
} from './orchestrator.ts';

const done = { ok: {} };

test('a deleted volume is gone; deleting it again, or what never was, is fine', async () => {
  await using csi = await orchestratorWithPlugin();
  const volumeId = await csi.createVolume('data');
  const remove = (id: string) => csi.client.controller('DeleteVolume', { volumeId: id });
  expect(await remove(volumeId)).toEqual(done);
  expect(csi.agent.volumes.size).toBe(0);
  expect(await remove(volumeId)).toEqual(done);
  expect(await remove(UNKNOWN_ID)).toEqual(done);
});

test('no path is made of a volume id that no volume can have', async () => {
  await using csi = await orchestratorWithPlugin();
  for (const volumeId of ['..', '.', '../..', 'a/../b', 'a\u0000b', '/etc', '%2e%2e', 'größe']) {
    expect(await csi.client.controller('DeleteVolume', { volumeId })).toEqual(done);
    expect(await csi.client.controller('ControllerUnpublishVolume', { volumeId })).toEqual(done);
    expect(await csi.client.controller('ControllerGetVolume', { volumeId })).toMatchObject({
      code: 'NOT_FOUND',
    });
  }
  expect(csi.agent.requests).toEqual([]);
});

test('a volume in use is not deleted', async () => {
  await using csi = await orchestratorWithPlugin();
  const volume = csi.agent.addVolume('data');
  csi.agent.holders.attach(volume, { as: 'mount', consumer: 'docker:1', door: 'docker' });
  expect(await csi.client.controller('DeleteVolume', { volumeId: volume.id })).toMatchObject({
    code: 'FAILED_PRECONDITION',
    message: expect.stringContaining('in use by docker:1'),
  });
});

const publish = { nodeId: 'node-1', volumeCapability: MOUNT };

test('a volume is published to one node, as often as it is asked', async () => {
  await using csi = await orchestratorWithPlugin({ door: 'nomad' });
  const volumeId = await csi.createVolume('data');
  const call = (more: object = {}) =>
    csi.client.controller('ControllerPublishVolume', { volumeId, ...publish, ...more });
  expect(await call()).toEqual(done);
  expect(await call()).toEqual(done);
  expect(csi.agent.volumes.get('data')?.claim).toEqual({
    node: 'node-1',
    door: 'nomad',
    readOnly: false,
  });
  expect(await call({ nodeId: 'node-2' })).toEqual({
    code: 'FAILED_PRECONDITION',
    message: 'volume "data" is in use by nomad on node node-1',
  });
  expect(await call({ readonly: true })).toMatchObject({ code: 'ALREADY_EXISTS' });
  expect(await call({ volumeCapability: mode('SINGLE_NODE_READER_ONLY') })).toMatchObject({
    code: 'ALREADY_EXISTS',
  });
  expect(await call({ nodeId: 'node-9' })).toMatchObject({ code: 'NOT_FOUND' });
  expect(await call({ volumeId: UNKNOWN_ID })).toMatchObject({ code: 'NOT_FOUND' });
  expect(await call({ volumeId: '..' })).toMatchObject({ code: 'NOT_FOUND' });
});

test('a volume that another front door holds is not published', async () => {
  await using csi = await orchestratorWithPlugin({ door: 'kubernetes' });
  const volume = csi.agent.addVolume('data');
  csi.agent.holders.attach(volume, { as: 'mount', consumer: '4f2a', door: 'docker' });
  const request = { volumeId: volume.id, ...publish };
  expect(await csi.client.controller('ControllerPublishVolume', request)).toEqual({
    code: 'FAILED_PRECONDITION',
    message: 'volume "data" is in use by docker (4f2a) on node node-1',
  });
});

test('unpublished is what is not published: from another node, twice, gone, of a dead node', async () => {
  await using csi = await orchestratorWithPlugin();
  const volumeId = await csi.createVolume('data');
  const unpublish = (more: object) =>
    csi.client.controller('ControllerUnpublishVolume', { volumeId, ...more });
  const isClaimed = () => csi.agent.volumes.get('data')?.claim !== null;
  await csi.client.controller('ControllerPublishVolume', { volumeId, ...publish });
  expect(await unpublish({ nodeId: 'node-2' })).toEqual(done);
  expect(isClaimed()).toBe(true);
  expect(await unpublish({ nodeId: 'node-1' })).toEqual(done);
  expect(isClaimed()).toBe(false);
  expect(await unpublish({ nodeId: 'node-1' })).toEqual(done);
  expect(await unpublish({ nodeId: 'long-gone' })).toEqual(done);
  expect(await unpublish({ volumeId: UNKNOWN_ID, nodeId: 'node-1' })).toEqual(done);
  await csi.client.controller('ControllerPublishVolume', { volumeId, ...publish });
  // Unset: from all nodes.
  expect(await unpublish({})).toEqual(done);
  expect(isClaimed()).toBe(false);
});

test('an apiserver that is away is no reason to call a volume unpublished', async () => {
  await using csi = await orchestratorWithPlugin();
  csi.agent.before = () => {
    throw new Error('connect ECONNREFUSED');
  };
  const request = { volumeId: UNKNOWN_ID, nodeId: 'node-1' };
  expect(await csi.client.controller('ControllerUnpublishVolume', request)).toMatchObject({
    code: 'UNAVAILABLE',
  });
});

test('what a volume can be used for is confirmed, with what was asked', async () => {
  await using csi = await orchestratorWithPlugin();
  csi.agent.addVolume('data', { fileSystem: 'xfs' });
  csi.agent.addVolume('raw', { fileSystem: 'none' });
  const validate = (volumeId: string, capabilities: object[], more: object = {}) =>
    csi.client.controller('ValidateVolumeCapabilities', {
      volumeId,
      volumeCapabilities: capabilities,
      ...more,
    });
  const xfs = { ...MOUNT, mount: { fsType: 'xfs', mountFlags: ['noatime'] } };
  const parameters = { replicas: '3' };
  expect(await validate(FIRST_ID, [xfs], { parameters, volumeContext: { a: 'b' } })).toMatchObject({
    ok: {
      confirmed: {
        volumeCapabilities: [
          {
            mount: { fsType: 'xfs', mountFlags: ['noatime'] },
            accessMode: { mode: 'SINGLE_NODE_WRITER' },
          },
        ],
        volumeContext: { a: 'b' },
        parameters,
      },
    },
  });
  // By its name, as people registered it.
  expect(await validate('raw', [BLOCK])).toMatchObject({ ok: { confirmed: {} } });
  expect(await validate(FIRST_ID, [MOUNT, mode('MULTI_NODE_MULTI_WRITER')])).toEqual({
    ok: { message: expect.stringContaining('MULTI_NODE_MULTI_WRITER is not available') },
  });
  expect(await validate(FIRST_ID, [BLOCK])).toEqual({
    ok: { message: 'it has the file system xfs: use mount access' },
  });
  const ext4 = { ...MOUNT, mount: { fsType: 'ext4' } };
  expect(await validate(FIRST_ID, [ext4])).toEqual({
    ok: { message: 'it has the file system xfs, not ext4' },
  });
  expect(await validate('raw', [MOUNT])).toEqual({
    ok: { message: 'it is a raw block device: use block access' },
  });
  expect(await validate(UNKNOWN_ID, [MOUNT])).toMatchObject({ code: 'NOT_FOUND' });
  expect(await validate(FIRST_ID, [])).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(await validate(FIRST_ID, [MOUNT], { parameters: { bogus: '1' } })).toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: expect.stringContaining('"bogus" is unknown'),
  });
});

test('volumes are listed in pages, each with its nodes and its condition', async () => {
  await using csi = await orchestratorWithPlugin();
  const volumes = ['a', 'b', 'c'].map((name) => csi.agent.addVolume(name, { sizeBytes: GiB }));
  const [first, second] = volumes;
  if (first === undefined || second === undefined) throw new Error('they were made');
  first.claim = { node: 'node-2', door: 'csi', readOnly: false };
  first.attachedTo = 'node-2';
  second.condition = 'degraded';
  second.message = 'one of three replicas is away';
  const list = (request: object) => csi.client.controller('ListVolumes', request);
  const one = await list({ maxEntries: 2 });
  expect(one).toMatchObject({
    ok: {
      entries: [
        {
          volume: { volumeId: first.id, capacityBytes: `${GiB}` },
          status: {
            publishedNodeIds: ['node-2'],
            volumeCondition: { message: 'the volume is healthy' },
          },
        },
        {
          volume: { volumeId: second.id },
          status: {
            volumeCondition: { abnormal: true, message: 'one of three replicas is away' },
          },
        },
      ],
      nextToken: `after:${second.id}`,
    },
  });
  // The last of a page may be gone when the next is asked for.
  csi.agent.volumes.delete('b');
  const two = await list({ maxEntries: 2, startingToken: `after:${second.id}` });
  expect(two).toMatchObject({ ok: { entries: [{ volume: { volumeId: volumes[2]?.id } }] } });
  expect(two).toHaveProperty('ok.nextToken', '');
  for (const startingToken of ['invalid-token', 'after:', '1', `after:${first.id}x`]) {
    expect(await list({ startingToken })).toMatchObject({ code: 'ABORTED' });
  }
  expect(await list({ maxEntries: -1 })).toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test('an answer never outgrows what callers take, also where they set no limit', async () => {
  await using csi = await orchestratorWithPlugin();
  const message = 'm'.repeat(500);
  for (let index = 0; index < 5_000; index += 1) {
    csi.agent.addVolume(`v${index}`, { condition: 'degraded', message });
  }
  const all = [...csi.agent.volumes.values()];
  const page = pageOf(all, { maxEntries: 0, startingToken: '' });
  expect(page.volumes).toHaveLength(4_000);
  expect(page.nextToken).not.toBe('');
  const outcome = await csi.client.controller('ListVolumes');
  expect(outcome).toMatchObject({ ok: { nextToken: page.nextToken } });
});

test('a list of what this node alone knows is not given out for all volumes', async () => {
  await using csi = await orchestratorWithPlugin();
  csi.agent.addVolume('data');
  csi.agent.cached = true;
  expect(await csi.client.controller('ListVolumes')).toMatchObject({ code: 'UNAVAILABLE' });
});

test('a volume is found with where it is published', async () => {
  await using csi = await orchestratorWithPlugin();
  const volume = csi.agent.addVolume('data', { condition: 'unknown' });
  csi.agent.holders.stage(volume, { stagingPath: STAGING, door: 'csi', as: 'mount' });
  const get = (volumeId: string) => csi.client.controller('ControllerGetVolume', { volumeId });
  expect(await get(volume.id)).toEqual({
    ok: {
      volume: { volumeId: volume.id, capacityBytes: `${volume.sizeBytes}` },
      status: {
        publishedNodeIds: ['node-1'],
        volumeCondition: {
          abnormal: false,
          message: 'the volume is in a condition that is not known now',
        },
      },
    },
  });
  expect(await get('data')).toEqual(await get(volume.id));
  expect(await get(UNKNOWN_ID)).toMatchObject({ code: 'NOT_FOUND' });
  expect(await get('')).toEqual({ code: 'INVALID_ARGUMENT', message: 'volume_id is missing' });
  expect(await get('v'.repeat(129))).toMatchObject({ code: 'INVALID_ARGUMENT' });
});

test.each([
  [{}, 64 * GiB],
  [{ parameters: { replicas: '3' } }, 64 * GiB],
  [{ parameters: { replicas: '4' } }, 0],
  [{ parameters: { replicas: '2', nodes: 'node-1' } }, 0],
  [{ volumeCapabilities: [MOUNT] }, 64 * GiB],
  [{ volumeCapabilities: [mode('MULTI_NODE_MULTI_WRITER')] }, 0],
  [{ accessibleTopology: { segments: { 'topology.openebs.io/node': 'node-1' } } }, 64 * GiB],
  [{ accessibleTopology: { segments: { 'topology.openebs.io/node': 'gone' } } }, 0],
])('for %j there is room for %d bytes', async (request, bytes) => {
  await using csi = await orchestratorWithPlugin();
  expect(await csi.client.controller('GetCapacity', request)).toMatchObject({
    ok: {
      ...(bytes === 0 ? {} : { availableCapacity: `${bytes}` }),
      minimumVolumeSize: { value: `${64 * MiB}` },
    },
  });
});

test('a capacity for unknown parameters or topologies is no number', async () => {
  await using csi = await orchestratorWithPlugin();
  for (const request of [
    { parameters: { bogus: '1' } },
    { accessibleTopology: { segments: { rack: '1' } } },
    { volumeCapabilities: [{}] },
  ]) {
    expect(await csi.client.controller('GetCapacity', request)).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
  }
});

test.each([
  ['DeleteVolume', {}, 'volume_id is missing'],
  ['DeleteVolume', { volumeId: 'v'.repeat(129) }, 'volume_id is longer than 128 bytes'],
  ['ControllerPublishVolume', { ...publish }, 'volume_id is missing'],
  ['ControllerPublishVolume', { ...publish, volumeId: 'v', nodeId: '' }, 'node_id is missing'],
  [
    'ControllerPublishVolume',
    { ...publish, volumeId: 'v', nodeId: 'n'.repeat(257) },
    'node_id is longer than 256 bytes',
  ],
  ['ControllerPublishVolume', { volumeId: 'v', nodeId: 'node-1' }, 'volume_capability is missing'],
  [
    'ControllerPublishVolume',
    { volumeId: 'v', nodeId: 'node-1', volumeCapability: mode('MULTI_NODE_MULTI_WRITER') },
    'MULTI_NODE_MULTI_WRITER is not available',
  ],
  ['ControllerUnpublishVolume', {}, 'volume_id is missing'],
  ['ControllerUnpublishVolume', { volumeId: 'v', nodeId: 'n'.repeat(257) }, 'node_id is longer'],
  ['ValidateVolumeCapabilities', { volumeCapabilities: [MOUNT] }, 'volume_id is missing'],
  [
    'ValidateVolumeCapabilities',
    { volumeId: 'v', volumeCapabilities: [MOUNT], mutableParameters: { a: 'b' } },
    'mutable_parameters are not available',
  ],
  ['ControllerGetVolume', {}, 'volume_id is missing'],
])(
  '%s %j is refused by the field, and the agent is not asked',
  async (method, request, sentence) => {
    await using csi = await orchestratorWithPlugin();
    expect(await csi.client.controller(method, request)).toEqual({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining(sentence),
    });
    expect(csi.agent.requests).toEqual([]);
  },
);
