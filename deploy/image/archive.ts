/** An image as one file, as `docker load` and `ctr images import` read it. */
import { createHash } from 'node:crypto';
import { mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type TarEntry, writeTar } from './tar.ts';

export type ImageOptions = {
  /** `docker.io/openebs/maya:0.1.0` */
  readonly name: string;
  /** The lowest first. */
  readonly layers: readonly (readonly TarEntry[])[];
  readonly entrypoint: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
};

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Writes the image to `file`, whole or not at all. */
export async function writeImage(file: string, options: ImageOptions): Promise<void> {
  const folder = await mkdtemp(join(dirname(file), 'building-'));
  try {
    const layers = await writeLayers(folder, options.layers);
    const configuration = Buffer.from(JSON.stringify(imageConfiguration(options, layers)));
    const configurationName = `${sha256(configuration)}.json`;
    const manifest = Buffer.from(
      JSON.stringify([
        {
          Config: configurationName,
          RepoTags: [options.name],
          Layers: layers.map(({ path }) => path),
        },
      ]),
    );
    const building = join(folder, basename(file));
    await writeTar(building, [
      { path: configurationName, mode: 0o644, content: { kind: 'bytes', bytes: configuration } },
      ...layers.map(
        ({ path, file: layer, sizeBytes }): TarEntry => ({
          path,
          mode: 0o644,
          content: { kind: 'file', file: layer, sizeBytes },
        }),
      ),
      { path: 'manifest.json', mode: 0o644, content: { kind: 'bytes', bytes: manifest } },
    ]);
    await rename(building, file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Layer = {
  readonly path: string;
  readonly file: string;
  readonly sizeBytes: number;
  readonly digest: string;
};

async function writeLayers(folder: string, layers: ImageOptions['layers']): Promise<Layer[]> {
  const written: Layer[] = [];
  for (const [index, entries] of layers.entries()) {
    const file = join(folder, `layer-${index}.tar`);
    const digest = await writeTar(file, entries);
    const { size: sizeBytes } = await stat(file);
    written.push({ path: `${digest}/layer.tar`, file, sizeBytes, digest });
  }
  return written;
}

/** https://github.com/opencontainers/image-spec/blob/v1.1.0/config.md */
function imageConfiguration(options: ImageOptions, layers: readonly Layer[]) {
  return {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: 'linux',
    config: {
      Entrypoint: options.entrypoint,
      Env: Object.entries(options.environment).map(([name, value]) => `${name}=${value}`),
      WorkingDir: '/',
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => `sha256:${digest}`) },
    history: layers.map(() => ({ created: '1970-01-01T00:00:00Z' })),
  };
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
