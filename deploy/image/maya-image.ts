/**
 * The image of our own services: Node 24 with the libraries that it loads, the npm packages that
 * are not for development, and this source tree. No shell and no package manager.
 */
import { readFileSync, statSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeImage } from './archive.ts';
import { fileEntry, filesUnder, librariesOf, textEntry, withFolders } from './entries.ts';
import type { TarEntry } from './tar.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export const MAYA_IMAGE = `docker.io/openebs/maya:${version()}`;

const SOURCES = ['agent', 'bin', 'cli', 'cluster', 'core', 'plugins', 'replica', 'target'];
const HOME = 'openebs';
/** Nothing of a package that a running program opens. */
const IDLE = /(\.map|\.d\.[cm]?ts|\.md|\.markdown)$/;

export async function writeMayaImage(file: string): Promise<void> {
  await writeImage(file, {
    name: MAYA_IMAGE,
    layers: [foundation(), sources()],
    entrypoint: ['/usr/bin/node', '--disable-warning=ExperimentalWarning', `/${HOME}/bin/maya.ts`],
    environment: { PATH: '/usr/bin', NODE_ENV: 'production' },
  });
}

function version(): string {
  const text = readFileSync(join(ROOT, 'package.json'), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}

/** What changes rarely. */
function foundation(): readonly TarEntry[] {
  const packages = productionPackages().flatMap((path) =>
    filesUnder(join(ROOT, path)).filter((file) => !IDLE.test(file)),
  );
  const libraries = new Set(
    [process.execPath, ...packages.filter((file) => file.endsWith('.node'))].flatMap(librariesOf),
  );
  return withFolders([
    { path: 'tmp', mode: 0o1777, content: { kind: 'folder' } },
    textEntry('etc/passwd', 'root:x:0:0:root:/root:/sbin/nologin\n'),
    textEntry('etc/nsswitch.conf', 'hosts: files dns\n'),
    fileEntry('usr/bin/node', process.execPath),
    ...[...libraries].map((path) => fileEntry(path.slice(1), path)),
    ...packages.map((path) => fileEntry(join(HOME, relative(ROOT, path)), path)),
  ]);
}

function sources(): readonly TarEntry[] {
  const files = SOURCES.flatMap((folder) => filesUnder(join(ROOT, folder)));
  return withFolders(
    [...files, join(ROOT, 'package.json')].map((path) =>
      fileEntry(join(HOME, relative(ROOT, path)), path),
    ),
  );
}

type LockedPackage = { readonly dev?: boolean; readonly devOptional?: boolean };

/** Folders of the npm packages that are installed and not for development. */
function productionPackages(): readonly string[] {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, LockedPackage>>;
  };
  return Object.entries(lock.packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && dev !== true && devOptional !== true)
    .map(([path]) => path)
    .filter((path) => !basename(path).startsWith('node-linux-'))
    .filter((path) => statSync(join(ROOT, path), { throwIfNoEntry: false }) !== undefined);
}
