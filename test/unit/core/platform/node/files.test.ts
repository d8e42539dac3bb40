import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { AssertionFailure } from '../../../../../core/assert.ts';
import type { File } from '../../../../../core/platform/index.ts';
import { NodeFiles } from '../../../../../core/platform/node/files.ts';
import { loadLibc } from '../../../../../core/platform/node/libc.ts';
import { KiB, MiB } from '../../../../../core/units.ts';
import { needs } from '../../../../fixtures/needs.ts';
import { temporaryFolder } from '../../../../fixtures/temporary-folder.ts';

const libraries = [
  ['with koffi', loadLibc(() => undefined)],
  ['without koffi', null],
] as const;

/** The arguments that a callback is called with. */
function called<Values extends readonly unknown[]>(
  start: (done: (...values: Values) => void) => void,
): Promise<Values> {
  return new Promise((resolve) => {
    start((...values) => resolve(values));
  });
}

async function write(file: File, offsetBytes: number, data: Buffer): Promise<Error | null> {
  return (await called<[Error | null]>((done) => file.write(data, offsetBytes, done)))[0];
}

async function read(file: File, offsetBytes: number, lengthBytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(lengthBytes);
  const [error, readBytes] = await called<[Error | null, number]>((done) =>
    file.read(buffer, offsetBytes, done),
  );
  if (error !== null) throw error;
  return buffer.subarray(0, readBytes);
}

function rangesOf(file: File, offsetBytes: number, lengthBytes: number, countMax = 100) {
  return called<[Error | null, readonly object[]]>((done) =>
    file.allocatedRanges({ offsetBytes, lengthBytes }, countMax, done),
  );
}

describe.each(libraries)('real files %s', (_how, libc) => {
  const files = new NodeFiles(libc);

  test('are written and read at any place, up to their end', async () => {
    await using folder = await temporaryFolder('files');
    const file = await files.open(join(folder.path, 'file'), 'create');
    for (const offsetBytes of [0, 2 ** 31 - 4, 2 ** 32 + 8, 2 ** 40]) {
      expect(await write(file, offsetBytes, Buffer.from('some data'))).toBeNull();
      expect((await read(file, offsetBytes, 9)).toString()).toBe('some data');
    }
    expect((await read(file, 2 ** 40 + 5, 100)).toString()).toBe('data');
    expect(await read(file, 2 ** 41, 100)).toHaveLength(0);
    expect(await called((done) => file.sizeBytes(done))).toEqual([null, 2 ** 40 + 9]);
    expect(await called((done) => file.datasync(done))).toEqual([null]);
    expect(await called((done) => file.truncate(5, done))).toEqual([null]);
    expect((await read(file, 0, 100)).toString()).toBe('some ');
    expect(await called((done) => file.close(done))).toEqual([null]);
  });

  test('take many calls at once', async () => {
    await using folder = await temporaryFolder('files');
    const file = await files.open(join(folder.path, 'file'), 'create');
    const indexes = Array.from({ length: 500 }, (_none, index) => index);
    await Promise.all(indexes.map((index) => write(file, index * 512, Buffer.alloc(512, index))));
    const found = await Promise.all(indexes.map((index) => read(file, index * 512, 512)));
    for (const index of indexes) expect(found[index]?.equals(Buffer.alloc(512, index))).toBe(true);
    const [error] = await called((done) => file.close(done));
    expect(error).toBeNull();
  });

  test('are zeros where a hole was punched, and do not grow by it', async () => {
    await using folder = await temporaryFolder('files');
    const path = join(folder.path, 'file');
    const file = await files.open(path, 'create');
    await write(file, 0, Buffer.alloc(4 * MiB, 1));
    await called((done) => file.datasync(done));
    const before = await files.allocatedBytes(path);
    expect(before).toBeGreaterThanOrEqual(4 * MiB);
    expect(await called((done) => file.punchHole(MiB + 512, 2 * MiB, done))).toEqual([null]);
    expect(await called((done) => file.punchHole(4 * MiB - 512, 8 * MiB, done))).toEqual([null]);
    const expected = Buffer.alloc(4 * MiB, 1);
    expected.fill(0, MiB + 512, 3 * MiB + 512).fill(0, 4 * MiB - 512);
    expect((await read(file, 0, 8 * MiB)).equals(expected)).toBe(true);
    if (libc !== null) expect(await files.allocatedBytes(path)).toBeLessThan(before - 1.9 * MiB);
    const punches = Array.from({ length: 400 }, (_none, index) =>
      called<[Error | null]>((done) => file.punchHole(index * 4096, 4096, done)),
    );
    for (const [error] of await Promise.all(punches)) expect(error).toBeNull();
    await called((done) => file.close(done));
  });

  test('tell where they have data', async () => {
    await using folder = await temporaryFolder('files');
    const file = await files.open(join(folder.path, 'file'), 'create');
    expect(await rangesOf(file, 0, 2 ** 40)).toEqual([null, []]);
    await write(file, 0, Buffer.alloc(64 * KiB, 1));
    await write(file, 2 ** 33, Buffer.alloc(64 * KiB, 1));
    const all = [
      { offsetBytes: 0, lengthBytes: 64 * KiB },
      { offsetBytes: 2 ** 33, lengthBytes: 64 * KiB },
    ];
    const everything = [{ offsetBytes: 0, lengthBytes: 2 ** 33 + 64 * KiB }];
    expect(await rangesOf(file, 0, 2 ** 40)).toEqual([null, libc === null ? everything : all]);
    expect(await rangesOf(file, 4096, 8192)).toEqual([
      null,
      [{ offsetBytes: 4096, lengthBytes: 8192 }],
    ]);
    expect(await rangesOf(file, 2 ** 34, 4096)).toEqual([null, []]);
    if (libc !== null) {
      expect(await rangesOf(file, 0, 2 ** 40, 1)).toEqual([null, all.slice(0, 1)]);
      expect(await rangesOf(file, MiB, MiB)).toEqual([null, []]);
    }
    await called((done) => file.close(done));
  });

  test('give errors with a code', async () => {
    await using folder = await temporaryFolder('files');
    const path = join(folder.path, 'file');
    await expect(files.open(path, 'write')).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(files.open(path, 'read')).rejects.toMatchObject({ code: 'ENOENT' });
    const file = await files.open(path, 'create');
    await expect(files.open(path, 'create')).rejects.toMatchObject({ code: 'EEXIST' });
    await write(file, 0, Buffer.from('text'));
    const reader = await files.open(path, 'read');
    expect(await write(reader, 0, Buffer.from('x'))).toMatchObject({ code: 'EBADF' });
    const [error] = await called((done) => reader.punchHole(0, 4096, done));
    expect(error).toMatchObject({ code: 'EBADF' });
    for (const offsetBytes of [-1, 0.5, 2 ** 53, Number.NaN]) {
      // Node would write where the file just stands.
      const none = (): void => undefined;
      expect(() => file.write(Buffer.alloc(1), offsetBytes, none)).toThrow(AssertionFailure);
      expect(() => file.read(Buffer.alloc(1), offsetBytes, none)).toThrow(AssertionFailure);
      expect(() => file.punchHole(offsetBytes, 1, none)).toThrow(AssertionFailure);
    }
    await called((done) => reader.close(done));
    await called((done) => file.close(done));
  });
});

describe('real folders', () => {
  const files = new NodeFiles(libraries[0][1]);

  test('are private, listed in order, moved and removed', async () => {
    await using folder = await temporaryFolder('files');
    const at = (name: string): string => join(folder.path, name);
    await files.makeFolder(at('pool'));
    expect(statSync(at('pool')).mode & 0o777).toBe(0o700);
    await expect(files.makeFolder(at('pool'))).rejects.toMatchObject({ code: 'EEXIST' });
    for (const name of ['b', 'a', 'B']) writeFileSync(join(at('pool'), name), 'x');
    expect(await files.list(at('pool'))).toEqual(['B', 'a', 'b']);
    await files.rename(at('pool'), at('moved'));
    await files.syncFolder(folder.path);
    expect([await files.exists(at('pool')), await files.exists(at('moved/a'))]).toEqual([
      false,
      true,
    ]);
    expect(await files.exists(at('moved/a/b'))).toBe(false);
    await files.remove(at('moved'));
    await files.remove(at('moved'));
    expect(await files.list(folder.path)).toEqual([]);
    await expect(files.list(at('moved'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(files.syncFolder(at('moved'))).rejects.toMatchObject({ code: 'ENOENT' });
    symlinkSync(at('nowhere'), at('link'));
    expect(await files.exists(at('link'))).toBe(true);
  });

  test('have files that are replaced as a whole', async () => {
    await using folder = await temporaryFolder('files');
    const path = join(folder.path, 'record');
    await files.replaceWhole(path, Buffer.from('one'));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await Promise.all(
      ['two', 'three', 'four'].map((text) => files.replaceWhole(path, Buffer.from(text))),
    );
    expect((await files.readWhole(path, 100)).toString()).toBe('four');
    expect(await files.list(folder.path)).toEqual(['record']);
    // What a crash left behind is no obstacle, and is not written through.
    writeFileSync(join(folder.path, 'precious'), 'precious');
    symlinkSync(join(folder.path, 'precious'), `${path}.tmp`);
    await files.replaceWhole(path, Buffer.from('five'));
    expect((await files.readWhole(path, 100)).toString()).toBe('five');
    expect((await files.readWhole(join(folder.path, 'precious'), 100)).toString()).toBe('precious');
  });

  test('keep the old file and no other when a replacement fails', async () => {
    await using folder = await temporaryFolder('files');
    const path = join(folder.path, 'folder');
    mkdirSync(path);
    await expect(files.replaceWhole(path, Buffer.from('x'))).rejects.toMatchObject({
      code: 'EISDIR',
    });
    expect(await files.list(folder.path)).toEqual(['folder']);
  });

  test('have files that are read whole, but not more than allowed', async () => {
    await using folder = await temporaryFolder('files');
    const path = join(folder.path, 'file');
    writeFileSync(path, 'x'.repeat(1_000));
    expect(await files.readWhole(path, 1_000)).toHaveLength(1_000);
    await expect(files.readWhole(path, 999)).rejects.toMatchObject({ code: 'EFBIG' });
    writeFileSync(path, '');
    expect(await files.readWhole(path, 0)).toHaveLength(0);
  });

  test('know their space, and keep one mount id', async () => {
    await using folder = await temporaryFolder('files');
    const { totalBytes, freeBytes } = await files.space(folder.path);
    expect(totalBytes).toBeGreaterThan(freeBytes);
    expect(freeBytes).toBeGreaterThan(0);
    const mountId = await files.mountId(folder.path);
    expect(mountId).toMatch(/^[0-9]+ [0-9]+:[0-9]+ \S+$/);
    symlinkSync(folder.path, join(folder.path, 'link'));
    expect(await files.mountId(join(folder.path, 'link'))).toBe(mountId);
    expect(await files.mountId('/proc')).not.toBe(mountId);
    await expect(files.mountId(join(folder.path, 'none'))).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });

  test('are written back with all that is on their file system', async () => {
    await using folder = await temporaryFolder('files');
    await files.syncFileSystem(folder.path);
  });
});

needs({ linux: true, root: true }).describe('a small file system', () => {
  const files = new NodeFiles(libraries[0][1]);

  function mount(path: string): void {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'openebs-test', path]);
  }

  test('that is full says so, after a short write was continued', async () => {
    await using folder = await temporaryFolder('files');
    mount(folder.path);
    try {
      const file = await files.open(join(folder.path, 'file'), 'create');
      expect(await write(file, 0, Buffer.alloc(2 * MiB, 1))).toMatchObject({ code: 'ENOSPC' });
      expect(await called((done) => file.sizeBytes(done))).toEqual([null, MiB]);
      expect((await files.space(folder.path)).freeBytes).toBe(0);
      expect(await called((done) => file.punchHole(0, 512 * KiB, done))).toEqual([null]);
      expect((await files.space(folder.path)).freeBytes).toBe(512 * KiB);
      expect(await write(file, MiB, Buffer.alloc(512 * KiB, 2))).toBeNull();
      await called((done) => file.close(done));
    } finally {
      execFileSync('umount', [folder.path]);
    }
  });

  test('has another mount id when it is mounted anew', async () => {
    await using folder = await temporaryFolder('files');
    const ids = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      mount(folder.path);
      try {
        ids.add(await files.mountId(folder.path));
      } finally {
        execFileSync('umount', [folder.path]);
      }
    }
    expect(ids.size).toBe(3);
  });
});

needs({ linux: true, root: true, command: ['mkfs.ext4', 'losetup'] }).test(
  'R14: a failed write-back is told by syncfs, though an fdatasync was told of it before',
  async () => {
    const files = new NodeFiles(libraries[0][1]);
    await using folder = await temporaryFolder('files');
    const [small, mounted] = [join(folder.path, 'small'), join(folder.path, 'mounted')];
    mkdirSync(small);
    mkdirSync(mounted);
    // A disk that fails: its image is larger than the file system that it lies on.
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'openebs-test', small]);
    try {
      const image = join(small, 'image');
      execFileSync('truncate', ['-s', '64M', image]);
      execFileSync('mkfs.ext4', ['-q', '-O', '^has_journal', image]);
      execFileSync('mount', ['-o', 'loop', image, mounted]);
      try {
        const file = await files.open(join(mounted, 'file'), 'create');
        expect(await write(file, 0, Buffer.alloc(16 * MiB, 1))).toBeNull();
        const [failure] = await called<[Error | null]>((done) => file.datasync(done));
        expect(failure).not.toBeNull();
        await called((done) => file.close(done));
        await expect(files.syncFileSystem(mounted)).rejects.toThrow(/syncfs/);
        await files.syncFileSystem(mounted);
      } finally {
        execFileSync('umount', [mounted]);
      }
    } finally {
      execFileSync('umount', [small]);
    }
  },
);
