import { readdir, readlink, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { openStateFolder, StatePaths } from '../../../../agent/state/state-folder.ts';
import { nodePlatform } from '../../../../core/platform/node/index.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const { files } = nodePlatform();

test('a new folder is made for its owner alone, and remembers its pools', async () => {
  await using parent = await temporaryFolder('state');
  const root = join(parent.path, 'agent');
  {
    await using folder = await openStateFolder(root, 'node-1', files);
    await folder.savePools([{ path: '/pool', poolId: 'id' }]);
  }
  await using again = await openStateFolder(root, 'node-1', files);
  expect(again.agentFile).toMatchObject({
    node: 'node-1',
    pools: [{ path: '/pool', poolId: 'id' }],
  });
  for (const name of ['', 'run', 'instances']) {
    expect((await stat(join(root, name))).mode & 0o777).toBe(0o700);
  }
});

test('the socket has a folder of its own, without mounts, and agent.sock leads to it', async () => {
  await using parent = await temporaryFolder('state');
  // As an agent of an earlier version left it.
  await writeFile(join(parent.path, 'agent.sock'), '');
  for (const _start of ['first', 'second']) {
    await using folder = await openStateFolder(parent.path, 'node-1', files);
    const { agentSocket, mounts, run } = folder.paths;
    expect(await readlink(join(parent.path, 'agent.sock'))).toBe('api/agent.sock');
    expect(agentSocket).toBe(join(parent.path, 'api', 'agent.sock'));
    for (const path of [mounts, run]) expect(dirname(agentSocket)).not.toContain(path);
  }
});

test('two agents never run on one folder', async () => {
  await using parent = await temporaryFolder('state');
  await using _first = await openStateFolder(parent.path, 'node-1', files);
  await expect(openStateFolder(parent.path, 'node-1', files)).rejects.toMatchObject({
    code: 'stateInUse',
    message: `another agent runs on the state folder ${parent.path}: stop it first, or use another folder`,
  });
});

test('the folder of another node is refused, and its lock is free again', async () => {
  await using parent = await temporaryFolder('state');
  await (await openStateFolder(parent.path, 'node-1', files))[Symbol.asyncDispose]();
  await expect(openStateFolder(parent.path, 'node-2', files)).rejects.toMatchObject({
    code: 'stateForeign',
  });
  await (await openStateFolder(parent.path, 'node-1', files))[Symbol.asyncDispose]();
});

test.each(['{"formatVersion": 1, "no', '{"formatVersion": 99, "node": "node-1", "pools": []}'])(
  'agent.json as %s ends the start, and is left as it is',
  async (text) => {
    await using parent = await temporaryFolder('state');
    const path = join(parent.path, 'agent.json');
    await writeFile(path, text);
    await expect(openStateFolder(parent.path, 'node-1', files)).rejects.toThrow(path);
    expect((await files.readWhole(path, 1_000)).toString()).toBe(text);
  },
);

test('agent.json that is missing beside replicas is not minted anew', async () => {
  await using parent = await temporaryFolder('state');
  await (await openStateFolder(parent.path, 'node-1', files))[Symbol.asyncDispose]();
  await files.remove(join(parent.path, 'agent.json'));
  await writeFile(join(parent.path, 'instances', 'replica-1.json'), '{}');
  await expect(openStateFolder(parent.path, 'node-1', files)).rejects.toMatchObject({
    code: 'stateDamaged',
  });
  expect(await readdir(parent.path)).not.toContain('agent.json');
});

test('a folder too deep for its sockets is refused before anything is made', async () => {
  await using parent = await temporaryFolder('state');
  const root = join(parent.path, 'x'.repeat(72 - parent.path.length));
  await expect(openStateFolder(root, 'node-1', files)).rejects.toMatchObject({
    code: 'statePathTooLong',
  });
  expect(await readdir(parent.path)).toEqual([]);
  const fitting = root.slice(0, -1);
  await (await openStateFolder(fitting, 'node-1', files))[Symbol.asyncDispose]();
  const paths = new StatePaths(fitting);
  const id = '0123456789ab-4cde-8000-000000000000';
  for (const socket of [
    paths.agentSocket,
    paths.replicaSocket(id),
    paths.replicaAdminSocket(id),
    paths.targetAdminSocket(id),
    join(paths.attachFolder(id), 'nbd.sock'),
  ]) {
    expect(Buffer.byteLength(socket)).toBeLessThanOrEqual(100);
  }
});
