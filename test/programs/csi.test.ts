import { spawnSync } from 'node:child_process';
import { stat, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';
import { CsiClient } from '../fixtures/csi-client.ts';
import { RunningProcess } from '../fixtures/processes.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const MAYA = fileURLToPath(new URL('../../bin/maya', import.meta.url));

test('maya csi serves until SIGTERM, on a socket that only its owner may open', async () => {
  await using folder = await temporaryFolder('csi');
  const socket = `${folder.path}/csi.sock`;
  const argv = ['csi', '--agent', `unix:${folder.path}/agent.sock`];
  const environment = { CSI_ENDPOINT: `unix://${socket}` };
  await using plugin = new RunningProcess(MAYA, argv, { environment });
  await waitFor('it listens', () => plugin.stderr.includes('listens'), 20_000);
  expect(((await stat(socket)).mode & 0o777).toString(8)).toBe('600');
  using client = new CsiClient(`unix:${socket}`);
  // There is no agent: it is not ready, and does not end.
  expect(await client.identity('Probe')).toEqual({ ok: { ready: { value: false } } });
  expect(await client.node('NodeGetInfo')).toMatchObject({ code: 'UNAVAILABLE' });
  // A second one does not take the socket away.
  const second = spawnSync(MAYA, argv, {
    env: { ...process.env, ...environment },
    encoding: 'utf8',
  });
  expect(second.status).toBe(1);
  expect(second.stderr).toContain('another process serves it');
  expect(await plugin.end('SIGTERM', 10_000)).toEqual({ status: 0, signal: null });
  await expect(stat(socket)).rejects.toMatchObject({ code: 'ENOENT' });
}, 60_000);

test('a file in the place of the socket is left alone', async () => {
  await using folder = await temporaryFolder('csi');
  const path = `${folder.path}/csi.sock`;
  await writeFile(path, 'dear');
  const argv = ['csi', '--agent', 'unix:/nowhere', '--endpoint', path];
  const ended = spawnSync(MAYA, argv, { encoding: 'utf8' });
  expect(ended.status).toBe(1);
  expect(ended.stderr).toContain('a file that is no socket is in its place');
}, 30_000);
