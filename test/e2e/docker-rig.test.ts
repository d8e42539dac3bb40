/** The private Docker with a volume plugin that is not ours: a folder that it mounts. */

import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { DOCKER_COMMANDS, Dockerd, HOST_PROGRAMS, IMAGE } from '../fixtures/rigs/dockerd.ts';
import { lastingLeftovers } from '../fixtures/rigs/leftovers.ts';
import { MountNamespace } from '../fixtures/rigs/mount-namespace.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const TIMEOUT_MS = 120_000;
const real = needs({ linux: true, root: true, command: DOCKER_COMMANDS });

real.test(
  'containers use a plugin volume, and live on while dockerd is killed and started again',
  async () => {
    await using folder = await temporaryFolder('docker');
    const dockerFolder = join(folder.path, 'd');
    await mkdir(dockerFolder);
    {
      await using namespace = await MountNamespace.open();
      await using plugin = await startFakePlugin(namespace, join(folder.path, 'volume'));
      await using dockerd = await Dockerd.open(dockerFolder, namespace);
      const options = ['--network', 'none', '--volume', 'data:/data'];

      await dockerd.docker('volume', 'create', '--driver', 'fake', 'data');
      await dockerd.docker('run', '--rm', ...options, IMAGE, 'sh', '-c', 'echo hello >/data/file');
      const waiting = ['run', '--detach', '--name', 'waiting', ...options, IMAGE, 'sleep', '600'];
      await dockerd.docker(...waiting);
      await dockerd.restart('SIGKILL');
      await dockerd.restart('SIGTERM');
      expect(await dockerd.docker('exec', 'waiting', 'cat', '/data/file')).toBe('hello');
      const fromHost = ['--rm', ...HOST_PROGRAMS, ...options, IMAGE, '/usr/bin/md5sum'];
      expect(await dockerd.docker('run', ...fromHost, '/data/file')).toContain('b1946ac92492d234');
      await dockerd.docker('rm', '--force', 'waiting');
      await dockerd.docker('volume', 'rm', 'data');

      expect(plugin.calls).toEqual(
        expect.arrayContaining(['Create', 'Mount', 'Unmount', 'Remove']),
      );
      expect((await dockerd.tryDocker('volume', 'inspect', 'data')).status).not.toBe(0);
    }
    expect(await lastingLeftovers(folder.path)).toEqual([]);
  },
  TIMEOUT_MS,
);

/** Mounts a tmpfs per Mount when none is there, as our agent mounts a device. */
async function startFakePlugin(namespace: MountNamespace, point: string) {
  const calls: string[] = [];
  let exists = false;
  let users = 0;
  const inside = async (command: string, args: readonly string[]) => {
    await using child = namespace.start(command, args);
    expect((await child.ended).status).toBe(0);
  };
  const answers: Record<string, () => Promise<object> | object> = {
    '/Plugin.Activate': () => ({ Implements: ['VolumeDriver'] }),
    '/VolumeDriver.Capabilities': () => ({ Capabilities: { Scope: 'local' } }),
    '/VolumeDriver.Create': () => ((exists = true), {}),
    '/VolumeDriver.Remove': () => ((exists = false), {}),
    '/VolumeDriver.Get': () => (exists ? { Volume: { Name: 'data' } } : { Err: 'no such volume' }),
    '/VolumeDriver.List': () => ({ Volumes: exists ? [{ Name: 'data' }] : [] }),
    '/VolumeDriver.Path': () => ({ Mountpoint: point }),
    '/VolumeDriver.Mount': async () => {
      users += 1;
      if (users === 1 && !calls.includes('Unmount')) {
        await mkdir(point);
        await inside('mount', ['-t', 'tmpfs', 'tmpfs', point]);
      }
      return { Mountpoint: point };
    },
    '/VolumeDriver.Unmount': () => ((users -= 1), {}),
  };
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    calls.push(path.slice(path.indexOf('.') + 1));
    const answering = Promise.resolve(answers[path]?.() ?? { Err: `unknown ${path}` });
    void answering.then((body) => response.end(JSON.stringify(body)));
  });
  const socket = namespace.outside('/run/docker/plugins/fake.sock');
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    calls,
    async [Symbol.asyncDispose]() {
      // The mount goes with its namespace; a test that failed early has none.
      await inside('umount', [point]).catch(() => undefined);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
