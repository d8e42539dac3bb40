/** A Linux kernel's own initiator on a volume of three replicas, and on one that loses parts. */
import { expect } from '@jest/globals';
import { MiB } from '../../core/units.ts';
import { parseIscsiUrl } from '../fixtures/iscsi-url.ts';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { runInGuest } from '../fixtures/rigs/linux-guest/guest.ts';
import { GUEST_COMMANDS, GUEST_NEEDS } from '../fixtures/rigs/linux-guest/image.ts';
import {
  GUEST_INITIATOR_NAME,
  iscsiScenario,
} from '../fixtures/rigs/linux-guest/iscsi-scenario.ts';

const TIMEOUT_MS = 400_000;
const VOLUME = 'guest';
const WRITE_MIB = 12;
const real = needs({ ...GUEST_NEEDS, command: [...GUEST_COMMANDS, ...CLUSTER_COMMANDS] });

real.test(
  'a Linux initiator makes, fills, trims and checks a file system on three replicas',
  () => runStory({}),
  TIMEOUT_MS,
);

real.test(
  'a Linux initiator does not notice that a replica is lost while it writes',
  () =>
    runStory({
      act: async (cluster) => {
        const { node } = await memberAwayFromTarget(cluster);
        await cluster.killUntilGivenUp(VOLUME, node);
      },
    }),
  TIMEOUT_MS,
);

real.test(
  'a Linux initiator sees no error when the target is killed while it writes',
  () => runStory({ act: (cluster) => cluster.killAndAwaitNext('target') }),
  TIMEOUT_MS,
);

async function runStory(options: { act?: (cluster: Cluster) => Promise<void> }): Promise<void> {
  await withCluster({}, async (cluster) => {
    await cluster.mayactl('volume', 'create', VOLUME, '--size', '256M', '--replicas', '3');
    const admitted = ['--no-mount', '--initiator', GUEST_INITIATOR_NAME];
    await cluster.mayactl('volume', 'attach', VOLUME, ...admitted);
    const endpoint = parseIscsiUrl(await cluster.mayactl('volume', 'url', VOLUME));
    const { act } = options;
    const report = await runInGuest({
      script: iscsiScenario({
        ...endpoint,
        writeMiB: WRITE_MIB,
        ...(act === undefined ? {} : { askDuringWrites: 'act' }),
      }),
      onAsk: { act: async () => act?.(cluster) },
    });
    expect(report.failedSteps).toEqual([]);
    expect(report.outputOf('discover')).toContain(endpoint.targetName);
    const [sectors, cache] = report.outputOf('disk').split('\n');
    expect(Number(sectors) * 512).toBe(256 * MiB);
    // The cache is volatile, and says so: a file system that syncs gets what it asks for.
    expect(cache).toBe('write back');
    await cluster.untilHealthy(VOLUME);
    await cluster.mayactl('volume', 'detach', VOLUME);
    await cluster.mayactl('volume', 'delete', VOLUME, '--yes');
  });
}

async function memberAwayFromTarget(cluster: Cluster) {
  const { members, target } = await cluster.volume(VOLUME);
  const member = members.find(({ node }) => node !== target?.node);
  if (member === undefined) throw new Error('every replica is where the target is');
  return member;
}
