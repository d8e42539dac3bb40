import { mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import * as net from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type ApiserverOptions, startApiserver } from '../../../cluster/main.ts';
import { codeOf, messageOf } from '../../../core/errors.ts';
import { silentLogger } from '../../../core/platform/index.ts';
import { statusAt } from '../../fixtures/cluster/apiserver-status.ts';
import { freePort } from '../../fixtures/ports.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const start = (options: ApiserverOptions) => startApiserver(options, { log: silentLogger });

async function refusal(options: ApiserverOptions): Promise<{ code: string; message: string }> {
  try {
    const apiserver = await start(options);
    await apiserver.close();
  } catch (error) {
    const message = messageOf(error);
    expect(message).not.toContain('\n');
    return { code: codeOf(error) ?? 'none', message };
  }
  throw new Error('it was started');
}

test('it makes its state folder, listens there, and starts there again', async () => {
  await using folder = await temporaryFolder('main');
  const stateFolder = join(folder.path, 'deep', 'state');
  {
    await using apiserver = await start({ stateFolder });
    expect(apiserver.address).toBe(`unix:${stateFolder}/apiserver.sock`);
    expect((await stat(stateFolder)).mode & 0o777).toBe(0o700);
    expect(await statusAt(apiserver.address)).toMatchObject({ revision: 0, volumeCount: 0 });
  }
  await using again = await start({ stateFolder });
  expect(await statusAt(again.address)).toMatchObject({ volumeCount: 0 });
});

test('on loopback TCP it says which port it got, and answers to no other name', async () => {
  await using folder = await temporaryFolder('main');
  await using apiserver = await start({ stateFolder: folder.path, listen: 'http://127.0.0.1:0' });
  expect(apiserver.address).toMatch(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/);
  expect(await statusAt(apiserver.address)).toMatchObject({ volumeCount: 0 });
  const { port } = new URL(apiserver.address);
  const socket = net.connect({ host: '127.0.0.1', port: Number(port) });
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.once('data', (data) => resolve(String(data)));
  socket.write('GET /v1/status HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n');
  expect(await promise).toMatch(/^HTTP\/1.1 403 /);
  socket.destroy();
});

describe('it is refused in one sentence:', () => {
  test.each([
    ['http://0.0.0.0:80', 'notLoopback', 'loopback only'],
    ['http://192.168.1.1:80', 'notLoopback', 'loopback only'],
    ['http://example.org:80', 'notLoopback', 'loopback only'],
    ['https://127.0.0.1:80', 'badAddress', 'neither unix:/path nor http://127.0.0.1:PORT'],
    ['127.0.0.1:80', 'badAddress', 'neither'],
    ['unix:relative.sock', 'badAddress', 'starts with /'],
    [`unix:/${'x'.repeat(107)}`, 'badAddress', 'Linux allows 107'],
    ['', 'badAddress', 'neither'],
  ])('--listen %s', async (listen, code, said) => {
    await using folder = await temporaryFolder('main');
    const problem = await refusal({ stateFolder: folder.path, listen });
    expect(problem).toEqual({ code, message: expect.stringContaining(said) });
  });

  test.each(['3260', '0-10', '20-10', '1-65536', 'a-b', '', '-1-5'])(
    '--portal-ports %s',
    async (portalPorts) => {
      await using folder = await temporaryFolder('main');
      const problem = await refusal({ stateFolder: folder.path, portalPorts });
      expect(problem).toEqual({
        code: 'badPortRange',
        message: expect.stringContaining('FROM-TO'),
      });
    },
  );

  test('a second one on the same state folder, by whatever way it leads there', async () => {
    await using folder = await temporaryFolder('main');
    const stateFolder = join(folder.path, 'state');
    await using _first = await start({ stateFolder });
    await symlink(stateFolder, join(folder.path, 'link'));
    for (const path of [stateFolder, join(folder.path, 'link')]) {
      const problem = await refusal({ stateFolder: path, listen: 'http://127.0.0.1:0' });
      expect(problem).toEqual({
        code: 'locked',
        message: `another apiserver runs on the state folder ${path}: stop it first`,
      });
    }
  });

  test('a port that is taken', async () => {
    await using folder = await temporaryFolder('main');
    const port = await freePort();
    const other = net.createServer().listen(port, '127.0.0.1');
    const listen = `http://127.0.0.1:${port}`;
    const problem = await refusal({ stateFolder: folder.path, listen });
    other.close();
    expect(problem).toEqual({ code: 'inUse', message: `another process listens on ${listen}` });
  });

  test('a socket that somebody listens on, or a file in its place', async () => {
    await using folder = await temporaryFolder('main');
    const path = join(folder.path, 'taken.sock');
    const other = net.createServer().listen(path);
    const stateFolder = join(folder.path, 'state');
    expect(await refusal({ stateFolder, listen: `unix:${path}` })).toMatchObject({ code: 'inUse' });
    other.close();
    await writeFile(join(folder.path, 'file'), 'precious');
    const listen = `unix:${folder.path}/file`;
    expect(await refusal({ stateFolder, listen })).toMatchObject({ code: 'cannotListen' });
    expect((await stat(join(folder.path, 'file'))).size).toBe(8);
  });

  test('a state folder that is none', async () => {
    await using folder = await temporaryFolder('main');
    const stateFolder = join(folder.path, 'file');
    await writeFile(stateFolder, '');
    expect(await refusal({ stateFolder })).toMatchObject({ code: 'stateFolder' });
  });

  test('a damaged store, and the next start with the store put back succeeds', async () => {
    await using folder = await temporaryFolder('main');
    await mkdir(folder.path, { recursive: true });
    await writeFile(join(folder.path, 'store.sqlite'), 'garbage');
    const problem = await refusal({ stateFolder: folder.path });
    expect(problem).toMatchObject({ code: 'damaged' });
    expect(problem.message).toContain('store.sqlite is damaged');
  });
});
