import { expect, test } from '@jest/globals';
import { makeMember } from '../../fixtures/fake-apiserver.ts';
import { Shell } from './shell.ts';

function shellWithVolume(more: Parameters<Shell['apiserver']['addVolume']>[1] = {}): Shell {
  const shell = new Shell();
  for (const name of ['node-1', 'node-2', 'node-3']) shell.apiserver.addNode(name);
  const { id } = shell.apiserver.addVolume('data', more);
  shell.agent.addVolume('data', { id });
  return shell;
}

const attachBody = (shell: Shell) => shell.agent.calls('POST', '/v1/volumes/data/attach')[0]?.body;
const agentAddress = (shell: Shell) => shell.addresses.find((text) => text.endsWith('agent.sock'));

test('attach mounts on the first node that has a copy', async () => {
  const shell = shellWithVolume({ members: [makeMember('node-2')] });
  const id = shell.apiserver.volumes.get('data')?.id;
  expect(await shell.run('volume attach data')).toEqual({
    status: 0,
    stdout: `volume "data" is mounted on node-2: /mnt/${id}\n`,
    stderr: '',
  });
  expect(attachBody(shell)).toEqual({ consumer: 'mayactl', as: 'mount' });
});

test('attach goes to the node that has the volume, or the one that is named', async () => {
  const attachment = { node: 'node-3', initiatorNames: ['*'] };
  const had = shellWithVolume({ attachment });
  await had.run('volume attach data');
  expect(agentAddress(had)).toBe('unix:/state/node-3/agent.sock');
  const named = shellWithVolume();
  await named.run('volume attach data --node node-2');
  expect(agentAddress(named)).toBe('unix:/state/node-2/agent.sock');
});

test('attach to a node that does not exist names those that do', async () => {
  const shell = shellWithVolume();
  expect(await shell.run('volume attach data --node node-9')).toEqual({
    status: 1,
    stdout: '',
    stderr: 'mayactl: there is no node "node-9"; there are: node-1, node-2, node-3\n',
  });
});

test('attach without an online node says so', async () => {
  const shell = new Shell();
  shell.apiserver.addNode('node-1', { state: 'lost' });
  shell.apiserver.addVolume('data');
  const answer = await shell.run('volume attach data');
  expect(answer).toMatchObject({ status: 1, stderr: expect.stringContaining('no node is online') });
});

test('attach --device gives the device; so does a raw volume without being asked', async () => {
  for (const [line, more] of [
    ['volume attach data --device', {}],
    ['volume attach data', { fileSystem: 'none' }],
  ] as const) {
    const shell = shellWithVolume(more);
    const answer = await shell.run(`${line} -o json`);
    expect(JSON.parse(answer.stdout)).toMatchObject({
      node: 'node-1',
      device: '/dev/loop7',
      mountpoint: null,
    });
    expect(attachBody(shell)).toEqual({ consumer: 'mayactl', as: 'device' });
  }
});

test('attach --no-mount serves the volume to the initiators that are named', async () => {
  const shell = shellWithVolume();
  const line = 'volume attach data --no-mount --initiator iqn.a:1 --initiator iqn.b:2';
  const answer = await shell.run(line);
  expect(answer.stdout).toMatch(/^volume "data" is served on node-1: iscsi:\/\/\S+\/0\n$/);
  expect(attachBody(shell)).toEqual({
    consumer: 'mayactl',
    as: 'portal',
    initiatorNames: ['iqn.a:1', 'iqn.b:2'],
  });
});

test.each([
  ['--no-mount', 'say who may log in'],
  ['--initiator any', 'goes with --no-mount'],
  ['--no-mount --device --initiator any', 'contradict each other'],
  ['--no-mount --initiator any --initiator iqn.a:1', 'stands alone'],
])('attach %s is refused before anything is asked', async (options, sentence) => {
  const shell = shellWithVolume();
  const answer = await shell.run(`volume attach data ${options}`);
  expect(answer).toMatchObject({ status: 2, stderr: expect.stringContaining(sentence) });
  expect(shell.apiserver.requests).toEqual([]);
});

test("detach drops mayactl's use only, and says who is left", async () => {
  const docker = `docker:${'0123456789abcdef'.repeat(4)}`;
  const shell = shellWithVolume({
    attachment: { node: 'node-2', initiatorNames: ['*'] },
    consumers: [{ node: 'node-2', door: 'docker', id: docker, label: '', paths: [] }],
  });
  const volume = shell.agent.volumes.get('data');
  volume?.consumers.push('mayactl', docker);
  expect((await shell.run('volume detach data')).stdout).toBe(
    'volume "data" is still used on node-2 by docker (0123456789ab)\n',
  );
  expect((await shell.run('volume show data')).stdout).toMatch(
    / docker \(0123456789ab\) on node-2\n/,
  );
  expect(agentAddress(shell)).toBe('unix:/state/node-2/agent.sock');
  expect((await shell.run('volume detach data --all')).stdout).toBe(
    'volume "data" is detached from node-2\n',
  );
  expect(volume?.consumers).toEqual([]);
  expect((await shell.run('volume detach data --node node-1')).stdout).toBe(
    'volume "data" is not attached on node-1\n',
  );
});

test('detach of what is not attached is done', async () => {
  expect(await shellWithVolume().run('volume detach data')).toEqual({
    status: 0,
    stdout: '',
    stderr: 'volume "data" is not attached\n',
  });
});
