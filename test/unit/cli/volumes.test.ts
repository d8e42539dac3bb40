import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { apiError } from '../../../core/api/index.ts';
import { makeMember } from '../../fixtures/fake-apiserver.ts';
import { Shell } from './shell.ts';

test('create makes a volume and says where its copies are; twice is fine', async () => {
  const shell = new Shell();
  for (const _ of ['first', 'second']) {
    expect(await shell.run('volume create data --size 1G --replicas 3 --fs xfs')).toEqual({
      status: 0,
      stdout: 'volume "data" is there: 1 GiB, 3 replicas on node-1, node-2, node-3\n',
      stderr: '',
    });
  }
  expect(shell.apiserver.requests[0]?.body).toEqual({
    name: 'data',
    sizeBytes: 2 ** 30,
    replicas: 3,
    fileSystem: 'xfs',
  });
  expect(await shell.run('volume create data --size 2G')).toEqual({
    status: 1,
    stdout: '',
    stderr: 'mayactl: volume "data" exists with size 1073741824\n',
  });
});

test('create takes mkfs options as one word and a pool', async () => {
  const shell = new Shell();
  const words = ['volume', 'create', 'data', '--fs-options', '-m 0', '--pool', 'fast'];
  expect((await shell.runWords(words)).status).toBe(0);
  expect(shell.apiserver.requests[0]?.body).toEqual({
    name: 'data',
    fileSystemOptions: '-m 0',
    pool: 'fast',
  });
});

test('create takes the nodes and zones that the replicas may be on', async () => {
  const shell = new Shell();
  const line = 'volume create data --nodes node-1,node-2 --zones rack-a';
  expect((await shell.run(line)).status).toBe(0);
  expect(shell.apiserver.requests[0]?.body).toEqual({
    name: 'data',
    nodes: ['node-1', 'node-2'],
    zones: ['rack-a'],
  });
  expect(await shell.run('volume create other --nodes ,')).toMatchObject({ status: 2 });
});

test('a size that is not a whole number of blocks is rounded up, and said so', async () => {
  const shell = new Shell();
  const answer = await shell.run('volume create data --size 70000001');
  expect(answer.status).toBe(0);
  expect(answer.stderr).toBe(
    'volume "data": size 70000001 is rounded up to 70000640 bytes (4 KiB steps)\n',
  );
});

test.each(['0', '-1', '1X', '1e30', '1.5G', '63M', '65T'])(
  'a size of %s is refused without asking the cluster',
  async (size) => {
    const shell = new Shell();
    const answer = await shell.runWords(['volume', 'create', 'data', `--size=${size}`]);
    expect(answer).toEqual({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^mayactl: volume "data": size "[^"]*" is [^\n]*\n$/),
    });
    expect(shell.apiserver.requests).toEqual([]);
  },
);

test('list is an aligned table, or data', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data', { attachment: { node: 'node-1', initiatorNames: ['*'] } });
  shell.apiserver.addVolume('a-longer-name', {
    condition: 'degraded',
    message: 'node-3 is away',
    members: [makeMember('node-1'), makeMember('node-2'), makeMember('node-3', { state: 'stale' })],
  });
  expect((await shell.run('volume list')).stdout).toBe(
    [
      'NAME            SIZE  FS    IN SYNC  CONDITION  NODE    MESSAGE',
      'data           5 GiB  ext4      3/3  healthy    node-1  -',
      'a-longer-name  5 GiB  ext4      2/3  degraded   -       node-3 is away',
      '',
    ].join('\n'),
  );
  const volumes = [...shell.apiserver.volumes.values()];
  expect(JSON.parse((await shell.run('volume list -o json')).stdout)).toEqual(volumes);
  expect(parse((await shell.run('-o yaml volume list')).stdout)).toEqual(volumes);
});

test('an empty list tells how to make a volume, and stays empty for programs', async () => {
  const shell = new Shell();
  const answer = await shell.run('volume list');
  expect(answer).toEqual({
    status: 0,
    stdout: '',
    stderr: 'there are no volumes; make one: mayactl volume create NAME --size 1G\n',
  });
  expect((await shell.run('volume list -o json')).stdout).toBe('[]\n');
});

test('show has the replicas with what they are about', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data', {
    condition: 'degraded',
    message: 'one copy is being rebuilt',
    attachment: { node: 'node-1', initiatorNames: ['*'] },
    consumers: [{ node: 'node-1', door: 'docker', id: '4f2a', label: '', paths: [] }],
    target: {
      node: 'node-1',
      state: 'serving',
      portal: '127.0.0.1:3260',
      iqn: 'iqn.x',
      reason: '',
    },
    members: [
      makeMember('node-1'),
      makeMember('node-2', {
        state: 'rebuilding',
        rebuild: { copiedBytes: 50, totalBytes: 400 },
        allocatedBytes: 3 * 2 ** 20,
        reason: 'it was killed',
      }),
    ],
  });
  const { stdout } = await shell.run('volume show data');
  expect(stdout).toContain('condition    degraded (one copy is being rebuilt)\n');
  expect(stdout).toContain('target       serving at 127.0.0.1:3260\n');
  expect(stdout).toContain('used by      docker (4f2a) on node-1\n');
  expect(stdout).toContain(
    [
      'REPLICA   NODE    STATE           PROCESS  STORED  REASON',
      '11111111  node-1  in sync         running   4 KiB  -',
      '11111111  node-2  rebuilding 12%  running   3 MiB  it was killed',
      '',
    ].join('\n'),
  );
});

test('show of a volume that is not there is one sentence', async () => {
  const answer = await new Shell().run('volume show data');
  expect(answer).toEqual({
    status: 1,
    stdout: '',
    stderr: 'mayactl: volume "data" does not exist\n',
  });
});

test('url is the URL alone', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data', {
    attachment: { node: 'node-1', initiatorNames: ['*'] },
    target: {
      node: 'node-1',
      state: 'serving',
      portal: '127.0.0.1:3260',
      iqn: 'iqn.2016-09.io.openebs:7',
      reason: '',
    },
  });
  expect(await shell.run('volume url data')).toEqual({
    status: 0,
    stdout: 'iscsi://127.0.0.1:3260/iqn.2016-09.io.openebs:7/0\n',
    stderr: '',
  });
});

test('url of a volume that nobody serves tells how to have it served', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data');
  const answer = await shell.run('volume url data');
  expect(answer.status).toBe(1);
  expect(answer.stdout).toBe('');
  expect(answer.stderr).toContain('mayactl volume attach data --no-mount --initiator any');
});

test('delete asks a person, and does nothing for any answer but yes', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data');
  shell.isTerminal = true;
  for (const answer of ['', 'n', 'yesterday']) {
    shell.answer = answer;
    expect((await shell.run('volume delete data')).status).toBe(1);
    expect(shell.apiserver.volumes.size).toBe(1);
  }
  expect(shell.questions[0]).toBe(
    'Delete volume "data" (5 GiB, 3 replicas) and all its data? [y/N] ',
  );
  shell.answer = 'Yes';
  expect(await shell.run('volume delete data')).toMatchObject({
    status: 0,
    stdout: 'volume "data" is deleted\n',
  });
  expect(shell.apiserver.volumes.size).toBe(0);
});

test('delete asks for one replica in the singular', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data', { replicas: 1 });
  shell.isTerminal = true;
  shell.answer = 'y';
  await shell.run('volume delete data');
  expect(shell.questions).toEqual([
    'Delete volume "data" (5 GiB, 1 replica) and all its data? [y/N] ',
  ]);
});

test('delete says so when a node is away and the deletion goes on without it', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data');
  shell.apiserver.deletionsWaitFor = 'waits for node node-3';
  const deleted = await shell.run('volume delete data --yes');
  expect(deleted).toMatchObject({
    status: 0,
    stdout: expect.stringContaining('is being deleted (waits for node node-3)'),
  });
});

test('delete without a person wants --yes', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data');
  const refused = await shell.run('volume delete data');
  expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining('--yes') });
  expect(shell.apiserver.volumes.size).toBe(1);
  expect((await shell.run('volume delete data --yes')).status).toBe(0);
  expect(shell.apiserver.volumes.size).toBe(0);
  expect(await shell.run('volume delete data --yes')).toEqual({
    status: 0,
    stdout: '',
    stderr: 'volume "data" does not exist: nothing to delete\n',
  });
});

test('delete of a volume in use says by whom', async () => {
  const shell = new Shell();
  shell.apiserver.addVolume('data');
  shell.apiserver.before = ({ method }) => {
    if (method === 'DELETE')
      throw apiError('inUse', 'volume "data" is in use by docker:a on node-1');
  };
  expect(await shell.run('volume delete data -y')).toEqual({
    status: 1,
    stdout: '',
    stderr: 'mayactl: volume "data" is in use by docker:a on node-1\n',
  });
});
