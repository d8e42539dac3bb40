/** What an operator gets wrong: one sentence on the right stream, the right status, nothing made. */
import { chmod, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { freePort } from '../fixtures/ports.ts';
import { RunningProcess, run } from '../fixtures/processes.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { filesUnder, processesOf } from '../fixtures/rigs/leftovers.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const TIMEOUT_MS = 200_000;
const MAYA = join(import.meta.dirname, '../../bin/maya');
const real = needs({ linux: true, root: true, command: CLUSTER_COMMANDS });

const USAGE = 2;
const FAILED = 1;

/** What is typed after `mayactl volume create`, the exit status, and what the sentence names. */
const CREATES: readonly [words: string, status: number, named: string][] = [
  ['v --size 0', USAGE, '"0"'],
  ['v --size -1', USAGE, '"-1"'],
  ['v --size 1X', USAGE, '"1X"'],
  ['v --size 1e30', USAGE, '"1e30"'],
  ['v --size 1.5G', USAGE, '"1.5G"'],
  ['v --size 1GB', USAGE, '"1GB"'],
  ['v --size 65T', USAGE, 'at most 64T'],
  ['v --size 64T', FAILED, 'cannot be placed'],
  ['a/b --size 64M', USAGE, '"a/b"'],
  ['.. --size 64M', USAGE, '".."'],
  [`${'x'.repeat(300)} --size 64M`, USAGE, '"xxx'],
  ['ünï --size 64M', USAGE, '"ünï"'],
  ['v --size 64M --replicas 4', FAILED, 'ask for 3 at most'],
  ['v --size 64M --replicas 0', USAGE, '"0"'],
  ['v --size 64M --color red', USAGE, '--color'],
  ['v --size 64M --fs ntfs', USAGE, '"ntfs"'],
  ['v --size 64M --pool nowhere', FAILED, 'nowhere'],
];

real.test(
  'each bad option, size and name gives one sentence that names it, and makes nothing',
  () =>
    withCluster({}, async (cluster) => {
      const before = await poolFiles(cluster);
      for (const [words, status, named] of CREATES) {
        const answer = await cluster.tryMayactl('volume', 'create', ...words.split(' '));
        expect([words, answer.status, answer.stdout]).toEqual([words, status, '']);
        expect(oneSentence(answer.stderr)).toContain(named);
      }
      expect((await cluster.client.listVolumes()).volumes).toEqual([]);
      expect(await poolFiles(cluster)).toEqual(before);

      await cluster.mayactl('volume', 'create', 'v', '--size', '64M', '--replicas', '2');
      await cluster.mayactl('volume', 'create', 'v', '--size', '64M', '--replicas', '2');
      const other = await cluster.tryMayactl('volume', 'create', 'v', '--size', '128M');
      expect([other.status, oneSentence(other.stderr)]).toEqual([
        FAILED,
        expect.stringContaining('exists with other options'),
      ]);
      await cluster.mayactl('volume', 'attach', 'v', '--no-mount', '--initiator', 'any');
      const attached = await cluster.tryMayactl('volume', 'delete', 'v', '--yes');
      expect([attached.status, oneSentence(attached.stderr)]).toEqual([
        FAILED,
        expect.stringContaining('detach it there first'),
      ]);
      await cluster.mayactl('volume', 'detach', 'v');
      await cluster.mayactl('volume', 'delete', 'v', '--yes');
    }),
  TIMEOUT_MS,
);

real.test(
  'a portal port that somebody else has is named, and the attach leaves nothing behind',
  async () => {
    const port = await freePort();
    await withCluster({ portalPorts: `${port}-${port}` }, async (cluster) => {
      // The port is chosen with the volume, and kept.
      await cluster.mayactl('volume', 'create', 'v', '--size', '64M', '--replicas', '1');
      {
        await using _squatter = await squatOn(port);
        const answer = await cluster.tryMayactl('volume', 'attach', 'v', '--node', 'node-1');
        expect([answer.status, oneSentence(answer.stderr)]).toEqual([
          FAILED,
          expect.stringContaining(`another program listens on 127.0.0.1:${port}`),
        ]);
      }
      await cluster.mayactl('volume', 'attach', 'v', '--node', 'node-1');
      await cluster.mayactl('volume', 'detach', 'v');
      await cluster.mayactl('volume', 'delete', 'v', '--yes');
    });
  },
  TIMEOUT_MS,
);

real.test(
  'a metadata file cut in half stops its replica with a sentence, and the volume goes on',
  () =>
    withCluster({}, async (cluster) => {
      await cluster.mayactl('volume', 'create', 'v', '--size', '64M', '--replicas', '3');
      await cluster.mayactl('volume', 'attach', 'v', '--no-mount', '--initiator', 'any');
      const { id } = await cluster.member('v', 'node-3');
      const folder = join(cluster.folder, 'node-3/pool/replicas', id);
      const path = join(folder, 'identity.json');
      const identity = await readFile(path);
      await truncate(path, Math.floor(identity.length / 2));
      await cluster.killUntilGivenUp('v', 'node-3');
      await waitFor(
        'the reason names the file',
        async () => (await cluster.member('v', 'node-3')).reason.includes(path),
        20_000,
      );
      expect((await cluster.volume('v')).condition).toBe('degraded');
      // Nobody's folder is not removed either (replication R6): it takes a person to make it ours.
      await writeFile(path, identity);
      await cluster.mayactl('volume', 'detach', 'v');
      await cluster.mayactl('volume', 'delete', 'v', '--yes');
    }),
  TIMEOUT_MS,
);

real.test('a state folder that cannot be used ends maya up with a sentence', async () => {
  await using folder = await temporaryFolder('bad');
  const file = join(folder.path, 'file');
  await writeFile(file, '');
  const onFile = await run(MAYA, ['up', '--state', file, '--no-docker'], { timeoutMs: 30_000 });
  const refusal = expect.stringMatching(/choose another folder with --state$/);
  expect([onFile.status, oneSentence(onFile.stderr)]).toEqual([FAILED, refusal]);
  expect(onFile.stderr).toContain(file);

  const state = join(folder.path, 'state');
  await mkdir(state);
  await chmod(state, 0o700);
  const arguments_ = ['up', '--state', state, '--no-docker', '--nodes', '1'];
  await using first = new RunningProcess(MAYA, arguments_);
  await untilSays(first, 'online after');
  const second = await run(MAYA, arguments_, { timeoutMs: 30_000 });
  expect([second.status, oneSentence(second.stderr)]).toEqual([
    FAILED,
    expect.stringContaining(state),
  ]);
  expect((await first.end('SIGINT', 30_000)).status).toBe(0);
  expect(await processesOf(folder.path)).toEqual([]);
});

/** Progress that ends in dots aside, it is one line. */
function oneSentence(text: string): string {
  const lines = text.trim().split('\n');
  const sentences = lines.filter((line) => !line.endsWith(' ...'));
  expect(sentences).toHaveLength(1);
  return sentences[0] ?? '';
}

async function poolFiles(cluster: Cluster): Promise<string[]> {
  const files = await filesUnder(cluster.folder);
  return files.filter((path) => path.includes('/pool/'));
}

async function untilSays(running: RunningProcess, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    running.onOutput(() => running.stdout.includes(text) && resolve());
    void running.ended.then(() => reject(new Error(running.stderr)));
  });
}

async function squatOn(port: number): Promise<AsyncDisposable> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
