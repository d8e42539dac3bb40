import { expect, test } from '@jest/globals';
import type { ProcessExit } from '../../../../../agent/host/processes.ts';
import { reasonFrom } from '../../../../../agent/instances/process/log-file.ts';
import { failuresAfter } from '../../../../../agent/instances/process/restart-policy.ts';
import { type Supervised, Supervisor } from '../../../../../agent/instances/process/supervisor.ts';
import { silentLogger } from '../../../../../core/platform/logger.ts';
import { FakeProcesses } from '../../../../fixtures/agent/fake-processes.ts';
import { ManualClock } from '../../../../fixtures/manual-clock.ts';

function rig(more: Partial<Supervised> = {}) {
  const clock = new ManualClock();
  const processes = new FakeProcesses();
  const started: number[] = [];
  const state = { isReady: true, said: '' };
  const supervised: Supervised = {
    name: 'target a',
    logPath: '/log',
    prepare: async () => ['maya', 'target'],
    started: async ({ pid }) => void started.push(pid),
    isReady: async () => state.isReady,
    verdict: async () => 'restart',
    ...more,
  };
  const logFiles = {
    rotate: async () => 0,
    tail: async () => state.said,
    cut: async () => undefined,
  };
  const supervisor = new Supervisor(supervised, {
    clock,
    processes,
    logFiles,
    log: silentLogger,
  });
  return { clock, processes, supervisor, started, state };
}

test('it runs as soon as it answers, and its identity is written down', async () => {
  const { clock, processes, supervisor, started, state } = rig();
  state.isReady = false;
  supervisor.start();
  await clock.passMs(500);
  expect(supervisor.state.kind).toBe('starting');
  state.isReady = true;
  await clock.passMs(100);
  expect(supervisor.state.kind).toBe('running');
  expect(started).toEqual(processes.all.map(({ identity }) => identity.pid));
  supervisor.start();
  await clock.passMs(100);
  expect(processes.all.length).toBe(1);
});

test('one that ends is started again, after a while that doubles up to ten seconds', async () => {
  const { clock, processes, supervisor } = rig();
  supervisor.start();
  await clock.passMs(0);
  for (const delayMs of [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]) {
    processes.living[0]?.end({ exitCode: 1 });
    await clock.passMs(delayMs - 1);
    expect(processes.living.length).toBe(0);
    await clock.passMs(1);
    expect(processes.living.length).toBe(1);
  }
  expect(supervisor.failureCount).toBe(8);
});

test('half a minute of health and the next failure counts as the first', () => {
  expect(failuresAfter(5, 29_999)).toBe(6);
  expect(failuresAfter(5, 30_000)).toBe(1);
});

test('while it waits for its next start it is failed, with the last words it said', async () => {
  const { clock, processes, supervisor, state } = rig();
  state.said = '{"event":"fatal","detail":"port 3260 is taken"}\n';
  supervisor.start();
  await clock.passMs(50);
  processes.living[0]?.end({ exitCode: 1 });
  await clock.passMs(50);
  expect(supervisor.state).toEqual({
    kind: 'waiting',
    reason: 'ended with status 1: port 3260 is taken',
  });
});

test.each([
  ['hold', 'held'],
  ['done', 'stopped'],
] as const)('after the verdict %s it is %s and not started again', async (verdict, kind) => {
  const exits: ProcessExit[] = [];
  const { clock, processes, supervisor } = rig({
    verdict: async (exit) => {
      exits.push(exit);
      return verdict;
    },
  });
  supervisor.start();
  await clock.passMs(50);
  processes.living[0]?.end({ exitCode: 3 });
  await clock.passMs(60_000);
  expect(exits).toEqual([{ exitCode: 3, signal: null }]);
  expect(supervisor.state.kind).toBe(kind);
  expect(processes.all.length).toBe(1);
});

test('what an earlier agent started is taken over, and watched', async () => {
  const { clock, processes, supervisor } = rig();
  const earlier = processes.add(['maya', 'target']);
  supervisor.start(earlier.identity);
  await clock.passMs(100);
  expect(supervisor.state.kind).toBe('running');
  expect(processes.all.length).toBe(1);
  earlier.end();
  await clock.passMs(1_000);
  expect(processes.living.length).toBe(1);
  expect(processes.living[0]).not.toBe(earlier);
});

test('what an earlier agent started before a reboot is not mistaken for another process', async () => {
  const { clock, processes, supervisor } = rig();
  const earlier = processes.add(['postgres']);
  supervisor.start({ ...earlier.identity, bootId: 'boot-0' });
  await clock.passMs(100);
  expect(processes.living.length).toBe(2);
  expect(processes.signals).toEqual([]);
});

test('stop returns when the process is gone, and starts no other', async () => {
  const { clock, processes, supervisor } = rig();
  supervisor.start();
  await clock.passMs(100);
  const stopping = supervisor.stop(1_000);
  await clock.passMs(100);
  await stopping;
  expect(processes.signals).toEqual(['SIGTERM 100']);
  expect(supervisor.state).toEqual({ kind: 'stopped', reason: '' });
  await clock.passMs(60_000);
  expect(processes.living).toEqual([]);
});

test('one that does not end by itself is killed after its grace', async () => {
  const { clock, processes, supervisor } = rig();
  processes.obeys = (name) => name === 'SIGKILL';
  supervisor.start();
  await clock.passMs(100);
  const stopping = supervisor.stop(1_000);
  await clock.passMs(1_100);
  await stopping;
  expect(processes.signals).toEqual(['SIGTERM 100', 'SIGKILL 100']);
});

test('one that cannot be killed is an error, and is never doubled', async () => {
  const { clock, processes, supervisor } = rig();
  processes.obeys = () => false;
  supervisor.start();
  await clock.passMs(100);
  const stopping = expect(supervisor.stop(1_000)).rejects.toThrow(/cannot be killed/);
  await clock.passMs(30_000);
  await stopping;
  supervisor.start();
  await clock.passMs(1_000);
  expect(processes.all.length).toBe(1);
  expect(supervisor.state.kind).toBe('running');
});

test('a kinder way to end is tried first', async () => {
  const { clock, processes, supervisor } = rig();
  supervisor.start();
  await clock.passMs(100);
  const stopping = supervisor.stop(1_000, async () => processes.living[0]?.end({ exitCode: 0 }));
  await clock.passMs(100);
  await stopping;
  expect(processes.signals).toEqual([]);
});

test('a stop during a start waits for the process that is being made', async () => {
  const gate = Promise.withResolvers<readonly string[]>();
  const { clock, processes, supervisor } = rig({ prepare: () => gate.promise });
  supervisor.start();
  await clock.passMs(10);
  const stopping = supervisor.stop(1_000);
  gate.resolve(['maya', 'target']);
  await clock.passMs(100);
  await stopping;
  expect(processes.all.length).toBe(1);
  expect(processes.living).toEqual([]);
});

test('one whose pid cannot be written down does not stay behind unknown', async () => {
  let isFull = true;
  const { clock, processes, supervisor } = rig({
    started: async () => {
      if (isFull) throw new Error('ENOSPC');
    },
  });
  supervisor.start();
  await clock.passMs(50);
  expect(processes.living).toEqual([]);
  expect(supervisor.state).toEqual({ kind: 'waiting', reason: 'cannot be started: ENOSPC' });
  isFull = false;
  await clock.passMs(1_000);
  expect(processes.living.length).toBe(1);
});

test('when the agent ends its processes live on', async () => {
  const { clock, processes, supervisor } = rig();
  supervisor.start();
  await clock.passMs(100);
  await supervisor.abandon();
  await clock.passMs(1_000);
  expect(processes.living.length).toBe(1);
  expect(processes.signals).toEqual([]);
});

test('the reason is the last fatal event, else the last plain line', () => {
  const lines = [
    '{"event":"fatal","detail":"an old one"}',
    '{"event":"fatal","detail":"the disk is full"}',
    '{"event":"stopped"}',
    'not JSON {',
    '',
  ];
  expect(reasonFrom(lines.join('\n'))).toBe('the disk is full');
  expect(reasonFrom('Error: boom\n    at main\n{"event":"note"}\n')).toBe('at main');
  expect(reasonFrom('')).toBe('');
  expect(reasonFrom('x'.repeat(1_000)).length).toBeLessThan(400);
});
