import { expect, test } from '@jest/globals';
import { apiError } from '../../../../core/api/index.ts';
import { GiB, KiB, MiB, TiB } from '../../../../core/units.ts';
import { BLOCK, FIRST_ID, MOUNT, mode, orchestratorWithPlugin } from './orchestrator.ts';

const REQUEST = { name: 'data', volumeCapabilities: [MOUNT] };
const made = (capacityBytes: number) => ({
  ok: { volume: { volumeId: FIRST_ID, capacityBytes: `${capacityBytes}` } },
});

async function sent(request: object) {
  await using csi = await orchestratorWithPlugin();
  const outcome = await csi.client.controller('CreateVolume', { ...REQUEST, ...request });
  return { outcome, body: csi.agent.calls('POST', '/v1/volumes')[0]?.body };
}

test.each([
  [{}, { name: 'data' }],
  [
    { parameters: { replicas: '2', fs: 'xfs', fsOptions: '-m crc=1', pool: 'fast' } },
    { name: 'data', replicas: 2, fileSystem: 'xfs', fileSystemOptions: '-m crc=1', pool: 'fast' },
  ],
  [{ parameters: { size: '1G' } }, { name: 'data', sizeBytes: GiB }],
  [
    { parameters: { nodes: 'node-1,node-2', zones: 'a' } },
    { name: 'data', nodes: ['node-1', 'node-2'], zones: ['a'] },
  ],
  [
    { volumeCapabilities: [{ ...MOUNT, mount: { fsType: 'xfs' } }] },
    { name: 'data', fileSystem: 'xfs' },
  ],
  [{ parameters: { 'csi.storage.k8s.io/fstype': 'xfs' } }, { name: 'data', fileSystem: 'xfs' }],
  [
    {
      parameters: {
        'csi.storage.k8s.io/pvc/name': 'data',
        'csi.storage.k8s.io/pvc/namespace': 'default',
        'csi.storage.k8s.io/pv/name': 'pvc-1',
        'csi.storage.k8s.io/node-stage-secret-name': 'secret',
      },
    },
    { name: 'data' },
  ],
  [{ volumeCapabilities: [BLOCK] }, { name: 'data', fileSystem: 'none' }],
  [
    { volumeCapabilities: [BLOCK], parameters: { fs: 'none' } },
    { name: 'data', fileSystem: 'none' },
  ],
  [
    { volumeCapabilities: [mode('SINGLE_NODE_SINGLE_WRITER'), mode('SINGLE_NODE_READER_ONLY')] },
    { name: 'data' },
  ],
  [{ capacityRange: {} }, { name: 'data' }],
  [{ capacityRange: { requiredBytes: GiB } }, { name: 'data', sizeBytes: GiB }],
  [{ capacityRange: { requiredBytes: 1 } }, { name: 'data', sizeBytes: 64 * MiB }],
  [{ capacityRange: { requiredBytes: GiB + 1 } }, { name: 'data', sizeBytes: GiB + 4 * KiB }],
  [{ capacityRange: { limitBytes: TiB } }, { name: 'data', sizeBytes: 5 * GiB }],
  [{ capacityRange: { limitBytes: GiB + 1 } }, { name: 'data', sizeBytes: GiB }],
  [{ capacityRange: { requiredBytes: GiB, limitBytes: GiB } }, { name: 'data', sizeBytes: GiB }],
])('%j asks the agent for a volume with %j', async (request, body) => {
  const { outcome, body: asked } = await sent(request);
  expect(asked).toEqual({ ...body, preferredNodes: [] });
  expect(outcome).toMatchObject({ ok: { volume: { volumeId: FIRST_ID } } });
});

test.each([
  [{ name: '' }, 'INVALID_ARGUMENT', 'name is missing'],
  [{ name: 'n'.repeat(129) }, 'INVALID_ARGUMENT', 'name is longer than 128 bytes'],
  [{ name: '../../etc' }, 'INVALID_ARGUMENT', 'a volume name starts with a letter or digit'],
  [{ name: 'a/../b' }, 'INVALID_ARGUMENT', 'a volume name starts with a letter or digit'],
  [{ volumeCapabilities: [] }, 'INVALID_ARGUMENT', 'volume_capabilities is missing'],
  [{ volumeCapabilities: [{}] }, 'INVALID_ARGUMENT', 'access_type is missing'],
  [{ volumeCapabilities: [{ mount: {} }] }, 'INVALID_ARGUMENT', 'access_mode is missing'],
  [{ volumeCapabilities: [mode(0)] }, 'INVALID_ARGUMENT', 'access_mode is missing'],
  [{ volumeCapabilities: [mode(99)] }, 'INVALID_ARGUMENT', 'access mode 99 is unknown'],
  [
    { volumeCapabilities: [mode('MULTI_NODE_READER_ONLY')] },
    'INVALID_ARGUMENT',
    'access mode MULTI_NODE_READER_ONLY is not available: a volume is used on one node at a time',
  ],
  [{ volumeCapabilities: [mode('MULTI_NODE_SINGLE_WRITER')] }, 'INVALID_ARGUMENT', 'not available'],
  [
    { volumeCapabilities: [MOUNT, mode('MULTI_NODE_MULTI_WRITER')] },
    'INVALID_ARGUMENT',
    'access mode MULTI_NODE_MULTI_WRITER is not available',
  ],
  [
    { volumeCapabilities: [{ ...MOUNT, mount: { fsType: 'btrfs' } }] },
    'INVALID_ARGUMENT',
    'fs_type "btrfs" is not one of ext4, xfs',
  ],
  [
    { volumeCapabilities: [{ ...MOUNT, mount: { volumeMountGroup: '1000' } }] },
    'INVALID_ARGUMENT',
    'volume_mount_group is not available',
  ],
  [{ volumeCapabilities: [MOUNT, BLOCK] }, 'INVALID_ARGUMENT', 'contradict each other'],
  [
    { parameters: { siez: '1G' } },
    'INVALID_ARGUMENT',
    'option "siez" is unknown; valid options: size, replicas, fs, fsOptions, pool, nodes, zones',
  ],
  [{ parameters: { constructor: 'x' } }, 'INVALID_ARGUMENT', 'option "constructor" is unknown'],
  [{ parameters: { iops: '100' } }, 'INVALID_ARGUMENT', 'not available in this version'],
  [{ parameters: { 'csi.storage.k8s.io/new': 'x' } }, 'INVALID_ARGUMENT', 'k8s.io/new" is unknown'],
  [{ parameters: { pool: 'p'.repeat(5_000) } }, 'INVALID_ARGUMENT', 'parameters is larger than'],
  [{ parameters: { fs: 'none' } }, 'INVALID_ARGUMENT', 'fs=none and mount access contradict'],
  [
    { parameters: { fs: 'xfs' }, volumeCapabilities: [{ ...MOUNT, mount: { fsType: 'ext4' } }] },
    'INVALID_ARGUMENT',
    'fs=xfs and mount access with fs_type ext4 contradict each other',
  ],
  [
    { parameters: { fs: 'xfs' }, volumeCapabilities: [BLOCK] },
    'INVALID_ARGUMENT',
    'fs=xfs and block access contradict each other',
  ],
  [
    { parameters: { fs: 'xfs', 'csi.storage.k8s.io/fstype': 'ext4' } },
    'INVALID_ARGUMENT',
    'contradict each other',
  ],
  [
    { parameters: { size: '1G' }, capacityRange: { requiredBytes: GiB } },
    'INVALID_ARGUMENT',
    'parameter size and capacity_range are both given',
  ],
  [
    { mutableParameters: { iops: '1' } },
    'INVALID_ARGUMENT',
    'mutable_parameters are not available',
  ],
  [
    { volumeContentSource: { volume: { volumeId: FIRST_ID } } },
    'INVALID_ARGUMENT',
    'volume_content_source is not available',
  ],
  [{ capacityRange: { requiredBytes: -1 } }, 'INVALID_ARGUMENT', 'required_bytes -1 is negative'],
  [{ capacityRange: { limitBytes: -4096 } }, 'INVALID_ARGUMENT', 'limit_bytes -4096 is negative'],
  [{ capacityRange: { requiredBytes: 65 * TiB } }, 'OUT_OF_RANGE', 'from 64 MiB to 64 TiB'],
  [{ capacityRange: { requiredBytes: '9223372036854775807' } }, 'OUT_OF_RANGE', '64 TiB'],
  [{ capacityRange: { limitBytes: MiB } }, 'OUT_OF_RANGE', 'at most 1048576'],
  [{ capacityRange: { requiredBytes: 2 * GiB, limitBytes: GiB } }, 'OUT_OF_RANGE', 'has no size'],
  [
    // Nothing between them is a multiple of the step.
    { capacityRange: { requiredBytes: GiB + 1, limitBytes: GiB + 2 } },
    'OUT_OF_RANGE',
    'a multiple of 4096 bytes',
  ],
])('%j is refused with %s, and the agent is not asked', async (request, code, sentence) => {
  const { outcome, body } = await sent(request);
  expect(outcome).toEqual({ code, message: expect.stringContaining(sentence) });
  expect(body).toBeUndefined();
});

test('a volume of that name that will do is the answer, whatever its size within the range', async () => {
  await using csi = await orchestratorWithPlugin();
  csi.agent.addVolume('data', { sizeBytes: 3 * GiB, fileSystem: 'xfs' });
  const create = (requiredBytes: number, limitBytes: number, fsType = '') =>
    csi.client.controller('CreateVolume', {
      name: 'data',
      capacityRange: { requiredBytes, limitBytes },
      volumeCapabilities: [{ ...MOUNT, mount: { fsType } }],
    });
  expect(await create(GiB, 0)).toEqual(made(3 * GiB));
  expect(await create(3 * GiB, 3 * GiB)).toEqual(made(3 * GiB));
  expect(await create(2 * GiB, 4 * GiB, 'xfs')).toEqual(made(3 * GiB));
  const refused = { code: 'ALREADY_EXISTS', message: expect.stringContaining('"data" exists') };
  expect(await create(GiB, 2 * GiB)).toEqual(refused);
  expect(await create(4 * GiB, 0)).toEqual(refused);
  expect(await create(2 * GiB, 4 * GiB, 'ext4')).toEqual(refused);
  expect(csi.agent.volumes.size).toBe(1);
});

test('a volume that cannot be used in the way asked for is another one', async () => {
  await using csi = await orchestratorWithPlugin();
  csi.agent.addVolume('raw', { fileSystem: 'none' });
  csi.agent.addVolume('mounted');
  const create = (name: string, capability: object) =>
    csi.client.controller('CreateVolume', { name, volumeCapabilities: [capability] });
  expect(await create('raw', BLOCK)).toMatchObject({ ok: {} });
  expect(await create('raw', MOUNT)).toMatchObject({ code: 'ALREADY_EXISTS' });
  expect(await create('mounted', BLOCK)).toMatchObject({ code: 'ALREADY_EXISTS' });
});

test('a create that is asked again gives the same volume', async () => {
  await using csi = await orchestratorWithPlugin();
  const request = { ...REQUEST, capacityRange: { requiredBytes: GiB }, parameters: { fs: 'xfs' } };
  const first = await csi.client.controller('CreateVolume', request);
  expect(first).toEqual(made(GiB));
  expect(await csi.client.controller('CreateVolume', request)).toEqual(first);
});

test('the id of another volume is a name like any other', async () => {
  await using csi = await orchestratorWithPlugin();
  csi.agent.addVolume('other', { sizeBytes: 7 * GiB });
  const outcome = await csi.client.controller('CreateVolume', { ...REQUEST, name: FIRST_ID });
  expect(outcome).toMatchObject({ ok: { volume: { capacityBytes: `${5 * GiB}` } } });
});

const node = (name: string) => ({ segments: { 'topology.openebs.io/node': name } });
const zone = (name: string) => ({ segments: { 'topology.openebs.io/zone': name } });
const both = (name: string, of: string) => ({
  segments: { ...node(name).segments, ...zone(of).segments },
});

test.each([
  [{ preferred: [node('node-2'), node('node-1')] }, ['node-2', 'node-1']],
  [{ preferred: [node('node-3')], requisite: [zone('b')] }, ['node-3', 'node-2']],
  [{ requisite: [node('node-2'), node('gone')] }, ['node-2']],
  [{ requisite: [both('node-1', 'a'), both('node-2', 'a')] }, ['node-1']],
  [{ preferred: [zone('b')] }, ['node-2', 'node-3']],
  [{ preferred: [node('gone')] }, []],
  [{}, []],
])('with the topology %j replicas go first to %j', async (accessibilityRequirements, names) => {
  const { outcome, body } = await sent({ accessibilityRequirements });
  expect(body).toMatchObject({ preferredNodes: names });
  // No accessible_topology: every node reaches it.
  expect(outcome).toEqual(made(5 * GiB));
});

test.each([
  [{ requisite: [node('gone'), zone('c')] }, 'RESOURCE_EXHAUSTED', 'there is no node in'],
  [{ requisite: [both('node-1', 'b')] }, 'RESOURCE_EXHAUSTED', 'there is no node in'],
  [{ requisite: [{ segments: {} }] }, 'INVALID_ARGUMENT', 'a topology has no segment'],
  [
    { preferred: [{ segments: { 'kubernetes.io/hostname': 'node-1' } }] },
    'INVALID_ARGUMENT',
    'segment "kubernetes.io/hostname"; valid segments: topology.openebs.io/node, topology.openebs',
  ],
])('the topology %j is refused with %s', async (accessibilityRequirements, code, sentence) => {
  const { outcome, body } = await sent({ accessibilityRequirements });
  expect(outcome).toEqual({ code, message: expect.stringContaining(sentence) });
  expect(body).toBeUndefined();
});

test.each([
  ['unplaceable', 'RESOURCE_EXHAUSTED'],
  ['noSpace', 'RESOURCE_EXHAUSTED'],
  ['unavailable', 'UNAVAILABLE'],
  ['timeout', 'DEADLINE_EXCEEDED'],
] as const)('the agent says %s: the caller is told %s', async (word, code) => {
  await using csi = await orchestratorWithPlugin();
  csi.agent.before = ({ method }) => {
    if (method === 'POST') throw apiError(word, 'why not');
  };
  const outcome = await csi.client.controller('CreateVolume', REQUEST);
  expect(outcome).toEqual({ code, message: 'why not' });
});
