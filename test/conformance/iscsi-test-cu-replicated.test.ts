/** libiscsi's suite against a volume of three replicas, through the whole stack. */
import { expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS, withCluster } from '../fixtures/rigs/cluster.ts';
import { countsText, runIscsiTestCu } from './iscsi-test-cu.ts';

const TIMEOUT_MS = 1_000_000;
const VOLUME = 'conformance';
/** What ran and passed when this was written; only ever raised. */
const PASSED_MIN = 450;
const command = [...CLUSTER_COMMANDS, 'iscsi-test-cu'];

needs({ linux: true, root: true, command }).test(
  'no test of iscsi-test-cu fails against three replicas',
  () =>
    withCluster({}, async (cluster) => {
      await cluster.mayactl('volume', 'create', VOLUME, '--size', '256M', '--replicas', '3');
      await cluster.mayactl('volume', 'attach', VOLUME, '--no-mount', '--initiator', 'any');
      const counts = await runIscsiTestCu(await cluster.mayactl('volume', 'url', VOLUME));
      process.stdout.write(`${countsText('three replicas', counts)}\n`);
      expect(counts.failed).toEqual([]);
      expect(counts.passed).toBeGreaterThanOrEqual(PASSED_MIN);
      // Every replica has taken part in all of it.
      await cluster.untilHealthy(VOLUME);
      await cluster.mayactl('volume', 'detach', VOLUME);
      await cluster.mayactl('volume', 'delete', VOLUME, '--yes');
    }),
  TIMEOUT_MS,
);
