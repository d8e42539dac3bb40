import { expect, test } from '@jest/globals';
import { blocksOf, parseHcl } from '../../fixtures/hcl.ts';
import { Shell } from './shell.ts';

function shellWithVolume(more: Parameters<Shell['apiserver']['addVolume']>[1] = {}) {
  const shell = new Shell();
  const { id } = shell.apiserver.addVolume('data', more);
  return { shell, id };
}

test('the file names the volume by its id, for writers and readers of its file system', async () => {
  const { shell, id } = shellWithVolume({ fileSystem: 'xfs' });
  const { status, stdout, stderr } = await shell.run('nomad volume data');
  expect([status, stderr]).toEqual([0, '']);
  const body = parseHcl(stdout);
  expect(body.attributes).toEqual({
    type: 'csi',
    id: 'data',
    name: 'data',
    external_id: id,
    plugin_id: 'openebs',
  });
  expect(blocksOf(body, 'capability').map(({ attributes }) => attributes)).toEqual([
    { access_mode: 'single-node-writer', attachment_mode: 'file-system' },
    { access_mode: 'single-node-reader-only', attachment_mode: 'file-system' },
  ]);
  expect(blocksOf(body, 'mount_options')).toMatchObject([{ attributes: { fs_type: 'xfs' } }]);
});

test('a raw volume is attached as a device and has no mount options', async () => {
  const { shell } = shellWithVolume({ fileSystem: 'none' });
  const body = parseHcl((await shell.run('nomad volume data')).stdout);
  const modes = blocksOf(body, 'capability').map(({ attributes }) => attributes['attachment_mode']);
  expect(modes).toEqual(['block-device', 'block-device']);
  expect(blocksOf(body, 'mount_options')).toEqual([]);
});

test('--file writes it and says what comes next; plugin and namespace are as told', async () => {
  const { shell } = shellWithVolume();
  const line = 'nomad volume data --plugin-id storage --namespace team --file /etc/data.hcl';
  expect(await shell.run(line)).toEqual({
    status: 0,
    stdout: '',
    stderr: '/etc/data.hcl is written; next: nomad volume register /etc/data.hcl\n',
  });
  const body = parseHcl(shell.files.get('/etc/data.hcl') ?? '');
  expect(body.attributes).toMatchObject({ plugin_id: 'storage', namespace: 'team' });
});

test('what cannot be done is one sentence', async () => {
  const { shell } = shellWithVolume();
  expect(await shell.run('nomad volume other')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('"other"'),
  });
  expect(await shell.runWords(['nomad', 'volume', 'data', '--plugin-id', 'a"b'])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('--plugin-id "a\\"b" is not letters'),
  });
  shell.fileError = new Error('EACCES: permission denied');
  expect(await shell.run('nomad volume data --file /etc/data.hcl')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('/etc/data.hcl is not written: EACCES'),
  });
});

test('as data it has the words of the file', async () => {
  const { shell, id } = shellWithVolume();
  const { stdout } = await shell.run('nomad volume data -o json');
  expect(JSON.parse(stdout)).toMatchObject({ type: 'csi', external_id: id });
});
