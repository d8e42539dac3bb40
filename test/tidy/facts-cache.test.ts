import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { cachedSourceTree } from './facts-cache.ts';
import { sourceTree } from './source-facts.ts';

/** @returns the tree, and which files were parsed for it. */
function read(files: Readonly<Record<string, string>>, cacheFile: string) {
  const parsed: string[] = [];
  const tree = cachedSourceTree(new Map(Object.entries(files)), cacheFile, (unknown) => {
    parsed.push(...unknown.keys());
    return sourceTree(unknown);
  });
  return { tree, parsed };
}

test('a source file is parsed once, and again when it has changed', async () => {
  await using folder = await temporaryFolder('facts');
  const cacheFile = join(folder.path, 'made', 'facts.json');
  const first = { 'a.ts': "import 'x';", 'b.ts': 'debugger;' };
  expect(read(first, cacheFile).parsed).toEqual(['a.ts', 'b.ts']);
  const again = read(first, cacheFile);
  expect(again.parsed).toEqual([]);
  expect(again.tree).toEqual(sourceTree(new Map(Object.entries(first))));
  const changed = read({ ...first, 'b.ts': '' }, cacheFile);
  expect(changed.parsed).toEqual(['b.ts']);
  expect(changed.tree.get('b.ts')?.hasDebugger).toBe(false);
});

test('a cache that was cut short is made anew', async () => {
  await using folder = await temporaryFolder('facts');
  const cacheFile = join(folder.path, 'facts.json');
  writeFileSync(cacheFile, '{"1f');
  expect(read({ 'a.ts': '' }, cacheFile).parsed).toEqual(['a.ts']);
  expect(read({ 'a.ts': '' }, cacheFile).parsed).toEqual([]);
});
