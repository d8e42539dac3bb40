import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { nodeFiles } from '../../../cli/files.ts';
import { checkPluginFile } from '../../../cli/mesos/check-plugin-file.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { Shell } from './shell.ts';

/** The example of Mesos' documentation, with our words. */
const FILE = {
  type: 'maya.csi.openebs.io',
  endpoints: [{ csi_service: 'NODE_SERVICE', endpoint: 'unix:///state/node-1/csi.sock' }],
  target_path_root: '/var/lib/mesos-openebs',
};

function shellWithNodes(...names: string[]): Shell {
  const shell = new Shell();
  for (const name of names) {
    shell.apiserver.addNode(name, { sockets: { csi: `/state/${name}/csi.sock` } });
  }
  return shell;
}

test('config prints the file for the only node, or for the one that is named', async () => {
  const one = await shellWithNodes('node-1').run('mesos config');
  expect(one).toEqual({ status: 0, stdout: `${JSON.stringify(FILE, null, 2)}\n`, stderr: '' });
  const two = await shellWithNodes('node-1', 'node-2').run(
    'mesos config --node node-2 --target-path-root /srv/openebs/mesos -o yaml',
  );
  expect(two.stdout).toContain('endpoint: unix:///state/node-2/csi.sock\n');
  expect(two.stdout).toContain('target_path_root: /srv/openebs/mesos\n');
});

test('config --file writes it, and says what mesos-agent needs', async () => {
  const shell = shellWithNodes('node-1');
  expect(await shell.run('mesos config --file /etc/mesos/csi/openebs.json')).toEqual({
    status: 0,
    stdout: '',
    stderr:
      '/etc/mesos/csi/openebs.json is written; mesos-agent needs ' +
      '--isolation=filesystem/linux,volume/csi and --csi_plugin_config_dir=/etc/mesos/csi\n',
  });
  expect(JSON.parse(shell.files.get('/etc/mesos/csi/openebs.json') ?? '')).toEqual(FILE);
  expect(await shell.run('mesos check /etc/mesos/csi')).toEqual({
    status: 0,
    stdout: '/etc/mesos/csi/openebs.json is in order\n',
    stderr: '',
  });
  shell.fileError = new Error('EACCES: permission denied');
  expect(await shell.run('mesos config --file /etc/mesos/csi/openebs.json')).toEqual({
    status: 1,
    stdout: '',
    stderr: 'mayactl: /etc/mesos/csi/openebs.json is not written: EACCES: permission denied\n',
  });
});

test('config --endpoint asks no cluster', async () => {
  const shell = new Shell();
  const answer = await shell.run('mesos config --endpoint unix:///run/openebs/csi.sock -o json');
  expect(JSON.parse(answer.stdout)).toMatchObject({
    endpoints: [{ endpoint: 'unix:///run/openebs/csi.sock' }],
  });
  expect(shell.addresses).toEqual([]);
});

test.each([
  ['', 2, 'say for which node the file is: --node, one of node-1, node-2'],
  ['--node node-9', 1, 'there is no node "node-9"; there are: node-1, node-2'],
  ['--node node-1 --endpoint unix:///a', 2, 'contradict each other'],
  ['--endpoint /a', 2, 'endpoints[0].endpoint "/a" is not unix:///path/of/csi.sock'],
  ['--node node-1 --target-path-root /mnt', 2, 'Mesos deletes what it does not know there'],
])('config %s is refused', async (options, status, sentence) => {
  const shell = shellWithNodes('node-1', 'node-2');
  const answer = await shell.runWords([...'mesos config'.split(' '), ...words(options)]);
  expect(answer).toEqual({ status, stdout: '', stderr: expect.stringContaining(sentence) });
});

test('a node without a CSI socket is told how it gets one', async () => {
  const shell = new Shell();
  shell.apiserver.addNode('node-1', { sockets: {} });
  const answer = await shell.run('mesos config');
  expect(answer).toMatchObject({ status: 1, stderr: expect.stringContaining('--csi-socket') });
});

const endpoint = (fields: object) => ({
  ...FILE,
  endpoints: [{ ...FILE.endpoints[0], ...fields }],
});

test.each([
  [{ ...FILE, target_path_rot: '/a/b' }, '"target_path_rot" is unknown, and Mesos ignores it'],
  [{ ...FILE, targetPathRoot: '/a/b' }, 'valid fields: type, name, containers, endpoints'],
  [{ ...FILE, type: undefined }, 'type is missing'],
  [{ ...FILE, type: 'a/b' }, 'type "a/b" is not a name'],
  [{ ...FILE, type: 7 }, 'type 7 is not a name'],
  [{ ...FILE, name: 'my-plugin' }, 'name "my-plugin" is not letters'],
  [{ ...FILE, containers: [] }, 'OpenEBS runs its own, give endpoints'],
  [{ ...FILE, endpoints: undefined }, 'mesos-agent aborts on a file without any'],
  [{ ...FILE, endpoints: [] }, 'mesos-agent aborts'],
  [{ ...FILE, endpoints: {} }, 'mesos-agent aborts'],
  [{ ...FILE, endpoints: ['a'] }, 'endpoints[0] is not an object'],
  [{ ...FILE, endpoints: [FILE.endpoints[0], FILE.endpoints[0]] }, 'NODE_SERVICE twice'],
  [endpoint({ csi_service: 'node_service' }), '"node_service" is unknown; give "NODE_SERVICE"'],
  [endpoint({ csi_service: null }), 'endpoints[0].csi_service is missing; give "NODE_SERVICE"'],
  [endpoint({ csi_service: 'CONTROLLER_SERVICE' }), 'is never called by the isolator'],
  [endpoint({ service: 'NODE_SERVICE' }), 'endpoints[0]."service" is unknown'],
  [endpoint({ endpoint: null }), 'endpoints[0].endpoint is missing'],
  [endpoint({ endpoint: '/var/lib/csi.sock' }), 'is not unix:///path/of/csi.sock'],
  [endpoint({ endpoint: 'unix://csi.sock' }), 'is not unix:///path/of/csi.sock'],
  [endpoint({ endpoint: 'unix:///a/../csi.sock' }), 'is not unix:///path/of/csi.sock'],
  [endpoint({ endpoint: `unix:///${'x'.repeat(107)}` }), 'longer than the 107 bytes'],
  [{ ...FILE, target_path_root: 'mnt' }, 'is not an absolute path'],
  [{ ...FILE, target_path_root: '/mnt/a/' }, 'is not an absolute path'],
  [{ ...FILE, target_path_root: '/mnt/../a' }, 'is not an absolute path'],
  [{ ...FILE, target_path_root: '/mnt' }, 'Mesos deletes what it does not know there'],
  [{ ...FILE, target_path_root: '/var/lib' }, 'Mesos deletes what it does not know there'],
  [{ ...FILE, target_path_root: '/var/lib/openebs' }, 'Mesos deletes what it does not know'],
  [{ ...FILE, target_path_root: '/run/openebs' }, 'is emptied by a reboot'],
  [{ ...FILE, target_path_exists: true }, 'target_path_exists: leave it out'],
])('check names what is wrong (%#)', (file, sentence) => {
  expect(checkPluginFile(JSON.stringify(file))).toEqual([expect.stringContaining(sentence)]);
});

test.each([
  ['what Mesos does without', { ...FILE, target_path_root: undefined }],
  ['null for what is not there', { ...FILE, name: null, containers: null }],
  ['a short unix: address', endpoint({ endpoint: 'unix:/state/csi.sock' })],
  ['a name and false', { ...FILE, name: 'one', target_path_exists: false }],
])('check lets pass: %s', (_what, file) => {
  expect(checkPluginFile(JSON.stringify(file))).toEqual([]);
});

test.each(['', '{', '{"type": "a",}', '# a comment\n{}', '[]', 'null'])(
  'check of %j says that it is no JSON object',
  (text) => {
    expect(checkPluginFile(text)).toEqual([expect.stringMatching(/is not (JSON|a JSON object)/)]);
  },
);

test('check of a folder looks at every file, as Mesos does, and at types that are twice', async () => {
  const shell = new Shell();
  shell.files.set('/csi/a.json', JSON.stringify(FILE));
  shell.files.set('/csi/b.json', JSON.stringify(FILE));
  expect(await shell.run('mesos check /csi')).toEqual({
    status: 1,
    stdout: '',
    stderr: 'mayactl: /csi/b.json: /csi/a.json has type maya.csi.openebs.io too\n',
  });
  shell.files.set('/csi/b.json', JSON.stringify({ ...FILE, type: undefined, extra: 1 }));
  shell.files.set('/csi/README', 'words');
  const { stderr } = await shell.run('mesos check /csi');
  expect(stderr.trimEnd().split('\n')).toEqual([
    expect.stringMatching(/^mayactl: \/csi\/b.json: "extra" is unknown/),
    expect.stringMatching(/^mayactl: \/csi\/b.json: type is missing/),
    expect.stringMatching(/^mayactl: \/csi\/README: it is not JSON .* no plugin at all/),
  ]);
  expect((await shell.run('mesos check /other')).stderr).toContain('has no file in it');
});

test('a real folder: folders in it are not read, and a file is replaced without another beside', async () => {
  await using folder = await temporaryFolder('mesos');
  await mkdir(join(folder.path, 'inner'));
  await writeFile(join(folder.path, 'a.json'), 'old');
  await nodeFiles.replace(join(folder.path, 'a.json'), 'new');
  await nodeFiles.replace(join(folder.path, 'b.json'), 'other');
  expect(await readdir(folder.path)).toEqual(['a.json', 'b.json', 'inner']);
  expect(await readFile(join(folder.path, 'a.json'), 'utf8')).toBe('new');
  const read = await nodeFiles.readAll(folder.path);
  expect(read.map(({ text }) => text)).toEqual(['new', 'other']);
  expect(await nodeFiles.readAll(join(folder.path, 'b.json'))).toMatchObject([{ text: 'other' }]);
  await expect(nodeFiles.readAll(join(folder.path, 'c.json'))).rejects.toThrow('ENOENT');
  const made = join(folder.path, 'made/for/it.json');
  await nodeFiles.replace(made, 'deep');
  expect(await nodeFiles.readAll(made)).toMatchObject([{ text: 'deep' }]);
});

function words(options: string): string[] {
  return options === '' ? [] : options.split(' ');
}
