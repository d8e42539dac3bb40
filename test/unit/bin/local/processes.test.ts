import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { lockFolder } from '../../../../bin/local/folder-lock.ts';
import { NodeLocalProcesses } from '../../../../bin/local/processes.ts';
import { RunRecordFolder } from '../../../../bin/local/run-record.ts';
import type { Clock } from '../../../../core/platform/index.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const clock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  timer(delayMs, fire) {
    const timer = setTimeout(fire, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

test('a process is in a session of its own, logs to its file, and tells how it ended', async () => {
  await using folder = await temporaryFolder('run');
  const processes = new NodeLocalProcesses(clock);
  const log = `${folder.path}/log`;
  const started = await processes.spawn(
    ['/bin/sh', '-c', 'cut -d" " -f1,6 /proc/$$/stat; exit 3'],
    log,
  );
  expect(await started.ended).toBe('status 3');
  const { pid } = started.identity;
  expect(readFileSync(log, 'utf8')).toBe(`${pid} ${pid}\n`);
  expect(processes.adopt(started.identity)).toBe(null);
});

test('a process is adopted by pid and start time, not by pid alone', async () => {
  await using folder = await temporaryFolder('run');
  const processes = new NodeLocalProcesses(clock);
  const started = await processes.spawn(['/bin/sleep', '60'], `${folder.path}/log`);
  const { identity } = started;
  expect(processes.adopt({ ...identity, startTicks: identity.startTicks + 1 })).toBe(null);
  expect(processes.adopt({ ...identity, bootId: 'another' })).toBe(null);
  const adopted = processes.adopt(identity);
  adopted?.signal('SIGKILL');
  expect(await adopted?.ended).toBe('');
  expect(await started.ended).toBe('SIGKILL');
  started.signal('SIGTERM');
});

test('a program that is not there is an error', async () => {
  await using folder = await temporaryFolder('run');
  const processes = new NodeLocalProcesses(clock);
  const started = processes.spawn(['/no/such/program'], `${folder.path}/log`);
  await expect(started).rejects.toMatchObject({ code: 'ENOENT' });
});

test('the record gives back what was written, and nothing for a file that is damaged', async () => {
  await using folder = await temporaryFolder('run');
  const record = new RunRecordFolder(`${folder.path}/run`);
  const entry = { identity: { pid: 7, startTicks: 8, bootId: 'b' }, argv: ['maya', 'agent'] };
  expect(record.read('node-1')).toBe(null);
  record.write('node-1', entry);
  expect(record.read('node-1')).toEqual(entry);
  expect(record.names()).toEqual(['node-1']);
  for (const text of ['', '{', 'null', '[]', '{"identity":{},"argv":[]}', '{"argv":[7]}']) {
    writeFileSync(`${folder.path}/run/node-1.json`, text);
    expect(record.read('node-1')).toBe(null);
  }
  record.remove('node-1');
  record.remove('node-1');
});

test('a folder has one maya up at a time, by whatever name it is called', async () => {
  await using folder = await temporaryFolder('run');
  {
    await using _lock = await lockFolder(folder.path);
    await expect(lockFolder(`${folder.path}/.`)).rejects.toThrow('another maya up runs on');
  }
  await using _again = await lockFolder(folder.path);
});
