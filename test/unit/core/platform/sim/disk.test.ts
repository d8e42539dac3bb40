import { describe, expect, test } from '@jest/globals';
import { AssertionFailure } from '../../../../../core/assert.ts';
import { filesOf, simulate } from '../../../../fixtures/simulation.ts';

const SEEDS = Array.from({ length: 60 }, (_none, seed) => seed);
const SECTORS = 16;
const A = Buffer.alloc(SECTORS * 512, 'a');
const B = Buffer.alloc(SECTORS * 512, 'b');

function machineOf(seed: number) {
  const simulation = simulate(seed);
  const machine = simulation.machine('alpha');
  return { simulation, machine, files: filesOf(machine.process('one')) };
}

/** A file of A, durable, then whatever `then` does; the text of it after a power cut. */
async function afterPowerCut(
  seed: number,
  then: (file: Awaited<ReturnType<ReturnType<typeof filesOf>['create']>>) => Promise<void>,
): Promise<string> {
  const { machine, files } = machineOf(seed);
  const file = await files.create('/file');
  await file.write(0, A);
  await file.datasync();
  await files.syncFolder('/');
  await then(file);
  machine.losePower();
  machine.boot();
  const again = await filesOf(machine.process('two')).open('/file', 'read');
  return (await again.read(0, 100_000)).toString();
}

describe('a power cut', () => {
  test('takes nothing that was flushed', async () => {
    for (const seed of SEEDS) {
      const text = await afterPowerCut(seed, async (file) => {
        await file.write(0, B);
        await file.datasync();
      });
      expect(text).toBe(B.toString());
    }
  });

  test('leaves flushed bytes as they were when some in their page were changed since', async () => {
    const texts = new Set<string>();
    for (const seed of SEEDS) {
      texts.add(await afterPowerCut(seed, (file) => file.write(512, B.subarray(0, 512))));
    }
    const changed = Buffer.concat([A.subarray(0, 512), B.subarray(0, 512), A.subarray(1024)]);
    expect([...texts].toSorted()).toEqual([A.toString(), changed.toString()]);
  });

  test('sometimes keeps, sometimes loses and sometimes tears what was not', async () => {
    let kept = 0;
    let lost = 0;
    let torn = 0;
    for (const seed of SEEDS) {
      const text = await afterPowerCut(seed, (file) => file.write(0, B));
      if (text === B.toString()) kept += 1;
      else if (text === A.toString()) lost += 1;
      else torn += 1;
      for (let sector = 0; sector < SECTORS; sector += 1) {
        expect(text.slice(sector * 512, (sector + 1) * 512)).toMatch(/^(a{512}|b{512})$/);
      }
    }
    expect(Math.min(kept, lost, torn)).toBeGreaterThan(5);
  });

  test('decides about each write by itself', async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const text = await afterPowerCut(seed, async (file) => {
        await file.write(0, B.subarray(0, 4096));
        await file.write(4096, B.subarray(0, 4096));
      });
      seen.add(`${text[0]}${text[512]}${text[4096]}${text[4096 + 512]}`);
    }
    for (const outcome of ['aaaa', 'aabb', 'bbaa', 'bbbb']) expect(seen).toContain(outcome);
  });

  test('leaves a file that grew short, long, or with a hole', async () => {
    const lengths = new Set<number>();
    let holes = 0;
    for (const seed of SEEDS) {
      const text = await afterPowerCut(seed, async (file) => {
        await file.write(A.length, B);
        await file.write(2 * A.length, B);
      });
      lengths.add(text.length);
      expect(text.slice(0, A.length)).toBe(A.toString());
      if (text.slice(A.length, 2 * A.length).includes('\0')) holes += 1;
    }
    expect(lengths).toContain(A.length);
    expect(lengths).toContain(3 * A.length);
    expect(holes).toBeGreaterThan(3);
  });

  test('brings back what was punched, or does not, and never half of it', async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const text = await afterPowerCut(seed, async (file) => {
        await file.punchHole(0, A.length);
        await file.write(0, B.subarray(0, 512));
      });
      seen.add(`${text[0]}${text[512]}`);
    }
    expect([...seen].toSorted()).toEqual(['\0\0', 'aa', 'b\0']);
  });

  test('takes a flush that was under way as far as it had come', async () => {
    const seen = new Set<string>();
    for (const seed of SEEDS) {
      const text = await afterPowerCut(seed, async (file) => {
        await file.write(0, B);
        file.file.datasync(() => undefined);
      });
      seen.add(text);
    }
    expect(seen.size).toBeGreaterThan(2);
  });

  test('changes the boot id and the mount id and starts the clock anew', async () => {
    const { machine, files } = machineOf(1);
    const before = [machine.host.bootId(), await files.mountId('/')];
    machine.losePower();
    expect(machine.up).toBe(false);
    machine.boot();
    const after = [machine.host.bootId(), await filesOf(machine.process('two')).mountId('/')];
    expect(after[0]).not.toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
  });
});

describe('names after a power cut', () => {
  test('are there if their folder was synced', async () => {
    for (const seed of SEEDS) {
      const { machine, files } = machineOf(seed);
      await files.makeFolder('/pool');
      await files.syncFolder('/');
      await files.create('/pool/one');
      await files.rename('/pool/one', '/pool/two');
      await files.syncFolder('/pool');
      machine.losePower();
      machine.boot();
      expect(await filesOf(machine.process('two')).list('/pool')).toEqual(['two']);
    }
  });

  test('are kept up to some point in their order', async () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      const { machine, files } = machineOf(seed);
      await files.makeFolder('/a');
      await files.makeFolder('/b');
      await files.rename('/a', '/c');
      await files.remove('/b');
      machine.losePower();
      machine.boot();
      outcomes.add((await filesOf(machine.process('two')).list('/')).join(' '));
    }
    expect([...outcomes].toSorted()).toEqual(['', 'a', 'a b', 'b c', 'c']);
  });

  test('of a datasynced file are no more durable than without', async () => {
    let lost = 0;
    for (const seed of SEEDS) {
      const { machine, files } = machineOf(seed);
      const file = await files.create('/file');
      await file.write(0, A);
      await file.datasync();
      machine.losePower();
      machine.boot();
      if (!(await filesOf(machine.process('two')).exists('/file'))) lost += 1;
    }
    expect(lost).toBeGreaterThan(5);
  });

  test('of a replaced file have the old or the new content, the new once it returned', async () => {
    let old = 0;
    for (const seed of SEEDS) {
      const { simulation, machine, files } = machineOf(seed);
      await files.replaceWhole('/record', 'old');
      const { files: raw } = machine.process('other').platform;
      let returned = false;
      const replacing = raw.replaceWhole('/record', Buffer.from('new')).then(() => {
        returned = true;
      });
      void replacing;
      await simulation.runFor(simulation.random.fraction() * 15);
      machine.losePower();
      machine.boot();
      const text = await filesOf(machine.process('two')).readWhole('/record');
      expect(['old', 'new']).toContain(text);
      if (returned) expect(text).toBe('new');
      if (text === 'old') old += 1;
    }
    expect(old).toBeGreaterThan(5);
    expect(old).toBeLessThan(SEEDS.length - 5);
  });
});

describe('a faulty disk', () => {
  test('fails what its rule names, as often as it says', async () => {
    const { machine, files } = machineOf(1);
    const file = await files.create('/data.img');
    const other = await files.create('/record');
    const effect = { kind: 'error', code: 'EIO' } as const;
    machine.disk().addFault({ operation: 'write', pathIncludes: 'data', countMax: 2, effect });
    await expect(file.write(0, A)).rejects.toMatchObject({ code: 'EIO' });
    await other.write(0, A);
    await expect(file.write(0, A)).rejects.toMatchObject({ code: 'EIO' });
    await file.write(0, A);
    const end = machine.disk().addFault({ operation: 'read', effect });
    await expect(file.read(0, 512)).rejects.toMatchObject({ code: 'EIO' });
    end();
    expect(await file.read(0, A.length)).toEqual(A);
  });

  test('forgets after a failed datasync, as Linux does; the next one says nothing', async () => {
    const outcomes = new Set<string>();
    for (const seed of SEEDS) {
      const { machine, files } = machineOf(seed);
      const file = await files.create('/file');
      await file.write(0, A.subarray(0, 4096));
      await file.datasync();
      await file.write(0, B.subarray(0, 4096));
      const effect = { kind: 'error', code: 'EIO' } as const;
      machine.disk().addFault({ operation: 'datasync', countMax: 1, effect });
      await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' });
      await file.datasync();
      expect((await file.read(0, 1)).toString()).toBe('b');
      machine.disk().dropCaches();
      outcomes.add((await file.read(0, 1)).toString());
    }
    expect([...outcomes].toSorted()).toEqual(['a', 'b']);
  });

  test('that is full says so, may have written a part, and takes more when it can', async () => {
    const parts = new Set<number>();
    for (const seed of SEEDS) {
      const { machine, files } = machineOf(seed);
      machine.disk().capacityBytes = 8 * 4096;
      const file = await files.create('/file');
      await file.write(0, Buffer.alloc(6 * 4096, 1));
      expect((await files.space('/')).freeBytes).toBe(2 * 4096);
      await expect(file.write(6 * 4096, Buffer.alloc(4 * 4096, 2))).rejects.toMatchObject({
        code: 'ENOSPC',
      });
      parts.add((await file.read(6 * 4096, 4 * 4096)).length / 4096);
      await file.write(0, Buffer.alloc(4096, 3));
      await file.punchHole(0, 4 * 4096);
      await file.write(6 * 4096, Buffer.alloc(4 * 4096, 2));
      expect((await file.read(0, 4096)).equals(Buffer.alloc(4096))).toBe(true);
    }
    expect(parts).toEqual(new Set([0, 1, 2]));
  });

  test('gives the space of a removed file back when the last handle is closed', async () => {
    const { machine, files } = machineOf(1);
    machine.disk().capacityBytes = 8 * 4096;
    const file = await files.create('/file');
    await file.write(0, Buffer.alloc(6 * 4096, 1));
    await files.remove('/file');
    expect((await files.space('/')).freeBytes).toBe(2 * 4096);
    expect((await file.read(0, 1))[0]).toBe(1);
    await file.close();
    expect((await files.space('/')).freeBytes).toBe(8 * 4096);
    const orphan = await filesOf(machine.process('two')).create('/orphan');
    await orphan.write(0, Buffer.alloc(4096));
    await files.remove('/orphan');
    for (const process of machine.processes) {
      if (process.name.includes('two')) process.kill();
    }
    expect((await files.space('/')).freeBytes).toBe(8 * 4096);
  });

  test('that stalls or hangs completes nothing until it goes on', async () => {
    const { simulation, machine, files } = machineOf(1);
    const { file } = await files.create('/file');
    const doneAt: number[] = [];
    const write = () => file.write(A, 0, () => doneAt.push(simulation.nowMs));
    const startMs = simulation.nowMs;
    machine.disk().stall(5_000);
    write();
    await simulation.runFor(6_000);
    expect(doneAt[0]).toBeGreaterThanOrEqual(startMs + 5_000);
    machine.disk().hang();
    write();
    await simulation.runFor(60_000);
    expect(doneAt).toHaveLength(1);
    machine.disk().unhang();
    await simulation.runFor(10);
    expect(doneAt).toHaveLength(2);
  });

  test('lets a stuck write land after its successor in the same process', async () => {
    const { simulation, machine, files } = machineOf(1);
    const file = await files.create('/file');
    const effect = { kind: 'delay', delayMs: 20_000 } as const;
    machine.disk().addFault({ operation: 'write', countMax: 1, effect });
    file.file.write(A, 0, () => undefined);
    await file.write(0, B);
    expect(await file.read(0, A.length)).toEqual(B);
    await simulation.runFor(30_000);
    expect(await file.read(0, A.length)).toEqual(A);
  });
});

describe('files', () => {
  test('keep what was written, whatever its buffer is used for later', async () => {
    const { files } = machineOf(1);
    const file = await files.create('/file');
    const buffer = Buffer.from(A);
    await file.write(0, buffer);
    buffer.fill('x');
    await file.write(100, Buffer.from('bb'));
    expect((await file.read(0, A.length)).toString()).toBe(
      `${'a'.repeat(100)}bb${A.toString('utf8', 102)}`,
    );
  });

  test('tell their allocated ranges, size and space as a sparse file does', async () => {
    const { simulation, files } = machineOf(1);
    const file = await files.create('/file');
    await file.write(3 * 4096, Buffer.alloc(2 * 4096, 1));
    await file.write(2 ** 40, Buffer.alloc(512, 1));
    const ranges = async (offsetBytes: number, lengthBytes: number, countMax: number) =>
      (
        await simulation.call<[Error | null, readonly object[]]>((done) =>
          file.file.allocatedRanges({ offsetBytes, lengthBytes }, countMax, done),
        )
      )[1];
    expect(await ranges(0, 2 ** 41, 10)).toEqual([
      { offsetBytes: 3 * 4096, lengthBytes: 2 * 4096 },
      { offsetBytes: 2 ** 40, lengthBytes: 512 },
    ]);
    expect(await ranges(0, 2 ** 41, 1)).toHaveLength(1);
    expect(await ranges(4 * 4096 - 512, 1024, 10)).toEqual([
      { offsetBytes: 4 * 4096 - 512, lengthBytes: 1024 },
    ]);
    await file.punchHole(0, 2 ** 40);
    expect(await ranges(0, 2 ** 41, 10)).toEqual([{ offsetBytes: 2 ** 40, lengthBytes: 512 }]);
    expect((await file.read(2 ** 40, 4096)).length).toBe(512);
  });

  test('refuse what a file system refuses', async () => {
    const { files } = machineOf(1);
    const rejects = (promise: Promise<unknown>, code: string) =>
      expect(promise).rejects.toMatchObject({ code });
    await files.makeFolder('/pool');
    await files.makeFolder('/pool/inner');
    const { file } = await files.create('/pool/file');
    await rejects(files.makeFolder('/pool'), 'EEXIST');
    await rejects(files.makeFolder('/none/inner'), 'ENOENT');
    await rejects(files.create('/pool/file'), 'EEXIST');
    await rejects(files.open('/pool/none'), 'ENOENT');
    await rejects(files.open('/pool/file/inner'), 'ENOTDIR');
    await rejects(files.open('/pool'), 'EISDIR');
    await rejects(files.list('/pool/file'), 'ENOTDIR');
    await rejects(files.rename('/pool/none', '/pool/two'), 'ENOENT');
    await rejects(files.rename('/pool/file', '/pool/inner'), 'EISDIR');
    await rejects(files.rename('/pool/inner', '/pool/file'), 'ENOTDIR');
    await rejects(files.rename('/pool', '/pool/inner/pool'), 'EINVAL');
    const reader = await files.open('/pool/file', 'read');
    await rejects(reader.write(0, A), 'EBADF');
    await files.remove('/pool/none');
    await files.remove('/pool');
    expect(await files.list('/')).toEqual([]);
    expect(() => file.close(() => undefined)).not.toThrow();
    expect(() => file.close(() => undefined)).toThrow(AssertionFailure);
  });

  test('have one lock at a time, which ends with its process', async () => {
    const { machine, files } = machineOf(1);
    const other = filesOf(machine.process('two'));
    const lock = await files.lock('/lock');
    await expect(files.lock('/lock')).rejects.toMatchObject({ code: 'EBUSY' });
    await expect(other.lock('/lock')).rejects.toMatchObject({ code: 'EBUSY' });
    await machine.simulation.finish(lock.release());
    await other.lock('/lock');
    for (const process of machine.processes) if (process.name.includes('two')) process.kill();
    await files.lock('/lock');
  });

  test('tell of a failed write-back twice: once by fdatasync, once by syncfs', async () => {
    const { machine, files } = machineOf(1);
    const file = await files.create('/file');
    const fail = async (): Promise<void> => {
      await file.write(0, A);
      const effect = { kind: 'error', code: 'EIO' } as const;
      machine.disk().addFault({ operation: 'datasync', countMax: 1, effect });
      await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' });
      await file.datasync();
    };
    await files.syncFileSystem('/');
    for (let round = 0; round < 2; round += 1) {
      await fail();
      await expect(files.syncFileSystem('/')).rejects.toMatchObject({ code: 'EIO' });
      await files.syncFileSystem('/');
    }
    await fail();
    machine.losePower();
    machine.boot();
    await filesOf(machine.process('two')).syncFileSystem('/');
  });

  test('are all durable after syncfs', async () => {
    for (let seed = 0; seed < 10; seed += 1) {
      const { machine, files } = machineOf(seed);
      await files.makeFolder('/pool');
      const file = await files.create('/pool/file');
      await file.write(0, A);
      await files.syncFileSystem('/pool');
      machine.losePower();
      machine.boot();
      expect(await filesOf(machine.process('two')).readWhole('/pool/file')).toBe(A.toString());
    }
  });

  test('of an unmounted disk are gone, and the path means the root disk', async () => {
    const { machine, files } = machineOf(1);
    const pool = machine.newDisk('pool');
    machine.mount('/mnt/pool', pool);
    const file = await files.create('/mnt/pool/id');
    const mountId = await files.mountId('/mnt/pool');
    await expect(files.rename('/mnt/pool/id', '/id')).rejects.toMatchObject({ code: 'EXDEV' });
    await file.close();
    machine.unmount('/mnt/pool');
    expect(await files.list('/mnt/pool')).toEqual([]);
    machine.mount('/mnt/pool', pool);
    expect(await files.list('/mnt/pool')).toEqual(['id']);
    expect(await files.mountId('/mnt/pool')).not.toBe(mountId);
  });
});
