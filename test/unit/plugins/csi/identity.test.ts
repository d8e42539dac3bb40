import { expect, test } from '@jest/globals';
import { orchestratorWithPlugin } from './orchestrator.ts';

const capabilities = async (call: Promise<unknown>) => {
  type Capability = { service?: { type: string }; rpc?: { type: string } };
  const { ok } = (await call) as { ok: { capabilities: Capability[] } };
  return ok.capabilities.map(({ service, rpc }) => (service ?? rpc)?.type);
};

test('the driver tells its name and version', async () => {
  await using csi = await orchestratorWithPlugin();
  expect(await csi.client.identity('GetPluginInfo')).toEqual({
    ok: { name: 'maya.csi.openebs.io', vendorVersion: '1.2.3' },
  });
});

test('what is there is advertised, and nothing else', async () => {
  await using csi = await orchestratorWithPlugin();
  expect(await capabilities(csi.client.identity('GetPluginCapabilities'))).toEqual([
    'CONTROLLER_SERVICE',
    'VOLUME_ACCESSIBILITY_CONSTRAINTS',
  ]);
  expect(await capabilities(csi.client.controller('ControllerGetCapabilities'))).toEqual([
    'CREATE_DELETE_VOLUME',
    'PUBLISH_UNPUBLISH_VOLUME',
    'LIST_VOLUMES',
    'LIST_VOLUMES_PUBLISHED_NODES',
    'GET_CAPACITY',
    'GET_VOLUME',
    'VOLUME_CONDITION',
    'SINGLE_NODE_MULTI_WRITER',
  ]);
  expect(await capabilities(csi.client.node('NodeGetCapabilities'))).toEqual([
    'STAGE_UNSTAGE_VOLUME',
    'GET_VOLUME_STATS',
    'VOLUME_CONDITION',
    'SINGLE_NODE_MULTI_WRITER',
  ]);
});

test.each([
  ['Controller', 'CreateSnapshot'],
  ['Controller', 'DeleteSnapshot'],
  ['Controller', 'ListSnapshots'],
  ['Controller', 'ControllerExpandVolume'],
  ['Controller', 'ControllerModifyVolume'],
  ['Node', 'NodeExpandVolume'],
])('%s.%s is not advertised and answers UNIMPLEMENTED', async (service, method) => {
  await using csi = await orchestratorWithPlugin();
  const call = service === 'Node' ? csi.client.node(method) : csi.client.controller(method);
  expect(await call).toMatchObject({ code: 'UNIMPLEMENTED' });
});

test.each([
  ['node', 'Controller', 'ControllerGetCapabilities'],
  ['controller', 'Node', 'NodeGetCapabilities'],
] as const)('in mode %s there is no %s service', async (mode, service, method) => {
  await using csi = await orchestratorWithPlugin({ mode });
  const call = service === 'Node' ? csi.client.node(method) : csi.client.controller(method);
  expect(await call).toMatchObject({ code: 'UNIMPLEMENTED' });
  // The capabilities of the plugin are those of all its instances together.
  expect(await capabilities(csi.client.identity('GetPluginCapabilities'))).toContain(
    'CONTROLLER_SERVICE',
  );
});

test('a plugin is not ready before its agent answers, and unhealthy when it no longer does', async () => {
  await using csi = await orchestratorWithPlugin();
  csi.agent.before = () => {
    throw new Error('connect ECONNREFUSED');
  };
  expect(await csi.client.identity('Probe')).toEqual({ ok: { ready: { value: false } } });
  csi.agent.before = () => undefined;
  expect(await csi.client.identity('Probe')).toEqual({ ok: { ready: { value: true } } });
  csi.agent.before = () => {
    throw new Error('connect ECONNREFUSED');
  };
  expect(await csi.client.identity('Probe')).toEqual({
    code: 'FAILED_PRECONDITION',
    message: 'the agent cannot be reached: connect ECONNREFUSED',
  });
});
