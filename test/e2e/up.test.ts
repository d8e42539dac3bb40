/** `maya up` at the terminal: Ctrl-C with a volume in use, the next `maya up`, a lost terminal. */
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { endHard } from '../fixtures/rigs/leftovers.ts';

const TIMEOUT_MS = 300_000;
const VOLUME = 'kept';
const real = needs({ linux: true, root: true, command: CLUSTER_COMMANDS });

real.test(
  'Ctrl-C with a volume in use names the user, leaves it running and exits 1; the next up adopts',
  () =>
    withCluster({}, async (cluster) => {
      const mountpoint = await createAndMount(cluster);
      await using held = await open(join(mountpoint, 'held'), 'w');
      await held.write('before');
      const before = await dataProcesses(cluster);

      const ended = await cluster.interrupt();
      expect(ended.status).toBe(1);
      const said = await readFile(join(cluster.folder, 'up.log'), 'utf8');
      expect(said).toContain(VOLUME);
      expect(said).toContain(`pid ${process.pid}`);
      await held.write(' between');
      await held.sync();
      expect(await dataProcesses(cluster)).toEqual(before);

      await cluster.startAgain();
      expect(await dataProcesses(cluster)).toEqual(before);
      await held.write(' after');
      await held.close();
      expect(await readFile(join(mountpoint, 'held'), 'utf8')).toBe('before between after');
      await remove(cluster);
    }),
  TIMEOUT_MS,
);

real.test(
  'volumes are there again after Ctrl-C, a new start, and SIGKILL of maya up itself',
  () =>
    withCluster({}, async (cluster) => {
      const mountpoint = await createAndMount(cluster);
      await writeFile(join(mountpoint, 'file'), 'once written');
      await cluster.mayactl('volume', 'detach', VOLUME);
      expect((await cluster.interrupt()).status).toBe(0);
      expect(await cluster.services()).toEqual([]);
      await cluster.startAgain();
      const again = await mount(cluster);
      expect(await readFile(join(again, 'file'), 'utf8')).toBe('once written');

      const before = await dataProcesses(cluster);
      endHard(cluster.up.pid);
      await cluster.up.ended;
      await writeFile(join(again, 'orphaned'), 'still served');
      await cluster.startAgain();
      expect(await dataProcesses(cluster)).toEqual(before);
      expect(await readFile(join(again, 'orphaned'), 'utf8')).toBe('still served');
      await remove(cluster);
    }),
  TIMEOUT_MS,
);

async function createAndMount(cluster: Cluster): Promise<string> {
  await cluster.mayactl('volume', 'create', VOLUME, '--size', '128M', '--replicas', '3');
  return mount(cluster);
}

async function mount(cluster: Cluster): Promise<string> {
  const where = ['--node', 'node-1', '-o', 'json'];
  const answer = await cluster.mayactl('volume', 'attach', VOLUME, ...where);
  const { mountpoint } = JSON.parse(answer) as { mountpoint: string };
  return mountpoint;
}

async function remove(cluster: Cluster): Promise<void> {
  await cluster.mayactl('volume', 'detach', VOLUME);
  await cluster.mayactl('volume', 'delete', VOLUME, '--yes');
}

/** The pids of targets and replicas. */
async function dataProcesses(cluster: Cluster): Promise<number[]> {
  const services = await cluster.services();
  const ofData = services.filter(({ kind }) => kind === 'target' || kind === 'replica');
  return ofData.map(({ pid }) => pid).toSorted((left, right) => left - right);
}
