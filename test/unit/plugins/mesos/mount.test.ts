import { expect, test } from '@jest/globals';
import { apiError, NAMELESS_CONSUMER } from '../../../../core/api/index.ts';
import { GiB } from '../../../../core/units.ts';
import { settle } from '../../../fixtures/manual-clock.ts';
import { failed, Isolator, said } from './isolator.ts';

const PATH = '/mnt/00000000-0000-4000-8000-000000000000\n';

test('a mount makes a volume that is not there, and says the path alone', async () => {
  const isolator = new Isolator();
  expect(await isolator.mount('data', { size: '10G', replicas: '2' })).toEqual(said(PATH));
  expect(isolator.agent.requests.map(({ body }) => body)).toEqual([
    undefined,
    { name: 'data', sizeBytes: 10 * GiB, replicas: 2 },
    { door: 'mesos', label: 'docker/volume isolator', as: 'mount' },
  ]);
});

test('three mounts and one unmount leave the volume free', async () => {
  const isolator = new Isolator();
  const volume = isolator.agent.addVolume('data');
  for (let count = 0; count < 3; count += 1) {
    expect(await isolator.mount('data', { size: '5G' })).toEqual(said(PATH));
  }
  expect(volume.consumers).toEqual([NAMELESS_CONSUMER]);
  expect(await isolator.unmount('data')).toEqual(said(''));
  expect([volume.consumers, volume.mountpoint]).toEqual([[], '']);
  // Mesos unmounts after a mount that failed, too, and what it has unmounted already.
  expect(await isolator.unmount('data')).toEqual(said(''));
  isolator.agent.volumes.clear();
  expect(await isolator.unmount('data')).toEqual(said(''));
});

test('a volume that is there is taken as it is, whatever options come with the mount', async () => {
  const isolator = new Isolator();
  isolator.agent.addVolume('data', { sizeBytes: GiB });
  expect(await isolator.mount('data', { size: '2G' })).toEqual(said(PATH));
  expect(isolator.agent.calls('POST', '/v1/volumes')).toEqual([]);
});

test("a size without a letter is Marathon's external.size: GiB", async () => {
  const isolator = new Isolator();
  await isolator.mount('data', { size: '100' });
  expect(isolator.agent.volumes.get('data')?.sizeBytes).toBe(100 * GiB);
  await isolator.mount('bytes', { size: `${64 * 2 ** 20}` });
  expect(isolator.agent.volumes.get('bytes')?.sizeBytes).toBe(64 * 2 ** 20);
});

test.each([
  [{ iops: '100' }, /option "iops" .*; valid options: size, replicas, fs/],
  [{ colour: 'red' }, /option "colour" is unknown; valid options: size, replicas, fs/],
  [{ size: '1.5G' }, /size "1.5G" is not a size/],
  [{ size: '' }, /size "" is not a size/],
  [{ replicas: '9' }, /replicas="9"/],
  [{ fs: 'none' }, /fs=none has no file system to mount/],
])('options that are wrong are told before anything is made (%#)', async (options, sentence) => {
  const isolator = new Isolator();
  const answer = await isolator.mount('data', options);
  expect(answer).toEqual(failed(expect.stringMatching(sentence)));
  expect(answer.stderr).toMatch(/^dvdcli: volume "data": .*\n$/);
  expect(isolator.agent.volumes.size).toBe(0);
});

test.each(['../data', '', 'a/b', 'x'.repeat(129)])('the name %j is refused', async (name) => {
  const isolator = new Isolator();
  expect((await isolator.mount(name)).status).not.toBe(0);
  expect(isolator.agent.requests).toEqual([]);
});

test('with --explicitcreate a volume that is not there is an error', async () => {
  const isolator = new Isolator();
  const words = ['mount', '--volumedriver=openebs', '--volumename=data', '--explicitCreate'];
  expect(await isolator.run(...words)).toEqual(
    failed('dvdcli: volume "data" does not exist, and --explicitcreate makes none\n'),
  );
  isolator.agent.addVolume('data');
  expect(await isolator.run(...words)).toEqual(said(PATH));
});

test('an id is no name: mounting by it fails, and unmounting by it lets go of nothing', async () => {
  const isolator = new Isolator();
  const { id } = isolator.agent.addVolume('data');
  const volume = isolator.agent.volumes.get('data');
  await isolator.mount('data');
  isolator.agent.before = ({ path }) => {
    if (path === '/v1/volumes') throw apiError('exists', 'that name is an id');
  };
  expect(await isolator.mount(id)).toEqual(failed('dvdcli: that name is an id\n'));
  expect(await isolator.unmount(id)).toEqual(said(''));
  expect(volume?.consumers).toEqual([NAMELESS_CONSUMER]);
});

test('a refusal is said as the agent says it, and nothing is taken back', async () => {
  const isolator = new Isolator();
  isolator.agent.addVolume('data');
  const sentence = 'volume data is in use by mesos (docker/volume isolator) on node node-1';
  isolator.agent.before = ({ path }) => {
    if (path.endsWith('/attach')) throw apiError('inUse', sentence);
  };
  expect(await isolator.mount('data')).toEqual(failed(`dvdcli: ${sentence}\n`));
  expect(isolator.asked).toEqual(['GET data', 'POST attach']);
});

test('a mount whose outcome is not known is taken back', async () => {
  const isolator = new Isolator();
  const volume = isolator.agent.addVolume('data');
  isolator.agent.after = ({ path }) => {
    if (path.endsWith('/attach')) throw apiError('timeout', 'too long');
  };
  expect(await isolator.mount('data')).toEqual(failed('dvdcli: too long\n'));
  expect(isolator.asked).toEqual(['GET data', 'POST attach', 'POST detach']);
  expect(volume.consumers).toEqual([]);
});

test('a failed mount does not take the mount from a container that has it', async () => {
  const isolator = new Isolator();
  const volume = isolator.agent.addVolume('data');
  await isolator.mount('data');
  isolator.agent.after = ({ path }) => {
    if (path.endsWith('/attach')) throw apiError('timeout', 'too long');
  };
  expect((await isolator.mount('data')).status).toBe(1);
  expect(volume.consumers).toEqual([NAMELESS_CONSUMER]);
});

test('a path that nobody reads is a mount that is taken back', async () => {
  const isolator = new Isolator();
  const volume = isolator.agent.addVolume('data');
  isolator.broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  expect(await isolator.mount('data')).toEqual(failed('dvdcli: write EPIPE\n'));
  expect(volume.consumers).toEqual([]);
});

test('Ctrl-C ends a mount, and takes it back', async () => {
  const isolator = new Isolator();
  const volume = isolator.agent.addVolume('data');
  isolator.agent.after = ({ path }) => {
    if (!path.endsWith('/attach')) return;
    isolator.interrupt.abort();
    throw new Error('the call was aborted');
  };
  expect((await isolator.mount('data')).status).toBe(1);
  expect(volume.consumers).toEqual([]);
});

test('a mount waits for an agent that is being restarted, half a minute at most', async () => {
  const isolator = new Isolator();
  isolator.agent.addVolume('data');
  isolator.agent.before = () => {
    if (isolator.clock.nowMs() < 11_000) throw new Error('ECONNREFUSED');
  };
  const answer = isolator.mount('data');
  await isolator.clock.passMs(10_000);
  expect(await answer).toEqual(said(PATH));

  isolator.agent.before = () => {
    throw new Error('ECONNREFUSED');
  };
  const late = isolator.mount('data');
  await isolator.clock.passMs(31_000);
  expect(await late).toEqual(failed(expect.stringMatching(/cannot be reached.*OPENEBS_AGENT/)));
});

test('an unmount waits for the agent as long as it may, for Mesos does not repeat it', async () => {
  const isolator = new Isolator();
  const volume = isolator.agent.addVolume('data');
  await isolator.mount('data');
  isolator.agent.before = () => {
    if (isolator.clock.nowMs() < 101_000) throw new Error('ECONNREFUSED');
  };
  const answer = isolator.unmount('data');
  await isolator.clock.passMs(101_000);
  expect(await answer).toEqual(said(''));
  expect(volume.consumers).toEqual([]);
});

test('every call ends before the isolator kills the command', async () => {
  const isolator = new Isolator();
  isolator.agent.before = async ({ path }) => {
    if (path.endsWith('/attach')) {
      // All the time that the mount has passes while the agent attaches.
      await isolator.clock.passMs(isolator.agent.requests.at(-1)?.timeoutMs ?? 0);
      throw new Error('timeout');
    }
  };
  const answer = isolator.mount('data');
  await settle();
  expect((await answer).status).toBe(1);
  await isolator.unmount('data');
  const limits = isolator.agent.requests.map(
    ({ path, timeoutMs }) => `${path.split('/').at(-1)} ${timeoutMs}`,
  );
  expect(limits).toEqual([
    'data 95000',
    'volumes 95000',
    'attach 95000',
    'detach 15000',
    'data 110000',
    'detach 110000',
  ]);
});
