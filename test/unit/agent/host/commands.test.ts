import { expect, test } from '@jest/globals';
import {
  CommandError,
  commandError,
  NodeCommands,
  runOk,
} from '../../../../agent/host/commands.ts';
import { systemEnvironment } from '../../../../agent/host/environment.ts';

const commands = new NodeCommands();
const timeoutMs = 10_000;

test('what a program says and its exit status come back', async () => {
  const result = await commands.run(['sh', '-c', 'echo out; echo err >&2; exit 3'], { timeoutMs });
  expect(result).toEqual({ exitCode: 3, stdout: 'out\n', stderr: 'err\n', timedOut: false });
});

test('arguments reach the program as they are: there is no shell', async () => {
  expect(await runOk(commands, ['echo', '$HOME; `id`'], { timeoutMs })).toBe('$HOME; `id`\n');
});

test('a program that does not end in time is given up', async () => {
  const line = ['sleep', '60'] as const;
  const result = await commands.run(line, { timeoutMs: 20 });
  expect(result.timedOut).toBe(true);
  expect(commandError(line, result).message).toBe('sleep 60 did not end in time');
});

test('a program that is not installed is named', async () => {
  const missing = commands.run(['no-such-program-here'], { timeoutMs });
  await expect(missing).rejects.toThrow(CommandError);
  await expect(missing).rejects.toMatchObject({
    code: 'commandMissing',
    message: 'the program no-such-program-here is not installed on this node',
  });
});

test('a failure carries the first lines of what was said', async () => {
  const failing = runOk(commands, ['sh', '-c', 'echo broken >&2; exit 4'], { timeoutMs });
  await expect(failing).rejects.toThrow(/ended with status 4: broken/);
});

test('programs get a system path and no secret of the agent', () => {
  const environment = systemEnvironment({
    PATH: '/opt/bin:relative:/usr/bin',
    NODE_OPTIONS: '--inspect',
    TOKEN: 'secret',
    HOME: '/root',
  });
  expect(Object.keys(environment).toSorted()).toEqual(['HOME', 'LC_ALL', 'PATH']);
  const folders = environment['PATH']?.split(':');
  expect(folders?.[0]).toBe('/opt/bin');
  expect(folders).toContain('/usr/sbin');
  expect(folders).not.toContain('relative');
});

test('a program that hangs is not started a second time beside itself', async () => {
  const own = new NodeCommands();
  const line = ['sleep', '61'] as const;
  const first = await own.run(line, { timeoutMs: 5 });
  // Asked within the same turn: that the first one has ended cannot be known yet.
  const again = await own.run(line, { timeoutMs: 60_000 });
  expect([first.timedOut, again.timedOut]).toEqual([true, true]);
});
