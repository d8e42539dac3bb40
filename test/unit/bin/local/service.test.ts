import { expect, test } from '@jest/globals';
import { Service } from '../../../../bin/local/service.ts';
import { ManualClock, settle } from '../../../fixtures/manual-clock.ts';
import { FakeProcesses, MemoryRunRecord } from './fake-processes.ts';

function makeService() {
  const processes = new FakeProcesses();
  const clock = new ManualClock();
  const record = new MemoryRunRecord();
  const said: string[] = [];
  const dependencies = { processes, clock, record, say: (line: string) => said.push(line) };
  const make = (...argv: string[]) =>
    new Service({ name: 'node-1', argv, logPath: '/logs/node-1.log' }, dependencies);
  return { processes, clock, record, said, make, service: make('agent') };
}

test('a service that ends is started again, each time later, up to ten seconds', async () => {
  const { service, processes, clock, said } = makeService();
  await service.start();
  const delays: number[] = [];
  for (let round = 0; round < 8; round += 1) {
    processes.last.end('status 1');
    await settle();
    const startedCount = processes.all.length;
    let waitedMs = 0;
    while (processes.all.length === startedCount) {
      await clock.passMs(100);
      waitedMs += 100;
    }
    delays.push(waitedMs);
  }
  expect(delays).toEqual([200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
  expect(said[0]).toBe('node-1 ended (status 1); it starts again in 0.2 s; log: /logs/node-1.log');
  expect(service.failureCount).toBe(8);
});

test('one that ran for a while is started again at once, and counts as one failure', async () => {
  const { service, processes, clock } = makeService();
  await service.start();
  for (const _ of ['a', 'b', 'c']) {
    processes.last.end('SIGKILL');
    await clock.passMs(10_000);
  }
  await clock.passMs(10_000);
  processes.last.end('SIGKILL');
  await clock.passMs(200);
  expect(processes.all.length).toBe(5);
  expect(service.failureCount).toBe(1);
});

test('one that cannot be started is tried again', async () => {
  const { service, processes, clock, said } = makeService();
  await service.start();
  processes.failure = new Error('no memory');
  processes.last.end('SIGKILL');
  await clock.passMs(200);
  expect(said.at(-1)).toBe('node-1 cannot be started: no memory');
  processes.failure = null;
  await clock.passMs(10_000);
  expect(processes.all.length).toBe(2);
});

test('what still runs is taken over, and started again when it ends', async () => {
  const { service, make, processes, clock, said } = makeService();
  await service.start();
  const second = make('agent');
  await second.start();
  expect(processes.all.length).toBe(1);
  expect(second.pid).toBe(100);
  expect(said).toEqual(['node-1 still runs (pid 100) and is taken over']);
  processes.last.end('');
  await settle();
  expect(said.at(-1)).toContain('node-1 ended; it starts again in 0.2 s');
  // The first service had started it, too.
  await service.stop();
  await clock.passMs(200);
  expect(second.pid).toBe(101);
});

test('what runs with other options is ended first', async () => {
  const { service, make, processes } = makeService();
  await service.start();
  service.expectEnd();
  const other = make('agent', '--docker-socket', '/d.sock');
  await other.start();
  expect(processes.all.map(({ isRunning, argv }) => [isRunning, argv.length])).toEqual([
    [false, 1],
    [true, 3],
  ]);
  expect(other.pid).toBe(101);
});

test('a stopped service stays stopped, and leaves no timer and no record', async () => {
  const { service, processes, clock, record } = makeService();
  await service.start();
  await service.stop();
  expect(processes.last.signals).toEqual(['SIGTERM']);
  await clock.passMs(60_000);
  expect(processes.all.length).toBe(1);
  expect(record.entries.size).toBe(0);
  expect(clock.timerCount).toBe(0);
});

test('a service that waits to be started again is stopped at once', async () => {
  const { service, processes, clock } = makeService();
  await service.start();
  processes.last.end('status 1');
  await settle();
  await service.stop();
  expect(clock.timerCount).toBe(0);
  expect(service.pid).toBe(null);
});

test('one that does not end when asked is killed', async () => {
  const { service, processes, clock, said } = makeService();
  await service.start();
  processes.last.endsWhenAsked = false;
  const stopped = service.stop();
  await clock.passMs(19_900);
  expect(processes.last.signals).toEqual(['SIGTERM']);
  await clock.passMs(100);
  await stopped;
  expect(processes.last.signals).toEqual(['SIGTERM', 'SIGKILL']);
  expect(said).toEqual(['node-1 did not end in 20 s: killed']);
});

test('an end that is expected is no failure', async () => {
  const { service, processes, clock } = makeService();
  await service.start();
  service.expectEnd();
  const ended = service.ended(1_000);
  processes.last.end('status 0');
  expect(await ended).toBe(true);
  await clock.passMs(60_000);
  expect(processes.all.length).toBe(1);
});
