import { describe, expect, test } from '@jest/globals';
import { BindMounts } from '../../../../agent/filesystem/bind-mounts.ts';
import { FakeMachine } from '../../../fixtures/agent/fake-machine.ts';
import { FakePlaces } from '../../../fixtures/agent/fake-places.ts';

const REQUEST = {
  volumeName: 'data',
  source: '/state/mnt/data',
  target: '/kubelet/pods/one/mount',
  readOnly: false,
  options: [],
} as const;
const KUBELET = '2 1 8:0 /var/lib/kubelet /kubelet rw';
const ours = () => true;

function rig(kubeletMount: string) {
  const machine = new FakeMachine();
  machine.mountLines.push(`${kubeletMount} - ext4 /dev/sda rw`);
  machine.links.set('/proc/1/ns/mnt', 'mnt:[1]');
  machine.links.set('/proc/self/ns/mnt', 'mnt:[1]');
  const places = new FakePlaces(machine);
  const binds = new BindMounts({ commands: machine, system: machine, places });
  return { machine, places, binds };
}

describe('an agent in a mount namespace of its own', () => {
  test('publishes nothing that nobody else would see, and says what to do', async () => {
    const { machine, places, binds } = rig(KUBELET);
    machine.links.set('/proc/self/ns/mnt', 'mnt:[2]');
    await expect(binds.bind(REQUEST, ours)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/"data".*\/kubelet is not shared.*bidirectional propagation/),
    });
    expect(machine.ran).toEqual([]);
    expect(places.kinds.size).toBe(0);
  });

  test('publishes below a shared mount', async () => {
    const { machine, binds } = rig(`${KUBELET} shared:7`);
    machine.links.set('/proc/self/ns/mnt', 'mnt:[2]');
    await binds.bind(REQUEST, ours);
    expect(machine.ran).toEqual(['mount --bind /state/mnt/data /kubelet/pods/one/mount']);
  });
});

test('an agent of the host itself is seen by the host, shared or not', async () => {
  const { machine, places, binds } = rig(KUBELET);
  await binds.bind({ ...REQUEST, readOnly: true, options: ['noexec'] }, ours);
  expect(machine.ran).toEqual([
    'mount --bind /state/mnt/data /kubelet/pods/one/mount',
    'mount -o remount,bind,noexec,ro /kubelet/pods/one/mount',
  ]);
  expect(await binds.unbind('data', REQUEST.target, { isOurs: ours })).toBe(true);
  expect(places.kinds.size).toBe(0);
});

test.each(['/', '/a'])('the place of a path in %s is where the kernel sees it', async (folder) => {
  const { machine, binds } = rig(KUBELET);
  machine.realPath = async (path) => (path === '/gone' ? null : path);
  const path = folder === '/' ? '/b' : `${folder}/b`;
  expect(await binds.place('data', path)).toBe(path);
  await expect(binds.place('data', '/gone/b')).rejects.toMatchObject({ code: 'badRequest' });
});
