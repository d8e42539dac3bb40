import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { writeImage } from '../../../../deploy/image/archive.ts';
import { type TarEntry, writeTar } from '../../../../deploy/image/tar.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const LONG = `${'folder/'.repeat(20)}${'name'.repeat(20)}.txt`;

const bytes = (path: string, text: string, mode = 0o644): TarEntry => ({
  path,
  mode,
  content: { kind: 'bytes', bytes: Buffer.from(text) },
});

test('tar reads what was written: folders, links, modes, long paths', async () => {
  await using folder = await temporaryFolder('tar');
  const source = join(folder.path, 'source');
  await writeFile(source, 'x'.repeat(512));
  const file = join(folder.path, 'a.tar');
  const digest = await writeTar(file, [
    { path: 'bin', mode: 0o755, content: { kind: 'folder' } },
    bytes('bin/program', '#!/bin/sh\n', 0o755),
    { path: 'bin/link', mode: 0o777, content: { kind: 'link', target: 'program' } },
    { path: 'whole-block', mode: 0o600, content: { kind: 'file', file: source, sizeBytes: 512 } },
    bytes(LONG, 'deep'),
  ]);
  expect(digest).toBe(
    createHash('sha256')
      .update(await readFile(file))
      .digest('hex'),
  );
  const list = execFileSync('tar', ['--list', '--verbose', '--file', file], { encoding: 'utf8' });
  const lines = list
    .trimEnd()
    .split('\n')
    .map((line) => line.replaceAll(/ +/g, ' '));
  expect(lines).toEqual([
    expect.stringMatching(/^drwxr-xr-x 0\/0 0 .* bin\/$/),
    expect.stringMatching(/^-rwxr-xr-x 0\/0 10 .* bin\/program$/),
    expect.stringMatching(/^lrwxrwxrwx 0\/0 0 .* bin\/link -> program$/),
    expect.stringMatching(/^-rw------- 0\/0 512 .* whole-block$/),
    expect.stringMatching(new RegExp(`^-rw-r--r-- 0/0 4 .* ${LONG}$`)),
  ]);
  const deep = execFileSync('tar', ['--extract', '--to-stdout', '--file', file, LONG]);
  expect(deep.toString()).toBe('deep');
});

test('a path that no header can hold, and a file that changed, are refused', async () => {
  await using folder = await temporaryFolder('tar');
  const file = join(folder.path, 'a.tar');
  await expect(writeTar(file, [bytes('x'.repeat(101), '')])).rejects.toThrow('this long');
  const source = join(folder.path, 'source');
  await writeFile(source, 'xx');
  const changed: TarEntry = {
    path: 'a',
    mode: 0o644,
    content: { kind: 'file', file: source, sizeBytes: 1 },
  };
  await expect(writeTar(file, [changed])).rejects.toThrow('a changed while it was read');
});

test('an image names its layers by what is in them, and is there whole or not at all', async () => {
  await using folder = await temporaryFolder('tar');
  const file = join(folder.path, 'image.tar');
  const options = {
    name: 'docker.io/test/image:1',
    layers: [[bytes('a', '1')], [bytes('b', '2')]],
    entrypoint: ['/a'],
    environment: { PATH: '/' },
  };
  await writeImage(file, options);
  const member = (name: string) =>
    execFileSync('tar', ['--extract', '--to-stdout', '--file', file, name]);
  const [manifest] = JSON.parse(member('manifest.json').toString());
  expect(manifest.RepoTags).toEqual(['docker.io/test/image:1']);
  const configuration = JSON.parse(member(manifest.Config).toString());
  const digests = manifest.Layers.map(
    (layer: string) => `sha256:${createHash('sha256').update(member(layer)).digest('hex')}`,
  );
  expect(configuration.rootfs.diff_ids).toEqual(digests);
  const broken = { ...options, layers: [[bytes('x'.repeat(101), '')]] };
  const other = join(folder.path, 'other.tar');
  await expect(writeImage(other, broken)).rejects.toThrow();
  expect(execFileSync('ls', [folder.path], { encoding: 'utf8' })).toBe('image.tar\n');
});
