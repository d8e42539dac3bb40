import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { NodeProcesses, parseProcessStat } from '../../../../agent/host/processes.ts';
import { nodeSystemFiles } from '../../../../agent/host/system-files.ts';
import { nodePlatform } from '../../../../core/platform/node/index.ts';
import { needs } from '../../../fixtures/needs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

/** proc(5): pid (comm) state, and 17 more fields up to num_threads; 22 is starttime. */
function stat(name: string, state: string, threadCount: number): string {
  const fields = [state, ...Array.from({ length: 16 }, () => '0'), threadCount, 0, 4711, 0];
  return `12 (${name}) ${fields.join(' ')}\n`;
}

test('a process name with blanks and parentheses does not shift the fields', () => {
  expect(parseProcessStat(stat('a) Z (b c', 'S', 4))).toEqual({ isDead: false, startTicks: 4711 });
});

test('a zombie is dead only when no other thread of it is left', () => {
  expect(parseProcessStat(stat('node', 'Z', 0))?.isDead).toBe(true);
  expect(parseProcessStat(stat('node', 'Z', 1))?.isDead).toBe(true);
  expect(parseProcessStat(stat('node', 'Z', 2))?.isDead).toBe(false);
  expect(parseProcessStat(stat('node', 'T', 1))?.isDead).toBe(false);
  expect(parseProcessStat('')).toBeNull();
});

const real = needs({ linux: true, command: ['sleep', 'sh'] });

function processes(ioFlusher: (on: boolean) => string | null = () => null): NodeProcesses {
  const { clock, host } = nodePlatform();
  return new NodeProcesses({ clock, host, system: nodeSystemFiles, ioFlusher });
}

real.test(
  'what is started inherits the mark of an I/O flusher, and the agent keeps it not',
  async () => {
    await using folder = await temporaryFolder('processes');
    const logPath = join(folder.path, 'log');
    const marks: boolean[] = [];
    const permitted = processes((on) => {
      marks.push(on);
      return null;
    });
    await (await permitted.spawn(['sleep', '0'], { logPath })).exited;
    await expect(permitted.spawn(['sleep', 'a\0b'], { logPath })).rejects.toThrow();
    expect(marks).toEqual([true, false, true, false]);
    expect(permitted.lacksProtection).toBe(false);
    const refused = processes(() => 'CAP_SYS_RESOURCE is needed');
    await (await refused.spawn(['sleep', '0'], { logPath })).exited;
    expect(refused.lacksProtection).toBe(true);
  },
);

real.test(
  'a started process has a session of its own, and is known again by its identity',
  async () => {
    await using folder = await temporaryFolder('processes');
    const logPath = join(folder.path, 'log');
    const first = processes();
    const argv = ['sh', '-c', 'echo said; exec sleep 60'];
    const { identity, exited } = await first.spawn(argv, { logPath });
    try {
      const fields = (await readFile(`/proc/${identity.pid}/stat`, 'latin1')).split(') ')[1];
      expect(fields?.split(' ')[3]).toBe(`${identity.pid}`);
      const next = processes();
      expect(next.isAlive(identity)).toBe(true);
      expect(next.adopt({ ...identity, startTicks: identity.startTicks + 1 })).toBeNull();
      expect(next.adopt({ ...identity, bootId: 'another boot' })).toBeNull();
      const adopted = next.adopt(identity);
      next.signal(identity, 'SIGKILL');
      expect(await exited).toEqual({ exitCode: null, signal: 'SIGKILL' });
      expect(await adopted?.exited).toEqual({ exitCode: null, signal: null });
      expect(next.isAlive(identity)).toBe(false);
    } finally {
      first.signal(identity, 'SIGKILL');
    }
  },
);

real.test('what it says is in its log; a signal after its end reaches nobody', async () => {
  await using folder = await temporaryFolder('processes');
  const own = processes();
  const logPath = join(folder.path, 'log');
  const argv = ['sh', '-c', 'echo said; echo so >&2; exit 3'];
  const { identity, exited } = await own.spawn(argv, { logPath });
  expect((await exited).exitCode).toBe(3);
  expect(await readFile(logPath, 'utf8')).toBe('said\nso\n');
  own.signal(identity, 'SIGKILL');
  expect(own.adopt(identity)).toBeNull();
});

real.test('a program that is not there is an error, not a process', async () => {
  await using folder = await temporaryFolder('processes');
  const logPath = join(folder.path, 'log');
  await expect(processes().spawn(['/no/such/program'], { logPath })).rejects.toThrow(/ENOENT/);
});

real.test('the list has the arguments of every process', async () => {
  const listed = await processes().list();
  const own = listed.find(({ identity }) => identity.pid === process.pid);
  expect(own?.argv.length).toBeGreaterThan(0);
});
