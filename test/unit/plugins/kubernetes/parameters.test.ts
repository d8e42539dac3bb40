import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { type Asked, optionsOf } from '../../../../plugins/kubernetes/parameters.ts';

const read = (asked: Partial<Asked>) =>
  optionsOf({ parameters: {}, policies: [], ...asked }, (text) => parse(text) as unknown);

test('the options of every front door are parameters of a class', () => {
  const parameters = { replicas: '2', fs: 'xfs', fsOptions: '-m 0', pool: 'fast', zones: 'a,b' };
  expect(read({ parameters })).toEqual(parameters);
});

test('the historical parameters mean what they meant', () => {
  const parameters = {
    'openebs.io/jiva-replica-count': '2',
    'openebs.io/storage-pool': 'default',
    'openebs.io/fstype': 'ext4',
    'openebs.io/capacity': '5G',
  };
  expect(read({ parameters })).toEqual({ replicas: '2', pool: 'default', fs: 'ext4' });
});

test('the historical policies of a class count, and those of the claim before them', () => {
  const ofClass = '- name: ReplicaCount\n  value: "3"\n- name: StoragePool\n  value: slow\n';
  const ofClaim = '- {name: ReplicaCount, value: 1}\n- {name: FSType, value: xfs}';
  expect(read({ policies: [ofClass, ofClaim] })).toEqual({
    replicas: '1',
    pool: 'slow',
    fs: 'xfs',
  });
});

test('two words for one thing may agree, and may not contradict each other', () => {
  const agreeing = { replicas: '2', 'openebs.io/jiva-replica-count': '2' };
  expect(read({ parameters: agreeing })).toEqual({ replicas: '2' });
  expect(() => read({ parameters: { ...agreeing, replicas: '3' } })).toThrow(
    'parameter replicas="3" and parameter openebs.io/jiva-replica-count="2" contradict each other',
  );
});

test('an unknown parameter is named, with the ones that are known', () => {
  expect(() => read({ parameters: { replicaz: '2' } })).toThrow(
    /^parameter "replicaz" is unknown; valid parameters: replicas, fs, .*openebs.io\/capacity$/,
  );
});

test('a size has no place in a class', () => {
  expect(() => read({ parameters: { size: '1G' } })).toThrow('the claim says how much it wants');
});

test('a capacity that is no size is refused though it would not count', () => {
  const parameters = { 'openebs.io/capacity': 'much' };
  expect(() => read({ parameters })).toThrow('parameter openebs.io/capacity: size "much"');
});

test.each([
  ['[', 'is not YAML'],
  ['name: ReplicaCount', 'is not a list'],
  ['- ReplicaCount', 'is not a name with one value'],
  ['- {name: ReplicaCount, value: [1]}', 'is not a name with one value'],
  [
    '- {name: TargetNodeSelector, value: x}',
    'policy "TargetNodeSelector" of cas.openebs.io/config',
  ],
])('a wrong annotation is told: %s', (text, problem) => {
  expect(() => read({ policies: [text] })).toThrow(problem);
});

test('an empty annotation says nothing', () => {
  expect(read({ policies: ['', '# nothing'] })).toEqual({});
});
