/**
 * The promises of the data path on real processes: every answer of a volume is checked against the
 * whole history of what it answered before, while target and replicas are killed.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { expect } from '@jest/globals';
import { SimRandom } from '../../core/platform/sim/index.ts';
import { HistoryLoad } from '../fixtures/history-load.ts';
import { parseIscsiUrl } from '../fixtures/iscsi-url.ts';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { endHard } from '../fixtures/rigs/leftovers.ts';

const SEED = process.env['OPENEBS_CHAOS_SEED'] ?? '1';
const CHAOS_MS = Number(process.env['OPENEBS_HISTORY_SECONDS'] ?? 45) * 1_000;
const VOLUME = 'history';
const BLOCK_COUNT = 512;
const LANE_COUNT = 16;

needs({ linux: true, root: true, command: CLUSTER_COMMANDS }).test(
  'acknowledged writes survive and every block has one value while parts are killed',
  () =>
    withCluster({}, async (cluster) => {
      await cluster.mayactl('volume', 'create', VOLUME, '--size', '64M', '--replicas', '3');
      await cluster.mayactl('volume', 'attach', VOLUME, '--no-mount', '--initiator', 'any');
      const endpoint = parseIscsiUrl(await cluster.mayactl('volume', 'url', VOLUME));
      const random = new SimRandom(SEED);
      const load = new HistoryLoad({
        endpoint,
        random: random.fork('load'),
        blockCount: BLOCK_COUNT,
        laneCount: LANE_COUNT,
      });
      const running = load.run();
      const kills = await killInTurn(cluster, running, random.fork('kills')).finally(() =>
        load.stop(),
      );
      const report = await running;
      process.stdout.write(`history of seed ${SEED}: ${JSON.stringify(report)}, killed ${kills}\n`);
      expect(report.writeCount).toBeGreaterThan(BLOCK_COUNT);
      expect(report.loginCount).toBeGreaterThan(1);

      await cluster.untilHealthy(VOLUME);
      await cluster.mayactl('volume', 'detach', VOLUME);
      const images = await imageHashes(cluster);
      expect(images).toHaveLength(3);
      expect(new Set(images).size).toBe(1);
      await cluster.mayactl('volume', 'delete', VOLUME, '--yes');
    }),
  CHAOS_MS + 300_000,
);

/** Until time is up or the load has failed. @returns how often each blow was struck, as text. */
async function killInTurn(
  cluster: Cluster,
  load: Promise<unknown>,
  random: SimRandom,
): Promise<string> {
  const counts = new Map<string, number>();
  let hasFailed = false;
  load.catch(() => (hasFailed = true));
  const untilMs = performance.now() + CHAOS_MS;
  const blows = {
    target: async () => killAll(cluster, ['target']),
    'all replicas': async () => killAll(cluster, ['replica']),
    'target and all replicas': async () => killAll(cluster, ['target', 'replica']),
    'one replica': async () => void (await cluster.kill('replica', nodeBy(random))),
    // Rebuilt meanwhile, so that answers come from rebuilt replicas too.
    'one replica until given up': () => cluster.killUntilGivenUp(VOLUME, nodeBy(random)),
  };
  const names = Object.keys(blows) as (keyof typeof blows)[];
  while (performance.now() < untilMs && !hasFailed) {
    const name = names[random.below(names.length)] ?? 'target';
    // A member that is being rebuilt cannot be given up, a replica that is starting not be killed.
    const struck = await blows[name]().then(
      () => 1,
      () => 0,
    );
    counts.set(name, (counts.get(name) ?? 0) + struck);
    await delay(200 + random.below(4_000));
  }
  return [...counts].map(([name, count]) => `${name} ${count}×`).join(', ');
}

async function killAll(cluster: Cluster, kinds: readonly string[]): Promise<void> {
  for (const { kind, pid } of await cluster.services()) if (kinds.includes(kind)) endHard(pid);
}

function nodeBy(random: SimRandom): string {
  return `node-${1 + random.below(3)}`;
}

/** Of the newest layer of each replica: after a clean release their bytes are the same. */
async function imageHashes(cluster: Cluster): Promise<string[]> {
  const names = await readdir(cluster.folder, { recursive: true });
  const images = names.filter((name) => basename(name) === 'volume-head-000.img').toSorted();
  return Promise.all(
    images.map(async (name) => {
      const hash = createHash('sha256');
      await pipeline(createReadStream(join(cluster.folder, name)), hash);
      return hash.digest('hex');
    }),
  );
}
