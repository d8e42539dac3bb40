import { expect, test } from '@jest/globals';
import { HeartbeatLoop } from '../../../../agent/node/heartbeat.ts';
import { StoreGuard } from '../../../../agent/node/store-guard.ts';
import { ApiserverClient, type Heartbeat, heartbeatSchema } from '../../../../core/api/index.ts';
import { HEARTBEAT_LOST_MS } from '../../../../core/limits.ts';
import { silentLogger } from '../../../../core/platform/logger.ts';
import { MemoryFiles } from '../../../fixtures/agent/memory-files.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';

const REPORT: Heartbeat = {
  name: 'node-1',
  agentAddress: 'unix:/agent.sock',
  zone: null,
  bootId: 'boot',
  version: '0.1.0',
  pools: [],
  replicas: [],
  targets: [],
  consumers: [],
  sockets: {},
};

async function rig() {
  const clock = new ManualClock();
  const state = { revision: 1, isAway: false, at: [] as number[] };
  const transport = {
    request: async ({ body }: { body?: unknown }) => {
      state.at.push(clock.nowMs());
      if (state.isAway) throw new Error('connection refused');
      expect(heartbeatSchema.safeParse(body).success).toBe(true);
      return { status: 200, body: { revision: state.revision } };
    },
  };
  const files = new MemoryFiles();
  const guard = await StoreGuard.open({ path: '/r.json', files, log: silentLogger });
  const loop = new HeartbeatLoop({
    apiserver: new ApiserverClient(transport),
    guard,
    clock,
    log: silentLogger,
    compose: async () => REPORT,
  });
  return { clock, state, guard, loop };
}

test('the node is heard once a second', async () => {
  const { clock, state, loop } = await rig();
  loop.start();
  await clock.passMs(5_000);
  expect(state.at.length).toBe(6);
  expect(loop.isReachable).toBe(true);
  await loop.stop();
});

test('an apiserver that is away is asked less often, and heard again before the node is lost', async () => {
  const { clock, state, loop } = await rig();
  state.isAway = true;
  loop.start();
  await clock.passMs(60_000);
  expect(loop.isReachable).toBe(false);
  expect(state.at.length).toBeLessThan(30);
  const gaps = state.at.slice(1).map((ms, index) => ms - (state.at[index] ?? 0));
  expect(Math.max(...gaps)).toBeLessThan(HEARTBEAT_LOST_MS / 2);
  state.isAway = false;
  await clock.passMs(HEARTBEAT_LOST_MS / 2);
  expect(loop.isReachable).toBe(true);
  await loop.stop();
});

test('a store that went back is noticed with the next heartbeat', async () => {
  const { clock, state, guard, loop } = await rig();
  state.revision = 40;
  loop.start();
  await clock.passMs(1_000);
  state.revision = 39;
  await clock.passMs(1_000);
  expect(guard.refusal).toMatch(/rolled back/);
  await loop.stop();
});

test('after its end no heartbeat comes any more', async () => {
  const { clock, state, loop } = await rig();
  loop.start();
  await clock.passMs(1_500);
  await loop.stop();
  const { length } = state.at;
  await clock.passMs(10_000);
  expect(state.at.length).toBe(length);
});
