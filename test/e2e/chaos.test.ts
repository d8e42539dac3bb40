/**
 * Everything but the user's own I/O is killed at random for two minutes: agents, apiserver, target
 * and replicas. `OPENEBS_CHAOS_SEED` chooses another order, `OPENEBS_CHAOS_SECONDS` another length.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { SimRandom } from '../../core/platform/sim/index.ts';
import { needs } from '../fixtures/needs.ts';
import { RunningProcess, runOk } from '../fixtures/processes.ts';
import {
  CLUSTER_COMMANDS,
  type Cluster,
  type ServiceKind,
  withCluster,
} from '../fixtures/rigs/cluster.ts';
import { endHard } from '../fixtures/rigs/leftovers.ts';
import { STOP_FILE, verifiedLoadCommand } from '../fixtures/rigs/verified-load.ts';

const SEED = process.env['OPENEBS_CHAOS_SEED'] ?? '1';
const CHAOS_MS = Number(process.env['OPENEBS_CHAOS_SECONDS'] ?? 120) * 1_000;
const PAUSE_MS_MIN = 300;
const PAUSE_MS_MAX = 5_000;
/** A round takes five seconds of I/O; the rest is what the user may feel of the losses. */
const ROUND_MS_MAX = 30_000;
const VOLUME = 'chaos';
type Blow = {
  readonly name: string;
  readonly kinds: readonly ServiceKind[];
  readonly all: boolean;
};

const one = (kind: ServiceKind): Blow => ({ name: kind, kinds: [kind], all: false });
/** The volume's own processes more often than those that look after them. */
const BLOWS: readonly Blow[] = [
  ...(['replica', 'replica', 'replica', 'target', 'target'] as const).map(one),
  ...(['agent', 'agent', 'apiserver'] as const).map(one),
  { name: 'all replicas', kinds: ['replica'], all: true },
  { name: 'target and all replicas', kinds: ['target', 'replica'], all: true },
];
const command = [...CLUSTER_COMMANDS, 'fio', 'fsck.ext4'];

needs({ linux: true, root: true, command }).test(
  'verified I/O sees no error and no wrong byte while services are killed at random',
  () =>
    withCluster({}, async (cluster) => {
      await cluster.mayactl('volume', 'create', VOLUME, '--size', '128M', '--replicas', '3');
      const mountpoint = await attach(cluster, 'mountpoint');
      const random = new SimRandom(SEED);
      const load = verifiedLoadCommand({
        folder: mountpoint,
        seed: random.below(1_000_000),
        writesPerSecond: 100,
      });
      await using fio = new RunningProcess('sh', ['-c', load]);
      const kills = await killAtRandom(cluster, fio, random);
      await writeFile(join(mountpoint, STOP_FILE), '');
      const { status } = await fio.ended;
      const rounds = fio.stdout.split('\n').filter((line) => line.startsWith('round')).length;
      process.stdout.write(`chaos of seed ${SEED}: ${rounds} rounds of I/O, killed ${kills}\n`);
      expect({ status, stderr: fio.stderr }).toEqual({ status: 0, stderr: '' });
      expect(rounds).toBeGreaterThanOrEqual(Math.floor(CHAOS_MS / ROUND_MS_MAX));

      await cluster.untilHealthy(VOLUME, 120_000);
      await detach(cluster);
      const device = await attach(cluster, 'device', '--device');
      await runOk('fsck.ext4', ['-f', '-n', device]);
      await detach(cluster);
      await cluster.mayactl('volume', 'delete', VOLUME, '--yes');
    }),
  CHAOS_MS + 400_000,
);

/** @returns how often each blow was struck, as text. */
async function killAtRandom(
  cluster: Cluster,
  load: RunningProcess,
  random: SimRandom,
): Promise<string> {
  const counts = new Map<string, number>();
  const untilMs = performance.now() + CHAOS_MS;
  while (performance.now() < untilMs && load.isRunning) {
    const { name, kinds, all } = pick(BLOWS, random);
    const services = await cluster.services();
    const within = services.filter(({ kind }) => kinds.includes(kind));
    const ordered = within.toSorted((left, right) => (left.node < right.node ? -1 : 1));
    // None is there while its agent starts it anew: the blow misses.
    const victims = all || ordered.length === 0 ? ordered : [pick(ordered, random)];
    for (const { pid } of victims) endHard(pid);
    if (victims.length > 0) counts.set(name, (counts.get(name) ?? 0) + 1);
    await delay(PAUSE_MS_MIN + random.below(PAUSE_MS_MAX - PAUSE_MS_MIN));
  }
  return [...counts].map(([name, count]) => `${name} ${count}×`).join(', ');
}

function pick<Item>(items: readonly Item[], random: SimRandom): Item {
  const item = items[random.below(items.length)];
  if (item === undefined) throw new Error('there is nothing to choose from');
  return item;
}

async function attach(
  cluster: Cluster,
  wanted: 'mountpoint' | 'device',
  ...options: readonly string[]
): Promise<string> {
  const where = ['--node', 'node-1', '-o', 'json', ...options];
  const answer = await cluster.mayactl('volume', 'attach', VOLUME, ...where);
  const path: unknown = JSON.parse(answer)[wanted];
  if (typeof path !== 'string') throw new Error(`attached without a ${wanted}: ${answer}`);
  return path;
}

async function detach(cluster: Cluster): Promise<void> {
  await cluster.mayactl('volume', 'detach', VOLUME);
}
