import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { expect, test } from '@jest/globals';
import { leftovers, processesNaming, removeByForce } from '../../../../bin/demo/machine.ts';
import { freePortRange, run } from '../../../../bin/demo/programs.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const never = new AbortController().signal;

test('processes, sockets and the folder itself are found, and taken away by force', async () => {
  await using folder = await temporaryFolder('demo');
  const program = `require('net').createServer().listen(process.argv[1], () => console.log('up'))`;
  const path = `${folder.path}/a.sock`;
  const child = spawn(process.execPath, ['--eval', program, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  expect(processesNaming(folder.path).map(({ pid }) => pid)).toEqual([child.pid]);
  expect(leftovers(folder.path)).toEqual([
    expect.stringContaining(`process ${child.pid} (`),
    `socket ${path}`,
    `folder ${folder.path}`,
  ]);
  const exit = once(child, 'exit');
  await removeByForce(folder.path);
  expect((await exit)[1]).toBe('SIGKILL');
  expect(existsSync(folder.path)).toBe(false);
  expect(leftovers(folder.path)).toEqual([]);
});

test('a program that fails is an error with what it said', async () => {
  expect(await run(['/bin/sh', '-c', 'echo yes'], never)).toBe('yes\n');
  await expect(run(['/bin/sh', '-c', 'echo no >&2; exit 3'], never)).rejects.toThrow(
    'ended with status 3: no',
  );
});

test('a program is ended when the story is', async () => {
  const abort = new AbortController();
  const running = run(['/bin/sleep', '60'], abort.signal);
  abort.abort(new Error('ended by SIGINT'));
  await expect(running).rejects.toThrow('ended by SIGINT');
});

test('a free range of ports is free', async () => {
  const [first = 0, last = 0] = (await freePortRange(4)).split('-').map(Number);
  expect(last - first).toBe(3);
  const server = createServer();
  server.listen(last, '127.0.0.1');
  await once(server, 'listening');
  server.close();
});
