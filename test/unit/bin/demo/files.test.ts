import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { copyTree, type Manifest, verifyFiles, Writer } from '../../../../bin/demo/files.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

async function copiedTree(folder: string): Promise<{ mountpoint: string; manifest: Manifest }> {
  const source = join(folder, 'project');
  const mountpoint = join(folder, 'mnt');
  for (const name of ['core', 'node_modules', '.git']) {
    await mkdir(join(source, name), { recursive: true });
    await writeFile(join(source, name, 'file'), `of ${name}`);
  }
  await mkdir(join(mountpoint, 'lost+found'), { recursive: true });
  const manifest: Manifest = new Map();
  expect(await copyTree(source, join(mountpoint, 'source'), manifest)).toBe(1);
  return { mountpoint, manifest };
}

test('a source tree is copied without what was installed, and found again', async () => {
  await using folder = await temporaryFolder('demo');
  const { mountpoint, manifest } = await copiedTree(folder.path);
  expect([...manifest.keys()]).toEqual(['source/core/file']);
  expect(await verifyFiles(mountpoint, manifest)).toBe(1);
});

test('a file that is gone, changed or was never written is found out', async () => {
  await using folder = await temporaryFolder('demo');
  const { mountpoint, manifest } = await copiedTree(folder.path);
  const path = join(mountpoint, 'source/core/file');
  await writeFile(path, 'of cord');
  await expect(verifyFiles(mountpoint, manifest)).rejects.toThrow('has other bytes');
  await rm(path);
  await expect(verifyFiles(mountpoint, manifest)).rejects.toThrow('is not there');
  await writeFile(path, 'of core');
  await writeFile(`${path}-2`, '');
  await expect(verifyFiles(mountpoint, manifest)).rejects.toThrow('was never written');
});

test('the writer writes on until it is stopped, and all of it is found again', async () => {
  await using folder = await temporaryFolder('demo');
  const manifest: Manifest = new Map();
  const writer = new Writer(folder.path, manifest);
  await writer.start();
  await writer.write(3);
  await writer.stop();
  expect(manifest.size).toBeGreaterThanOrEqual(3);
  expect(writer.writtenBytes).toBe(manifest.size * 2 ** 20);
  expect(writer.pauseMsMax).toBeGreaterThan(0);
  expect(await verifyFiles(folder.path, manifest)).toBe(manifest.size);
});

test('the first failed write ends the waiting for more', async () => {
  await using folder = await temporaryFolder('demo');
  // Its second file cannot be made: something has its name.
  await mkdir(join(folder.path, 'written/file-00001'), { recursive: true });
  const writer = new Writer(folder.path, new Map());
  await writer.start();
  await expect(writer.write(2)).rejects.toThrow(/^writing to the volume failed: .*EEXIST/);
  await expect(writer.stop()).rejects.toThrow('EEXIST');
});
