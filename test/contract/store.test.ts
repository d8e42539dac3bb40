/** What every implementation of the cluster's Store must do. */
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { SqliteStore } from '../../cluster/store/sqlite/sqlite-store.ts';
import { type Store, type StoredDocument, StoreError } from '../../cluster/store/store.ts';
import { MemoryStore } from '../fixtures/memory-store.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

type Opened = AsyncDisposable & { store: Store; reopen: (() => Promise<void>) | null };

async function openSqlite(): Promise<Opened> {
  const folder = await temporaryFolder('store');
  const path = join(folder.path, 'store.sqlite');
  const opened: Opened = {
    store: await SqliteStore.open(path),
    reopen: async () => {
      await opened.store.close();
      opened.store = await SqliteStore.open(path);
    },
    [Symbol.asyncDispose]: async () => {
      await opened.store.close();
      await folder[Symbol.asyncDispose]();
    },
  };
  return opened;
}

async function openMemory(): Promise<Opened> {
  return { store: new MemoryStore(), reopen: null, [Symbol.asyncDispose]: async () => undefined };
}

async function codeOfFailure(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  return error instanceof StoreError ? error.code : `no StoreError: ${String(error)}`;
}

describe.each([
  ['sqlite', openSqlite],
  ['memory', openMemory],
])('the %s store', (_name, open) => {
  test('gives back what was created, with a version', async () => {
    await using opened = await open();
    const { store } = opened;
    expect(await store.get('volume', 'data')).toBeNull();
    const created = await store.create('volume', 'data', { size: 5, nested: [null, 'ü'] });
    expect(await store.get('volume', 'data')).toEqual(created);
    expect(created.value).toEqual({ size: 5, nested: [null, 'ü'] });
    expect(created.version).toBe(await store.revision());
  });

  test('creates a document once', async () => {
    await using opened = await open();
    const { store } = opened;
    const first = await store.create('volume', 'data', 1);
    expect(await codeOfFailure(store.create('volume', 'data', 2))).toBe('exists');
    expect(await store.get('volume', 'data')).toEqual(first);
    expect(await store.revision()).toBe(first.version);
  });

  test('keeps kinds and ids apart, whatever characters they have', async () => {
    await using opened = await open();
    const { store } = opened;
    const ids = ['a', 'A', "'; DROP TABLE documents; --", '../x', 'name[0]', '%', 'é'];
    for (const id of ids) await store.create('volume', id, id);
    await store.create('node', 'a', 'another');
    for (const id of ids) expect((await store.get('volume', id))?.value).toBe(id);
    const listed = (await store.list('volume')).documents.map((document) => document.id);
    expect(listed).toHaveLength(ids.length);
    expect(new Set(listed)).toEqual(new Set(ids));
  });

  test('swaps only on the version last read, and says what stands there', async () => {
    await using opened = await open();
    const { store } = opened;
    const first = await store.create('volume', 'data', 'one');
    const second = await store.swap(first, 'two');
    expect(second.version).toBeGreaterThan(first.version);
    const late = await store.swap(first, 'three').catch((error: unknown) => error);
    expect(late).toBeInstanceOf(StoreError);
    expect((late as StoreError).data).toEqual({ code: 'conflict', current: second });
    expect(await store.get('volume', 'data')).toEqual(second);
  });

  test('removes only on the version last read', async () => {
    await using opened = await open();
    const { store } = opened;
    const first = await store.create('volume', 'data', 'one');
    const second = await store.swap(first, 'two');
    expect(await codeOfFailure(store.remove(first))).toBe('conflict');
    await store.remove(second);
    expect(await store.get('volume', 'data')).toBeNull();
    const gone = await store.remove(second).catch((error: unknown) => error);
    expect((gone as StoreError).data).toEqual({ code: 'conflict', current: null });
  });

  test('an old version never fits a document that was removed and made again', async () => {
    await using opened = await open();
    const { store } = opened;
    const old = await store.create('volume', 'data', 'old');
    await store.remove(old);
    await store.create('volume', 'data', 'new');
    expect(await codeOfFailure(store.swap(old, 'resurrected'))).toBe('conflict');
    expect((await store.get('volume', 'data'))?.value).toBe('new');
  });

  test('the revision goes up with every change and with nothing else', async () => {
    await using opened = await open();
    const { store } = opened;
    const seen = [await store.revision()];
    const note = async () => seen.push(await store.revision());
    const first = await store.create('a', 'x', 1);
    await note();
    const second = await store.swap(first, 2);
    await note();
    await store.remove(second);
    await note();
    expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => a - b));
    await store.get('a', 'x');
    await store.list('a');
    await codeOfFailure(store.swap(first, 3));
    expect(await store.revision()).toBe(seen.at(-1));
  });

  test('of many concurrent swaps on one version exactly one wins', async () => {
    await using opened = await open();
    const { store } = opened;
    const first = await store.create('volume', 'data', 'start');
    const swaps = Array.from({ length: 20 }, (_, index) => store.swap(first, index));
    const outcomes = await Promise.allSettled(swaps);
    const winners = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    expect(await store.get('volume', 'data')).toEqual(winners[0]?.value);
  });

  test('of many concurrent creates exactly one wins', async () => {
    await using opened = await open();
    const { store } = opened;
    const creates = Array.from({ length: 20 }, (_, index) => store.create('a', 'x', index));
    const outcomes = await Promise.allSettled(creates);
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
  });

  test('a list is a copy: what the caller does to it changes nothing', async () => {
    await using opened = await open();
    const { store } = opened;
    const value = { list: [1] };
    await store.create('a', 'x', value);
    value.list.push(2);
    const listed = await store.list('a');
    for (const { value: copy } of listed.documents) (copy as { list: number[] }).list.push(3);
    expect((await store.get('a', 'x'))?.value).toEqual({ list: [1] });
  });

  test('any sequence of calls behaves like a map with versions', async () => {
    const id = fc.constantFrom('x', 'y');
    const call = fc.oneof(
      fc.record({ call: fc.constant('create' as const), id, value: fc.jsonValue() }),
      fc.record({ call: fc.constant('swap' as const), id, value: fc.jsonValue(), age: fc.nat(2) }),
      fc.record({ call: fc.constant('remove' as const), id, age: fc.nat(2) }),
      fc.record({ call: fc.constant('reopen' as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(call, { maxLength: 25 }), async (calls) => {
        await using opened = await open();
        const model = new Map<string, StoredDocument>();
        const versions = new Map<string, number[]>();
        let revision = 0;
        for (const step of calls) {
          if (step.call === 'reopen') {
            await opened.reopen?.();
            continue;
          }
          const { store } = opened;
          const current = model.get(step.id) ?? null;
          if (step.call === 'create') {
            const done = store.create('a', step.id, step.value);
            if (current !== null) {
              expect(await codeOfFailure(done)).toBe('exists');
              continue;
            }
            const document = await done;
            model.set(step.id, document);
            versions.set(step.id, [...(versions.get(step.id) ?? []), document.version]);
          } else {
            const version = versions.get(step.id)?.at(-1 - step.age) ?? 0;
            const expected = { kind: 'a', id: step.id, version };
            const fits = current?.version === version;
            const done =
              step.call === 'swap' ? store.swap(expected, step.value) : store.remove(expected);
            if (!fits) {
              expect(await codeOfFailure(done)).toBe('conflict');
              continue;
            }
            const document = await done;
            if (document === undefined) model.delete(step.id);
            else {
              model.set(step.id, document);
              versions.set(step.id, [...(versions.get(step.id) ?? []), document.version]);
            }
          }
          revision += 1;
        }
        const { store } = opened;
        expect(await store.revision()).toBe(revision);
        const listed = (await store.list('a')).documents;
        expect(listed).toEqual([...model.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)));
      }),
      { numRuns: 40 },
    );
  });
});
