/** Stage, publish, unpublish, unstage as CSI calls them, on real devices and mounts. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { AgentClient } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import { NodeHttpTransport } from '../../core/platform/node/index.ts';
import { needs } from '../fixtures/needs.ts';
import { runOk } from '../fixtures/processes.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { mountPointsOf } from '../fixtures/rigs/leftovers.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const TIMEOUT_MS = 240_000;
const real = needs({ linux: true, root: true, command: [...CLUSTER_COMMANDS, 'blockdev'] });

function agentOf({ folder }: Cluster, node: string): AgentClient {
  return new AgentClient(new NodeHttpTransport({ address: `unix:${folder}/${node}/agent.sock` }));
}

/** As an orchestrator does: again, until it is done. */
function persist<Answer>(what: string, call: () => Promise<Answer>): Promise<Answer> {
  return waitFor(what, async () => [await call()] as const, 60_000).then(([answer]) => answer);
}

async function foldersOf({ folder }: Cluster) {
  const base = join(folder, 'orchestrator');
  await mkdir(join(base, 'pods'), { recursive: true });
  return { stagingPath: join(base, 'globalmount'), pods: join(base, 'pods') };
}

real.test(
  'what is published is one file system, read-only where asked, and stays through kills',
  () =>
    withCluster({ nodeCount: 2 }, async (cluster) => {
      const agent = agentOf(cluster, 'node-1');
      await agent.createVolume({ name: 'data', sizeBytes: 2 ** 26, replicas: 2 });
      const { stagingPath, pods } = await foldersOf(cluster);
      const [one, two] = [join(pods, 'one'), join(pods, 'two')];
      const door = 'kubernetes' as const;
      await agent.stage('data', { stagingPath, door, as: 'mount', fileSystem: 'ext4' });
      const publish = (targetPath: string, readOnly: boolean) =>
        agent.publish('data', {
          targetPath,
          stagingPath,
          as: 'mount',
          readOnly,
          mountOptions: ['noatime'],
          label: `pod ${targetPath}`,
        });
      await publish(one, false);
      await publish(two, true);
      await writeFile(join(one, 'file'), 'bytes');
      expect(await readFile(join(two, 'file'), 'utf8')).toBe('bytes');
      await expect(writeFile(join(two, 'other'), '')).rejects.toMatchObject({ code: 'EROFS' });
      expect(await agent.stats('data', { path: one })).toMatchObject({
        bytes: { total: expect.any(Number) },
        condition: 'healthy',
      });
      // Who it is, is told with the node's next heartbeat.
      const toldWhoHasIt = async () => {
        const other = agentOf(cluster, 'node-2').attach('data', { as: 'mount', door: 'docker' });
        const error: unknown = await other.catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: 'inUse' });
        return /in use by kubernetes \(pod .*one.*\) on node node-1/.test(messageOf(error));
      };
      await waitFor('another node is told who has it', toldWhoHasIt, 10_000);
      for (const kind of ['agent', 'target', 'apiserver'] as const) {
        await cluster.killAndAwaitNext(kind, kind === 'agent' ? 'node-1' : undefined);
        await persist('published again', () => publish(one, false));
        await writeFile(join(one, kind), kind);
        expect(await readFile(join(two, kind), 'utf8')).toBe(kind);
      }
      expect((await mountPointsOf(cluster.folder, 'self')).filter((path) => path === one)).toEqual([
        one,
      ]);
      const early = agent.unstage('data', { stagingPath });
      await expect(early).rejects.toMatchObject({ code: 'inUse' });
      for (const targetPath of [one, two, two]) {
        await persist('unpublished', () => agent.unpublish('data', { targetPath }));
      }
      await persist('unstaged', () => agent.unstage('data', { stagingPath }));
      await expect(stat(one)).rejects.toMatchObject({ code: 'ENOENT' });
      await persist('deleted', () => agent.deleteVolume('data'));
    }),
  TIMEOUT_MS,
);

real.test(
  'a raw device is published as a file of its own, and written to through it',
  () =>
    withCluster({ nodeCount: 2 }, async (cluster) => {
      const agent = agentOf(cluster, 'node-1');
      await agent.createVolume({
        name: 'raw',
        sizeBytes: 2 ** 26,
        replicas: 2,
        fileSystem: 'none',
      });
      const { stagingPath, pods } = await foldersOf(cluster);
      const targetPath = join(pods, 'device');
      await agent.stage('raw', { stagingPath, door: 'csi', as: 'device' });
      await agent.publish('raw', { targetPath, stagingPath, as: 'device' });
      expect((await stat(targetPath)).isBlockDevice()).toBe(true);
      await runOk('dd', [
        'if=/dev/urandom',
        `of=${targetPath}`,
        'bs=1M',
        'count=4',
        'oflag=direct',
      ]);
      expect((await runOk('blockdev', ['--getsize64', targetPath])).trim()).toBe(`${2 ** 26}`);
      await agent.unpublish('raw', { targetPath });
      await agent.publish('raw', { targetPath, stagingPath, as: 'device', readOnly: true });
      const writing = runOk('dd', ['if=/dev/zero', `of=${targetPath}`, 'bs=4k', 'count=1']);
      await expect(writing).rejects.toThrow(/not permitted|Read-only/);
      await agent.unpublish('raw', { targetPath });
      await agent.unstage('raw', { stagingPath });
      await agent.deleteVolume('raw');
    }),
  TIMEOUT_MS,
);
