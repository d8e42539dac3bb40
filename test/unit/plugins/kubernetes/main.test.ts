import { expect, test } from '@jest/globals';
import { loadKubeConfig, parseYaml } from '../../../../plugins/kubernetes/client/index.ts';
import { parseProvisionerArguments } from '../../../../plugins/kubernetes/main.ts';

test('without options both names of provisioners are served, as the Pod that it runs in', () => {
  expect(parseProvisionerArguments(['--agent', 'unix:/run/agent.sock'])).toEqual({
    agent: 'unix:/run/agent.sock',
    kubeconfig: null,
    namespace: null,
    provisioners: ['maya.csi.openebs.io', 'openebs.io/provisioner-iscsi'],
    level: 'info',
    format: 'json',
  });
});

test('beside the official provisioner only the historical name is served', () => {
  const argv = ['--agent', 'unix:/a', '--drivers', 'openebs.io/provisioner-iscsi'];
  expect(parseProvisionerArguments(argv)?.provisioners).toEqual(['openebs.io/provisioner-iscsi']);
});

test.each([
  [[], '--agent ADDRESS is missing'],
  [['--agent', 'http://10.0.0.1:80'], 'give unix:/path or http://127.0.0.1:PORT'],
  [['--agent', 'unix:/a', '--drivers', 'x'], '--drivers "x" is not one of maya.csi.openebs.io'],
  [['--agent', 'unix:/a', '--log-level', 'x'], '--log-level x: give one of error'],
  [['--agent', 'unix:/a', '--nonsense'], 'valid options: --agent, --kubeconfig'],
])('a misuse %j is one sentence', (argv, sentence) => {
  expect(() => parseProvisionerArguments(argv)).toThrow(sentence);
});

test('help is no misuse', () => {
  expect(parseProvisionerArguments(['--help'])).toBeNull();
});

test('a kubeconfig that is not there is one sentence', () => {
  expect(() => loadKubeConfig('/nonexistent/config')).toThrow(
    /^no Kubernetes to talk to: .*ENOENT.*; --kubeconfig \/nonexistent\/config cannot be used$/,
  );
});

test('the annotation of a class is read as YAML', () => {
  expect(parseYaml('- name: ReplicaCount\n  value: "3"\n')).toEqual([
    { name: 'ReplicaCount', value: '3' },
  ]);
});
