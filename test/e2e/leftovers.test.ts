/** The checker sees what a careless test would leave, and nothing that belongs to others. */
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { MiB } from '../../core/units.ts';
import { needs } from '../fixtures/needs.ts';
import { RunningProcess, runOk } from '../fixtures/processes.ts';
import { filesUnder, lastingLeftovers, leftovers } from '../fixtures/rigs/leftovers.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const real = needs({ linux: true, root: true, command: ['mount', 'umount', 'losetup'] });

real.test('a process, a mount, a loop device and a socket are each seen, then gone', async () => {
  await using folder = await temporaryFolder('leftovers');
  const neighbour = `${folder.path}-neighbour`;
  await using process = startWaiter(folder.path);
  await using other = startWaiter(neighbour);
  const point = join(folder.path, 'mounted');
  const file = join(folder.path, 'file');
  await mkdir(point);
  await writeFile(file, '');
  await truncate(file, MiB);
  await runOk('mount', ['-t', 'tmpfs', 'tmpfs', point]);
  const loop = (await runOk('losetup', ['--find', '--show', file])).trim();
  const socket = join(folder.path, 'socket');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(socket, resolve));

  expect((await leftovers(folder.path)).toSorted()).toEqual([
    `loop device ${loop} of ${file}`,
    `mount ${point} (tmpfs of tmpfs)`,
    `process ${process.pid}: sh -c read line ${folder.path}`,
    `unix socket ${socket}`,
  ]);

  await new Promise((resolve) => server.close(resolve));
  await runOk('losetup', ['--detach', loop]);
  await runOk('umount', [point]);
  await process.end();
  expect(await lastingLeftovers(folder.path)).toEqual([]);
  expect(other.isRunning).toBe(true);
  expect(await filesUnder(folder.path)).toEqual(['file', 'mounted']);
});

/** Has `path` in its command line. */
function startWaiter(path: string): RunningProcess {
  return new RunningProcess('sh', ['-c', 'read line', path], { interactive: true });
}
