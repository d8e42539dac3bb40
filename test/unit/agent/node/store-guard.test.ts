import { expect, test } from '@jest/globals';
import { StoreGuard } from '../../../../agent/node/store-guard.ts';
import { silentLogger } from '../../../../core/platform/logger.ts';
import { MemoryFiles } from '../../../fixtures/agent/memory-files.ts';
import { settle } from '../../../fixtures/manual-clock.ts';

const PATH = '/store-revision.json';

function open(files: MemoryFiles): Promise<StoreGuard> {
  return StoreGuard.open({ path: PATH, files, log: silentLogger });
}

test('the highest revision survives the agent, and a store below it is refused', async () => {
  const files = new MemoryFiles();
  const first = await open(files);
  await first.note(7, first.highest);
  await first.note(12, first.highest);
  const second = await open(files);
  expect(second.highest).toBe(12);
  await second.note(11, second.highest);
  expect(() => second.requireTrust()).toThrow(
    "the apiserver's store is at revision 11, this node has seen 12: it was rolled back",
  );
  await second.note(12, second.highest);
  second.requireTrust();
});

test('answers that overtake each other are no rollback', async () => {
  const guard = await open(new MemoryFiles());
  const askedFirst = guard.highest;
  await guard.note(20, guard.highest);
  await guard.note(19, askedFirst);
  guard.requireTrust();
  expect(guard.highest).toBe(20);
});

test('a revision seen by the way raises the mark, and never lowers it', async () => {
  const files = new MemoryFiles();
  const guard = await open(files);
  guard.saw(5);
  guard.saw(9);
  guard.saw(3);
  await settle();
  expect(guard.highest).toBe(9);
  expect((await open(files)).highest).toBe(9);
});

test('a revision that could not be written down is not forgotten by the next note', async () => {
  const files = new MemoryFiles();
  const guard = await open(files);
  files.beforeChange = () => {
    throw new Error('ENOSPC');
  };
  await expect(guard.note(5, 0)).rejects.toThrow('ENOSPC');
  files.beforeChange = () => undefined;
  await guard.note(6, 0);
  expect((await open(files)).highest).toBe(6);
});
