import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { CliFiles } from './context.ts';

export const nodeFiles: CliFiles = {
  async readAll(path) {
    const isFolder = (await stat(path)).isDirectory();
    const paths = isFolder ? await filesIn(path) : [path];
    return Promise.all(
      paths.map(async (file) => ({ path: file, text: await readFile(file, 'utf8') })),
    );
  },

  /** Never half written for a reader, and no other file beside it: others read the whole folder. */
  async replace(path, text) {
    await mkdir(dirname(path), { recursive: true });
    const folder = await mkdtemp(join(dirname(path), '.mayactl-'));
    try {
      const draft = join(folder, basename(path));
      await writeFile(draft, text, { mode: 0o644 });
      await rename(draft, path);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function filesIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).toSorted();
  const found = await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      return (await stat(path)).isDirectory() ? [] : [path];
    }),
  );
  return found.flat();
}
