import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { requestOf } from '../../../../plugins/kubernetes/claim-request.ts';
import type {
  PersistentVolumeClaim,
  StorageClass,
} from '../../../../plugins/kubernetes/objects.ts';
import type { NodePlace } from '../../../../plugins/kubernetes/topology.ts';
import { aClaim, aClass, VOLUME_NAME } from '../../../fixtures/kubernetes/objects.ts';

const NODES: NodePlace[] = [
  { name: 'node-1', zone: 'a' },
  { name: 'node-2', zone: 'b' },
  { name: 'node-3', zone: null },
];

function ask(
  spec: PersistentVolumeClaim['spec'] = {},
  more: Partial<StorageClass> = {},
  preferredNode: string | null = null,
) {
  const surroundings = {
    nodes: NODES,
    preferredNode,
    parseYaml: (text: string) => parse(text) as unknown,
  };
  return requestOf(aClaim({ spec }), aClass(more), surroundings);
}

const size = (storage: string, limit?: string) => ({
  resources: {
    requests: { storage },
    ...(limit === undefined ? {} : { limits: { storage: limit } }),
  },
});

test('a plain claim asks for an ext4 volume of its size, by the name of its uid', () => {
  expect(ask()).toEqual({ name: VOLUME_NAME, sizeBytes: 2 ** 30, fileSystem: 'ext4' });
});

test('a raw block volume has no file system, whatever the class says of those that have', () => {
  const parameters = { fs: 'xfs', fsOptions: '-K', replicas: '2' };
  expect(ask({ volumeMode: 'Block' }, { parameters })).toEqual({
    name: VOLUME_NAME,
    sizeBytes: 2 ** 30,
    replicas: 2,
    fileSystem: 'none',
  });
});

test('a class with fs=none is refused for a claim that wants a file system', () => {
  expect(() => ask({}, { parameters: { fs: 'none' } })).toThrow('volumeMode: Block');
});

test('a request is rounded up to what a volume can have, within its limit', () => {
  expect(ask(size('1')).sizeBytes).toBe(64 * 2 ** 20);
  expect(ask(size('100M')).sizeBytes).toBe(Math.ceil(100e6 / 4096) * 4096);
  expect(ask(size('1Gi', '1Gi')).sizeBytes).toBe(2 ** 30);
  expect(() => ask(size('1Mi', '10Mi'))).toThrow('the limit of 10Mi is too small: 64 MiB is');
  expect(() => ask(size('1Ei'))).toThrow('too large');
  expect(() => ask(size('much'))).toThrow('the storage request "much" is no size such as 10Gi');
});

test.each(['ReadWriteMany', 'ReadOnlyMany'])('access mode %s is refused by name', (mode) => {
  expect(() => ask({ accessModes: ['ReadWriteOnce', mode] })).toThrow(
    `access mode ${mode} is not available: ask for ReadWriteOnce or ReadWriteOncePod`,
  );
});

test('a single Pod as the only writer is granted', () => {
  expect(ask({ accessModes: ['ReadWriteOncePod'] }).fileSystem).toBe('ext4');
});

test('what is not there yet is refused: a source, a selector', () => {
  const dataSource = { kind: 'VolumeSnapshot', name: 'monday' };
  expect(() => ask({ dataSource })).toThrow('from a VolumeSnapshot is not available');
  expect(() => ask({ dataSourceRef: dataSource })).toThrow('from a VolumeSnapshot');
  expect(() => ask({ selector: { matchLabels: {} } })).toThrow('leave the selector out');
});

test('a wrong value of an option is refused with its name', () => {
  expect(() => ask({}, { parameters: { 'openebs.io/jiva-replica-count': '99' } })).toThrow(
    'option replicas="99"',
  );
});

test('the node of the first consumer is preferred', () => {
  expect(ask({}, {}, 'node-2').preferredNodes).toEqual(['node-2']);
});

const term = (...pairs: readonly (readonly [string, readonly string[]])[]) => ({
  matchLabelExpressions: pairs.map(([key, values]) => ({
    key: `topology.openebs.io/${key}`,
    values,
  })),
});

test('allowed topologies of zones alone keep to the zones, whatever nodes they will have', () => {
  const allowedTopologies = [term(['zone', ['a']]), term(['zone', ['b', 'a']])];
  expect(ask({}, { allowedTopologies })).toMatchObject({ zones: ['a', 'b'] });
});

test('allowed topologies with nodes are the nodes for which one of them holds whole', () => {
  const one = term(['node', ['node-1', 'node-2']], ['zone', ['b']]);
  expect(ask({}, { allowedTopologies: [one] }).nodes).toEqual(['node-2']);
  const allowedTopologies = [one, term(['node', ['node-3']])];
  expect(ask({}, { allowedTopologies }).nodes).toEqual(['node-2', 'node-3']);
  expect(ask({}, { allowedTopologies }).zones).toBeUndefined();
});

test('a term without keys, as one that allows all, restricts nothing', () => {
  const allowedTopologies = [term(['zone', ['a']]), {}];
  expect(ask({}, { allowedTopologies })).not.toHaveProperty('zones');
});

test('topologies that no node fulfils, or of other keys, are told', () => {
  const nowhere = [term(['node', ['node-9']])];
  expect(() => ask({}, { allowedTopologies: nowhere })).toThrow(
    'there are: node-1 (zone a), node-2 (zone b), node-3',
  );
  const foreign = [{ matchLabelExpressions: [{ key: 'kubernetes.io/hostname', values: ['x'] }] }];
  expect(() => ask({}, { allowedTopologies: foreign })).toThrow(
    'key "kubernetes.io/hostname" of allowedTopologies is unknown',
  );
});

test('topologies and the parameter nodes must both hold', () => {
  const allowedTopologies = [term(['node', ['node-1', 'node-2']])];
  const nodes = 'node-2,node-3';
  expect(ask({}, { allowedTopologies, parameters: { nodes } }).nodes).toEqual(['node-2']);
  expect(() => ask({}, { allowedTopologies, parameters: { nodes: 'node-3' } })).toThrow(
    'nothing in common',
  );
});
