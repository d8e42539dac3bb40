import { expect, test } from '@jest/globals';
import { layoutOf } from '../../../../bin/local/layout.ts';
import { parseUpOptions } from '../../../../bin/local/options.ts';

const root = { isRoot: true, environment: {} };
const user = { isRoot: false, environment: { HOME: '/home/me' } };

test('without options it is three nodes, and for root the socket that dockerd looks for', () => {
  expect(parseUpOptions([], root)).toEqual({
    state: '/var/lib/openebs',
    nodeCount: 3,
    docker: true,
    dockerSocket: '/run/docker/plugins/openebs.sock',
    portalPorts: null,
  });
  expect(parseUpOptions([], user)).toMatchObject({
    state: '/home/me/.local/share/openebs',
    dockerSocket: null,
  });
  expect(parseUpOptions([], { ...root, environment: { OPENEBS_STATE: '/srv' } })?.state).toBe(
    '/srv',
  );
  expect(parseUpOptions(['--help'], root)).toBe(null);
});

test.each([
  [['--bogus'], 'valid options: --state, --nodes, --docker-socket,'],
  [['extra'], 'valid options: --state'],
  [['--nodes', '0'], '--nodes 0: give a number from 1 to 16'],
  [['--nodes', 'x'], '--nodes x: give a number from 1 to 16'],
  [['--nodes', '17'], '--nodes 17: give a number from 1 to 16'],
  [['--portal-ports', '4000-3000'], 'the lower one first'],
  [['--portal-ports', '4000'], 'such as 3260-3360'],
  [['--portal-ports', '1-70000'], 'such as 3260-3360'],
  [['--no-docker', '--docker-socket', '/d.sock'], 'contradict each other'],
])('maya up %j is refused', (argv, sentence) => {
  expect(() => parseUpOptions(argv, root)).toThrow(sentence);
});

test('the first node owns the Docker socket, the others have theirs in their folders', () => {
  const options = parseUpOptions(['--state', '/s', '--docker-socket', '/d.sock'], root);
  if (options === null) throw new Error('it was no call for help');
  const { nodes } = layoutOf(options, ['maya']);
  expect(nodes.map((node) => node.dockerSocket)).toEqual([
    '/d.sock',
    '/s/node-2/docker.sock',
    '/s/node-3/docker.sock',
  ]);
  expect(nodes[1]?.service.argv.join(' ')).toBe(
    'maya agent --state /s/node-2 --node node-2 --pool /s/node-2/pool ' +
      '--apiserver unix:/s/apiserver.sock --csi-socket /s/node-2/csi.sock ' +
      '--docker-socket /s/node-2/docker.sock',
  );
  const without = parseUpOptions(['--state', '/s', '--no-docker'], root);
  expect(without && layoutOf(without).nodes.map((node) => node.dockerSocket)).toEqual([
    null,
    null,
    null,
  ]);
});
