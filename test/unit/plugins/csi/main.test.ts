import { expect, test } from '@jest/globals';
import { parseEndpoint } from '../../../../plugins/csi/grpc/endpoint.ts';
import { parseCsiArguments } from '../../../../plugins/csi/main.ts';
import { CsiClient } from '../../../fixtures/csi-client.ts';
import { freePortRange } from '../../../fixtures/ports.ts';
import { orchestratorWithPlugin } from './orchestrator.ts';

const REQUIRED = ['--agent', 'unix:/agent.sock', '--endpoint', 'unix:///csi/csi.sock'];

test('what is not given comes from the environment, or has its default', () => {
  const expected = {
    agent: 'unix:/agent.sock',
    endpoint: { kind: 'unix', path: '/csi/csi.sock' },
    mode: 'all',
    door: 'csi',
    kubelet: null,
    level: 'info',
    format: 'json',
  };
  expect(parseCsiArguments(REQUIRED, {})).toEqual(expected);
  const environment = { CSI_ENDPOINT: 'unix:///csi/csi.sock', OPENEBS_AGENT: 'unix:/agent.sock' };
  expect(parseCsiArguments([], environment)).toEqual(expected);
  const nomad = parseCsiArguments([...REQUIRED, '--mode', 'node', '--orchestrator', 'nomad'], {});
  expect(nomad).toMatchObject({ mode: 'node', door: 'nomad' });
  expect(parseCsiArguments(['--help'], {})).toBeNull();
});

test('a kubelet is told of the socket by the name that it has on the host', () => {
  const registered = [...REQUIRED, '--kubelet-registration', '/registration'];
  expect(parseCsiArguments(registered, {})?.kubelet).toEqual({
    registrationFolder: '/registration',
    csiSocket: '/csi/csi.sock',
  });
  const onHost = '/var/lib/kubelet/plugins/maya.csi.openebs.io/csi.sock';
  const named = [...registered, '--kubelet-csi-socket', onHost];
  expect(parseCsiArguments(named, {})?.kubelet?.csiSocket).toBe(onHost);
});

test.each([
  [[], /--endpoint ENDPOINT is missing, and CSI_ENDPOINT too; maya csi --help tells more/],
  [['--endpoint', '/csi.sock'], /--agent ADDRESS is missing/],
  [[...REQUIRED, '--agent', 'http://10.0.0.1:80'], /give unix:\/path or http:\/\/127.0.0.1/],
  [[...REQUIRED, '--endpoint', 'csi.sock'], /endpoint "csi.sock" cannot be served/],
  [[...REQUIRED, '--mode', 'both'], /one of all, controller, node/],
  [[...REQUIRED, '--orchestrator', 'docker'], /one of kubernetes, nomad, mesos, csi/],
  [[...REQUIRED, '--kubelet-csi-socket', '/s'], /is nothing without --kubelet-registration/],
  [[...REQUIRED, '--kubelet-registration', '/r', '--kubelet-csi-socket', 's'], /absolute path/],
  [[...REQUIRED, '--kubelet-registration', '/r', '--endpoint', 'tcp://127.0.0.1:1'], /unix socket/],
  [[...REQUIRED, '--wrong'], /--wrong/],
  [[...REQUIRED, 'extra'], /extra/],
])('maya csi %j is refused', (argv, sentence) => {
  expect(() => parseCsiArguments(argv, {})).toThrow(sentence);
});

test.each([
  ['unix:///a/b.sock', { kind: 'unix', path: '/a/b.sock' }],
  ['unix:/a/b.sock', { kind: 'unix', path: '/a/b.sock' }],
  ['unix:b.sock', { kind: 'unix', path: `${process.cwd()}/b.sock` }],
  ['/a/b.sock', { kind: 'unix', path: '/a/b.sock' }],
  ['tcp://127.0.0.1:9000', { kind: 'tcp', host: '127.0.0.1', port: 9_000 }],
  ['tcp://localhost:0', { kind: 'tcp', host: '127.0.0.1', port: 0 }],
  ['tcp://[::1]:9000', { kind: 'tcp', host: '::1', port: 9_000 }],
] as const)('the endpoint %s is served', (text, endpoint) => {
  expect(parseEndpoint(text)).toEqual(endpoint);
});

test.each([
  '',
  'unix:',
  'unix://',
  'unix://a/b',
  'a/b',
  'tcp://0.0.0.0:1',
  'tcp://127.0.0.1:70000',
])('the endpoint %j is refused with what is accepted', (text) => {
  expect(() => parseEndpoint(text)).toThrow('give unix:///path, unix:path, /path or tcp://127');
});

test('a port of the loopback is served as well', async () => {
  const [port = ''] = (await freePortRange(1)).split('-');
  const endpoint = parseEndpoint(`tcp://127.0.0.1:${port}`);
  await using _csi = await orchestratorWithPlugin({ endpoint });
  using client = new CsiClient(`127.0.0.1:${port}`);
  expect(await client.identity('GetPluginInfo')).toMatchObject({ ok: {} });
});
