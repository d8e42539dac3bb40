/** docs/docker.md, from nothing to PostgreSQL: the commands as the page has them. */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS, type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { DOCKER_COMMANDS, Dockerd } from '../fixtures/rigs/dockerd.ts';
import { busyboxLayer, IMAGE_COMMANDS } from '../fixtures/rigs/kubernetes/images.ts';
import {
  missingPostgresql,
  writePostgresqlImage,
} from '../fixtures/rigs/kubernetes/postgresql-image.ts';
import { MountNamespace } from '../fixtures/rigs/mount-namespace.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const PAGE = fileURLToPath(new URL('../../docs/docker.md', import.meta.url));
const commands = [...DOCKER_COMMANDS, ...CLUSTER_COMMANDS, ...IMAGE_COMMANDS];
const real = needs({ linux: true, root: true, command: commands }, missingPostgresql());

real.test(
  'what PostgreSQL has committed is there in another container, by the page’s own commands',
  () =>
    withDocker(async (dockerd, cluster) => {
      const page = await readFile(PAGE, 'utf8');
      const create = commandIn(page, 'docker volume create -d openebs -o size=10G');
      const start = commandIn(page, 'docker run -d --name db');
      const fill = commandIn(page, "docker exec db psql -U postgres -c 'create table");
      const look = commandIn(page, "docker exec db psql -U postgres -c 'select");
      const remove = commandIn(page, 'docker rm -f db && docker volume rm data').split(' && ');

      const small = create.replace('size=10G', 'size=256M');
      await dockerd.docker(...wordsOf(small));
      // The daemon of the tests has no network to give.
      const [run = '', ...rest] = wordsOf(start);
      const begin = () => dockerd.docker(run, '--network', 'none', ...rest);
      await begin();
      await untilReady(dockerd);
      await dockerd.docker(...wordsOf(fill));
      await dockerd.docker('rm', '-f', 'db');
      await begin();
      await untilReady(dockerd);
      expect(await dockerd.docker(...wordsOf(look))).toContain('42');
      for (const command of remove) await dockerd.docker(...wordsOf(command));
      expect((await cluster.client.listVolumes()).volumes).toEqual([]);
    }),
  300_000,
);

async function withDocker(
  story: (dockerd: Dockerd, cluster: Cluster) => Promise<void>,
): Promise<void> {
  await using namespace = await MountNamespace.open();
  await withCluster({ dockerIn: namespace }, async (cluster) => {
    await using place = await temporaryFolder('pg');
    const folder = join(place.path, 'd');
    await mkdir(folder);
    await using dockerd = await Dockerd.open(folder, namespace);
    const image = join(place.path, 'postgresql.tar');
    await writePostgresqlImage(image, await busyboxLayer());
    await dockerd.docker('load', '--quiet', '--input', image);
    await story(dockerd, cluster);
  });
}

async function untilReady(dockerd: Dockerd): Promise<void> {
  await waitFor(
    'PostgreSQL is ready',
    async () => (await dockerd.tryDocker('exec', 'db', 'pg_isready', '-q')).status === 0,
    60_000,
  );
}

/** The command of the page that begins so, its continuation lines joined, without the remark. */
function commandIn(page: string, beginning: string): string {
  const lines = page.replaceAll('\\\n', ' ').split('\n');
  const line = lines.map((text) => text.trim()).find((text) => text.startsWith(beginning));
  if (line === undefined) throw new Error(`${PAGE} has no command "${beginning} …"`);
  return (line.split(/\s{4,}(?=[^-\s])/)[0] ?? '').trim();
}

/** As a shell splits them, without the `docker`. */
function wordsOf(command: string): string[] {
  const words = [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare);
  return words.slice(1).map((word) => word ?? '');
}
