/** The cluster rig gives the machine back clean, whatever the test did. */
import { expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS, withCluster } from '../fixtures/rigs/cluster.ts';
import { lastingLeftovers, orphanedLoopDevices } from '../fixtures/rigs/leftovers.ts';
import { MountNamespace, NAMESPACE_COMMANDS } from '../fixtures/rigs/mount-namespace.ts';

const TIMEOUT_MS = 120_000;
const command = [...CLUSTER_COMMANDS, ...NAMESPACE_COMMANDS];
const real = needs({ linux: true, root: true, command });

for (const where of ['on the machine itself', 'in a mount namespace'] as const) {
  real.test(
    `a test that fails with a volume mounted ${where} leaves nothing, and its logs tell why`,
    async () => {
      const orphansBefore = await orphanedLoopDevices();
      await using namespace =
        where === 'in a mount namespace' ? await MountNamespace.open() : undefined;
      let folder = '';
      const failing = withCluster(
        namespace === undefined ? {} : { dockerIn: namespace },
        async (cluster) => {
          ({ folder } = cluster);
          await cluster.mayactl('volume', 'create', 'left', '--size', '64M', '--replicas', '2');
          await cluster.mayactl('volume', 'attach', 'left', '--node', 'node-1');
          throw new Error('on purpose');
        },
      );
      await expect(failing).rejects.toThrow(/on purpose[\s\S]*--- up\.log/);
      const view = namespace === undefined ? {} : { viewPid: namespace.pid };
      expect(await lastingLeftovers(folder, view)).toEqual([]);
      expect(await orphanedLoopDevices()).toEqual(orphansBefore);
    },
    TIMEOUT_MS,
  );
}
