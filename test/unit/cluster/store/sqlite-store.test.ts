import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from '@jest/globals';
import { openDatabase, pragma } from '../../../../cluster/store/sqlite/database-file.ts';
import { SqliteStore } from '../../../../cluster/store/sqlite/sqlite-store.ts';
import { StoreError } from '../../../../cluster/store/store.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

async function storeFile() {
  const folder = await temporaryFolder('sqlite');
  const path = join(folder.path, 'store.sqlite');
  return { path, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

async function filled(path: string): Promise<void> {
  await using store = await SqliteStore.open(path);
  for (let index = 0; index < 50; index += 1) {
    await store.create('volume', `v${index}`, { text: 'x'.repeat(1_000) });
  }
}

async function refusal(path: string): Promise<StoreError> {
  const error: unknown = await SqliteStore.open(path).then(
    (store) => store.close(),
    (thrown: unknown) => thrown,
  );
  if (error instanceof StoreError) return error;
  throw new Error('the store was opened');
}

test('what was written is there after the store is opened again', async () => {
  await using file = await storeFile();
  let version: number;
  {
    await using store = await SqliteStore.open(file.path);
    ({ version } = await store.create('volume', 'data', { size: 1 }));
  }
  await using store = await SqliteStore.open(file.path);
  expect(await store.get('volume', 'data')).toEqual({
    kind: 'volume',
    id: 'data',
    version,
    value: { size: 1 },
  });
  expect(await store.revision()).toBe(version);
});

test('nobody but the owner may read the file', async () => {
  await using file = await storeFile();
  await using store = await SqliteStore.open(file.path);
  await store.create('volume', 'data', 1);
  for (const suffix of ['', '-wal']) {
    expect((await stat(file.path + suffix)).mode & 0o777).toBe(0o600);
  }
});

test('two never share one store, and the second is told so', async () => {
  await using file = await storeFile();
  {
    await using store = await SqliteStore.open(file.path);
    const error = await refusal(file.path);
    expect(error.code).toBe('locked');
    expect(error.message).toContain('in use by another apiserver');
    await store.create('volume', 'data', 1);
  }
  await using store = await SqliteStore.open(file.path);
  expect((await store.list('volume')).documents).toHaveLength(1);
});

test('commits wait for the disk', async () => {
  await using file = await storeFile();
  const database = openDatabase(file.path, 1_000);
  expect(pragma(database, 'journal_mode')).toBe('wal');
  const FULL = 2;
  expect(pragma(database, 'synchronous')).toBe(FULL);
  database.close();
});

describe('a file that is not a whole store of ours is refused in one sentence:', () => {
  test('empty', async () => {
    await using file = await storeFile();
    await writeFile(file.path, '');
    const error = await refusal(file.path);
    expect(error.code).toBe('damaged');
    expect(error.message).toContain('it is empty');
    expect((await stat(file.path)).size).toBe(0);
  });

  test('garbage', async () => {
    await using file = await storeFile();
    await writeFile(file.path, 'not a database at all\n'.repeat(1_000));
    expect((await refusal(file.path)).code).toBe('damaged');
  });

  test.each([0.1, 0.5, 0.9])('cut to %d of its length', async (part) => {
    await using file = await storeFile();
    await filled(file.path);
    const { size } = await stat(file.path);
    await truncate(file.path, Math.floor(size * part));
    const error = await refusal(file.path);
    expect(error.code).toBe('damaged');
    expect(error.message).toContain(file.path);
    expect(error.message).not.toContain('\n');
  });

  test('overwritten, unless nothing that counts was hit', async () => {
    await using file = await storeFile();
    await filled(file.path);
    const whole = await readFile(file.path);
    let refusedCount = 0;
    for (let offset = 0; offset < whole.length; offset += 2_500) {
      const bytes = Buffer.from(whole);
      bytes.fill(0xa5, offset, offset + 10);
      await writeFile(file.path, bytes);
      const store = await SqliteStore.open(file.path).catch((error: unknown) => error);
      if (store instanceof SqliteStore) {
        const { documents } = await store.list('volume');
        expect(documents).toHaveLength(50);
        for (const { value } of documents) expect(value).toEqual({ text: 'x'.repeat(1_000) });
        await store.close();
      } else {
        expect(store).toMatchObject({ data: { code: 'damaged' } });
        refusedCount += 1;
      }
    }
    expect(refusedCount).toBeGreaterThan(10);
  });

  test("another program's database", async () => {
    await using file = await storeFile();
    const database = new DatabaseSync(file.path);
    database.exec('CREATE TABLE documents (id TEXT)');
    database.close();
    const error = await refusal(file.path);
    expect(error.code).toBe('damaged');
    expect(error.message).toContain('not a store of this program');
  });

  test('written by a newer version', async () => {
    await using file = await storeFile();
    await filled(file.path);
    const database = new DatabaseSync(file.path);
    database.exec('PRAGMA user_version = 2');
    database.close();
    const error = await refusal(file.path);
    expect(error.code).toBe('newer');
    expect(error.message).toContain('written by a newer version');
  });

  test('gone, with its write-ahead log left', async () => {
    await using file = await storeFile();
    await writeFile(`${file.path}-wal`, 'x');
    expect((await refusal(file.path)).code).toBe('damaged');
  });

  test('in a folder that is not there', async () => {
    await using file = await storeFile();
    expect((await refusal(join(file.path, 'deeper', 'store.sqlite'))).code).toBe('unavailable');
  });
});

test('a draft that a crash left behind is no obstacle', async () => {
  await using file = await storeFile();
  await writeFile(`${file.path}.new`, 'half a store');
  await using store = await SqliteStore.open(file.path);
  expect(await store.revision()).toBe(0);
});

test('a closed store answers nothing', async () => {
  await using file = await storeFile();
  const store = await SqliteStore.open(file.path);
  await store.close();
  await store.close();
  await expect(store.revision()).rejects.toMatchObject({ data: { code: 'unavailable' } });
});

test('a full store says so, changes nothing, and goes on when there is room', async () => {
  await using file = await storeFile();
  await using store = await SqliteStore.open(file.path, { pageCountMax: 20 });
  const small = await store.create('volume', 'data', 1);
  const large = 'x'.repeat(200_000);
  await expect(store.swap(small, large)).rejects.toMatchObject({ data: { code: 'full' } });
  expect(await store.get('volume', 'data')).toEqual(small);
  expect(await store.revision()).toBe(small.version);
  await store.swap(small, 2);
});

// Past a file size limit (setrlimit(2)) writes fail with EFBIG, which SQLite calls an I/O error.
const FAILING_WRITER = `
  process.on('SIGXFSZ', () => undefined);
  const { SqliteStore } = await import(process.argv[1]);
  const store = await SqliteStore.open(process.argv[2]);
  let error = null;
  for (let index = 0; error === null; index += 1) {
    error = await store.create('volume', 'v' + index, 'x'.repeat(5000)).then(() => null, (e) => e);
  }
  const after = await store.get('volume', 'v0').then(() => 'answered', (e) => e.code);
  process.stdout.write(error.code + ' ' + after);`;

test('after an I/O error nothing is answered until the next start', async () => {
  await using file = await storeFile();
  await (await SqliteStore.open(file.path)).close();
  const limited = ['-c', 'ulimit -f 256; exec "$@"', 'sh', process.execPath, ...NODE_OPTIONS];
  const child = spawn('sh', [...limited, FAILING_WRITER, STORE_MODULE, file.path]);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await once(child, 'close');
  expect(output).toBe('unavailable unavailable');
  await using store = await SqliteStore.open(file.path);
  expect((await store.list('volume')).documents.length).toBeGreaterThan(0);
});

const NODE_OPTIONS = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e'];
const STORE_MODULE = new URL('../../../../cluster/store/sqlite/sqlite-store.ts', import.meta.url)
  .href;

const WRITER = `
  const { SqliteStore } = await import(process.argv[1]);
  const store = await SqliteStore.open(process.argv[2]);
  let document = await store.create('volume', 'data', { count: 0, text: '' });
  for (let count = 1; ; count += 1) {
    document = await store.swap(document, { count, text: 'x'.repeat(count % 9000) });
    process.stdout.write(document.version + ' ' + count + '\\n');
  }`;

test('a process killed amid changes leaves the last answered one, or the next', async () => {
  await using file = await storeFile();
  const child = spawn(process.execPath, [...NODE_OPTIONS, WRITER, STORE_MODULE, file.path]);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (output.length > 400) child.kill('SIGKILL');
  });
  await once(child, 'close');
  const answered = output.slice(0, output.lastIndexOf('\n')).split('\n').at(-1)?.split(' ');
  const [version, count] = (answered ?? []).map(Number);
  await using store = await SqliteStore.open(file.path);
  const found = await store.get('volume', 'data');
  const value = found?.value as { count: number; text: string };
  // The pipe may not have carried the last lines, so later ones may be there too: never earlier.
  expect(found?.version).toBeGreaterThanOrEqual(version ?? Infinity);
  expect(value.count).toBeGreaterThanOrEqual(count ?? Infinity);
  expect(value.text).toHaveLength(value.count % 9000);
  expect(await store.revision()).toBe(found?.version);
});
