import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { startAgent } from '../../../../agent/main.ts';
import { silentLogger } from '../../../../core/platform/logger.ts';
import { NodeHttpTransport } from '../../../../core/platform/node/index.ts';
import { FakeMachine } from '../../../fixtures/agent/fake-machine.ts';
import { FakeProcesses } from '../../../fixtures/agent/fake-processes.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { waitFor } from '../../../fixtures/wait-for.ts';

const REPLICA = '00000000-0000-4000-8000-00000000000a';
const VOLUME = '00000000-0000-4000-8000-000000000001';

/** A whole agent, but for the machine it stands on and the apiserver it speaks to. */
async function rig(folder: string) {
  const state = { revision: 5, isAway: false, heartbeats: [] as unknown[] };
  const stateFolder = join(folder, 'agent');
  const apiserver = {
    request: async ({ path, body }: { path: string; body?: unknown }) => {
      if (state.isAway) throw new Error('connection refused');
      if (!path.endsWith('/heartbeat')) return { status: 200, body: { volumes: [] } };
      state.heartbeats.push(body);
      return { status: 200, body: { revision: state.revision } };
    },
  };
  const processes = new FakeProcesses();
  const machine = new FakeMachine();
  const options = {
    node: 'node-1',
    stateFolder,
    pools: [{ path: join(folder, 'pool'), name: 'default' }],
    apiserver: 'unix:/apiserver.sock',
    keepBytes: 0,
    attachMethod: 'auto',
  } as const;
  const start = () =>
    startAgent(options, {
      processes,
      commands: machine,
      system: machine,
      log: silentLogger,
      isRoot: false,
      transport: (address) =>
        address.endsWith('agent.sock') ? new NodeHttpTransport({ address }) : apiserver,
    });
  return { state, start, processes };
}

test('an agent answers on its socket, is heard by the apiserver, and ends when asked', async () => {
  await using folder = await temporaryFolder('agent');
  const { state, start } = await rig(folder.path);
  await using agent = await start();
  agent.announce({ docker: '/run/docker.sock' });
  agent.announce({ csi: '/run/csi.sock' });
  await waitFor('a heartbeat tells it', () => state.heartbeats.length > 1, 5_000);
  expect(state.heartbeats.at(-1)).toMatchObject({
    name: 'node-1',
    agentAddress: `unix:${agent.socketPath}`,
    pools: [{ name: 'default', state: 'online' }],
    sockets: { docker: '/run/docker.sock', csi: '/run/csi.sock' },
  });
  expect(await agent.client.info()).toMatchObject({
    node: 'node-1',
    apiserverReachable: true,
    attachMethod: 'none',
    attachMethodReason: 'attaching and mounting need root',
    warnings: [],
  });
  for (const stage of ['check', 'attachments', 'instances', 'resume', 'exit'] as const) {
    expect(await agent.client.shutdown({ stage })).toEqual({ inUse: [] });
  }
  await agent.exitAsked;
});

test('a store that was rolled back is not obeyed, and nothing is deleted on its word', async () => {
  await using folder = await temporaryFolder('agent');
  const { state, start } = await rig(folder.path);
  {
    await using agent = await start();
    await waitFor('a heartbeat', () => state.heartbeats.length > 0, 5_000);
    await agent.client.deleteReplica(REPLICA, VOLUME);
    // Rolled back between two heartbeats: the deletion itself makes sure.
    state.revision = 4;
    await expect(agent.client.deleteReplica(REPLICA, VOLUME)).rejects.toThrow(/rolled back/);
    expect((await agent.client.info()).warnings[0]).toMatch(/at revision 4, this node has seen 5/);
  }
  await using agent = await start();
  await expect(agent.client.deleteReplica(REPLICA, VOLUME)).rejects.toThrow(/rolled back/);
  await expect(agent.client.deleteTarget(VOLUME)).rejects.toThrow(/rolled back/);
  state.revision = 6;
  await agent.client.deleteReplica(REPLICA, VOLUME);
  state.isAway = true;
  await expect(agent.client.deleteReplica(REPLICA, VOLUME)).rejects.toMatchObject({
    code: 'unavailable',
  });
});

test('what is wrong on the node is told as warnings', async () => {
  await using folder = await temporaryFolder('agent');
  await mkdir(join(folder.path, 'pool', 'something'), { recursive: true });
  const { state, start, processes } = await rig(folder.path);
  processes.lacksProtection = true;
  await using agent = await start();
  await waitFor('a heartbeat', () => state.heartbeats.length > 0, 5_000);
  expect((await agent.client.info()).warnings).toEqual([
    expect.stringMatching(/^pool default: .* is not empty/),
    expect.stringMatching(/CAP_SYS_RESOURCE is missing/),
  ]);
});
