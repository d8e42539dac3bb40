import { expect, test } from '@jest/globals';
import { Shell } from './shell.ts';

const pool = {
  id: '33333333-0000-4000-8000-000000000000',
  name: 'default',
  path: '/pool',
  fileSystemId: 'one',
  totalBytes: 2 ** 40,
  freeBytes: 2 ** 39,
  reservedBytes: 2 ** 30,
  availableBytes: 2 ** 38,
  state: 'online',
  reason: '',
} as const;

test('node list counts the space of one file system once', async () => {
  const shell = new Shell();
  const pools = [pool, { ...pool, name: 'second' }, { ...pool, fileSystemId: 'two' }];
  shell.apiserver.addNode('node-1', { pools, sockets: { docker: '/run/docker/plugins/o.sock' } });
  shell.apiserver.addNode('node-2', { state: 'lost' });
  expect((await shell.run('node list')).stdout).toBe(
    [
      'NAME    STATE   POOLS  AVAILABLE  REPLICAS  TARGETS  VERSION  DOCKER SOCKET',
      'node-1  online      3    512 GiB         0        0  0.1.0    /run/docker/plugins/o.sock',
      'node-2  lost        0        0 B         0        0  0.1.0    -',
      '',
    ].join('\n'),
  );
});

test('status shows what needs a look', async () => {
  const shell = new Shell();
  const failed = { ...pool, state: 'failed', reason: 'read-only file system' } as const;
  shell.apiserver.addNode('node-1', { pools: [failed] });
  shell.apiserver.addNode('node-2', { state: 'lost' });
  shell.apiserver.addVolume('data', { condition: 'degraded' });
  const { stdout } = await shell.run('status');
  expect(stdout).toContain('nodes        1 of 2 online\n');
  expect(stdout).toContain('degraded     data\n');
  expect(stdout).toContain('failed pool  default of node-1: read-only file system\n');
  expect(stdout).toContain('\nNAME ');
});

test('version tells both, also when the apiserver is away', async () => {
  const shell = new Shell();
  expect((await shell.run('version')).stdout).toBe('mayactl    0.1.0\napiserver  0.1.0\n');
  shell.apiserver.before = () => {
    throw new Error('away');
  };
  const answer = await shell.run('version -o json');
  expect(answer.status).toBe(0);
  expect(JSON.parse(answer.stdout)).toMatchObject({ mayactl: '0.1.0', apiserver: null });
});

test.each([
  ['', ['volume', 'node', 'status', 'version', 'completion', 'mesos', 'nomad']],
  ['v', ['volume', 'version']],
  ['volume d', ['delete', 'detach']],
  ['volume show ', ['data', 'logs']],
  ['volume show d', ['data']],
  ['volume show data ', []],
  ['volume create ', []],
  ['volume attach --node ', ['node-1']],
  ['volume attach --node node-1 l', ['logs']],
  ['volume attach data --in', ['--initiator']],
  ['volume list -o ', ['table', 'json', 'yaml']],
  ['completion ', ['bash', 'zsh', 'fish']],
  ['node list --s', ['--server']],
])('completion of «%s» offers %j', async (line, expected) => {
  const shell = new Shell();
  shell.apiserver.addNode('node-1');
  shell.apiserver.addVolume('data');
  shell.apiserver.addVolume('logs');
  const answer = await shell.runWords(['__complete', '--', ...line.split(' ')]);
  expect(answer).toEqual({
    status: 0,
    stdout: expected.map((word) => `${word}\n`).join(''),
    stderr: '',
  });
});

test('completion without a cluster offers nothing and says nothing', async () => {
  const shell = new Shell();
  shell.apiserver.before = () => {
    throw new Error('away');
  };
  const answer = await shell.runWords(['__complete', '--', 'volume', 'show', '']);
  expect(answer).toEqual({ status: 0, stdout: '', stderr: '' });
});

test('each shell has a script', async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const answer = await new Shell().run(`completion ${shell}`);
    expect(answer).toMatchObject({ status: 0, stderr: '' });
    expect(answer.stdout).toContain('__complete');
  }
});
