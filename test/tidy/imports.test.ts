import { expect, test } from '@jest/globals';
import { cachedSourceTree } from './facts-cache.ts';
import { importedLibraries, importViolations, loadedLibraries } from './import-check.ts';
import { IMPORT_TABLE, SMALL_PROCESSES } from './import-table.ts';
import { readRepository } from './repository.ts';

type Manifest = Readonly<Record<'dependencies' | 'devDependencies', Record<string, string>>>;

const tree = cachedSourceTree(readRepository(['.ts']));
const manifest = JSON.parse(readRepository(['package.json']).get('package.json') ?? '') as Manifest;

test('every import stands in the import table', () => {
  expect(importViolations(tree, IMPORT_TABLE)).toEqual([]);
});

test('target and replica load no library but the few that they are allowed', () => {
  const strangers = SMALL_PROCESSES.entries.flatMap((entry) =>
    [...loadedLibraries(tree, entry)].filter(
      ([library]) => !(SMALL_PROCESSES.libraries as readonly string[]).includes(library),
    ),
  );
  expect(strangers).toEqual([]);
});

test('every imported library is a dependency, and product code uses no test tool', () => {
  const product = new Map([...tree].filter(([path]) => !path.startsWith('test/')));
  const all = { ...manifest.dependencies, ...manifest.devDependencies };
  expect([...importedLibraries(tree)].filter((library) => !(library in all))).toEqual([]);
  expect(
    [...importedLibraries(product)].filter((library) => !(library in manifest.dependencies)),
  ).toEqual([]);
});

test('every dependency is pinned to one version', () => {
  const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies });
  expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
});
