import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { expect, test } from '@jest/globals';
import { AgentClient } from '../../../../core/api/index.ts';
import { startDockerPlugin } from '../../../../plugins/docker/plugin.ts';
import { FakeAgent } from '../../../fixtures/fake-agent.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';
import { send } from './engine.ts';

const log = { info: () => undefined, error: () => undefined };
const start = (socketPath: string) =>
  startDockerPlugin({ socketPath, agent: new AgentClient(new FakeAgent()), log });
const modeOf = async (path: string) => ((await stat(path)).mode & 0o777).toString(8);

test('the socket is for its owner alone, its folder is made, and both ends are tidy', async () => {
  await using folder = await temporaryFolder('socket');
  const socketPath = `${folder.path}/run/plugins/openebs.sock`;
  const umask = process.umask(0);
  const plugin = await start(socketPath).finally(() => process.umask(umask));
  expect(await modeOf(socketPath)).toBe('600');
  expect(await modeOf(`${folder.path}/run/plugins`)).toBe('755');
  await plugin.close();
  await expect(stat(socketPath)).rejects.toMatchObject({ code: 'ENOENT' });
  await plugin.close();
});

test('a socket left by a process that died is replaced', async () => {
  await using folder = await temporaryFolder('socket');
  const socketPath = `${folder.path}/openebs.sock`;
  const died = spawnSync(process.execPath, [
    '--eval',
    `require('net').createServer().listen(${JSON.stringify(socketPath)},
      () => process.kill(process.pid, 'SIGKILL'))`,
  ]);
  expect(died.signal).toBe('SIGKILL');
  expect((await stat(socketPath)).isSocket()).toBe(true);
  const plugin = await start(socketPath);
  expect((await send(socketPath, 'Plugin.Activate', '')).status).toBe(200);
  await plugin.close();
});

test('a socket that somebody serves is left to them', async () => {
  await using folder = await temporaryFolder('socket');
  const socketPath = `${folder.path}/openebs.sock`;
  const other = createServer().listen(socketPath);
  await once(other, 'listening');
  await expect(start(socketPath)).rejects.toMatchObject({ code: 'served' });
  expect((await stat(socketPath)).isSocket()).toBe(true);
  other.close();
});

test('a file in the place of the socket is left alone', async () => {
  await using folder = await temporaryFolder('socket');
  const socketPath = `${folder.path}/openebs.sock`;
  await writeFile(socketPath, 'dear');
  await expect(start(socketPath)).rejects.toMatchObject({ code: 'notASocket' });
});

test('a path that no socket can have is refused with what to do', async () => {
  await expect(start(`/tmp/${'x'.repeat(120)}`)).rejects.toThrow('choose a shorter one');
});
