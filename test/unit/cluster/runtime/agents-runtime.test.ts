import { expect, test } from '@jest/globals';
import { AgentsRuntime } from '../../../../cluster/runtime/agents/agents-runtime.ts';
import { apiError } from '../../../../core/api/index.ts';
import { FakeNode } from '../../../fixtures/cluster/fake-node.ts';

const VOLUME = '123e4567-e89b-42d3-a456-426614174000';

function setUp() {
  const fake = new FakeNode('a', 0);
  const connected: string[] = [];
  const closed: string[] = [];
  const runtime = new AgentsRuntime((address) => {
    connected.push(address);
    return {
      request: async (request) => fake.handle(request),
      close: () => void closed.push(address),
    };
  });
  return { fake, connected, closed, runtime };
}

const limits = { timeoutMs: 1_000, signal: new AbortController().signal };
const at = (agentAddress: string) => ({ name: 'a', agentAddress });

const order = (poolId: string) => ({
  replicaId: 'r1',
  volumeId: VOLUME,
  incarnation: VOLUME,
  sizeBytes: 4096,
  blockSizeBytes: 512,
  poolId,
  token: 'x'.repeat(64),
  mint: true,
  record: { formatVersion: 1 },
});

test('replicas and targets are run and removed through the agent of the node', async () => {
  const { fake, runtime } = setUp();
  const address = await runtime.runReplica(at('unix:/a'), order(fake.poolId), limits);
  expect(address).toBe('unix:/state/a/r1.sock');
  expect(fake.folders.size).toBe(1);
  const target = {
    volumeId: VOLUME,
    attachmentToken: 't',
    iqn: 'iqn.x:y',
    portal: '127.0.0.1:3260',
    replicaToken: 'x'.repeat(64),
    storeAddress: 'unix:/s',
  };
  await runtime.runTarget(at('unix:/a'), target, limits);
  expect(fake.targets.size).toBe(1);
  await runtime.stopTarget(at('unix:/a'), VOLUME, limits);
  await runtime.removeReplica(at('unix:/a'), { replicaId: 'r1', volumeId: VOLUME }, limits);
  expect([fake.targets.size, fake.folders.size]).toEqual([0, 0]);
  expect(fake.requests.at(-1)).toBe(`DELETE /v1/replicas/r1?volume=${VOLUME}`);
});

test('what is gone already was removed; other refusals are passed on with their code', async () => {
  const { fake, runtime } = setUp();
  fake.refuse = () => apiError('notFound', 'no such replica');
  await runtime.removeReplica(at('unix:/a'), { replicaId: 'r1', volumeId: VOLUME }, limits);
  await runtime.stopTarget(at('unix:/a'), VOLUME, limits);
  const running = runtime.runReplica(at('unix:/a'), order(fake.poolId), limits);
  await expect(running).rejects.toMatchObject({ data: { code: 'notFound' } });
  fake.refuse = () => apiError('dataLoss', 'the folder is gone');
  const removing = runtime.stopTarget(at('unix:/a'), VOLUME, limits);
  await expect(removing).rejects.toMatchObject({ data: { code: 'dataLoss' } });
  fake.refuse = () => new Error('connection refused');
  await expect(runtime.stopTarget(at('unix:/a'), VOLUME, limits)).rejects.toMatchObject({
    data: {
      code: 'unavailable',
      detail: 'the agent of node a cannot be reached: connection refused',
    },
  });
});

test('one connection a node, made anew when the agent has moved, closed at the end', async () => {
  const { connected, closed, runtime } = setUp();
  await runtime.stopTarget(at('unix:/a'), VOLUME, limits);
  await runtime.stopTarget(at('unix:/a'), VOLUME, limits);
  expect(connected).toEqual(['unix:/a']);
  await runtime.stopTarget(at('unix:/b'), VOLUME, limits);
  expect([connected, closed]).toEqual([['unix:/a', 'unix:/b'], ['unix:/a']]);
  runtime[Symbol.dispose]();
  expect(closed).toEqual(['unix:/a', 'unix:/b']);
});
