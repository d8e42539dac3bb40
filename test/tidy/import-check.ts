import { posix } from 'node:path';
import type { ImportRow } from './import-table.ts';
import type { SourceFacts } from './source-facts.ts';

/** Source files by their path from the root of the repository. */
export type SourceTree = ReadonlyMap<string, SourceFacts>;

/** Everything in `tree` that `table` does not allow, one sentence each. */
export function importViolations(tree: SourceTree, table: readonly ImportRow[]): string[] {
  return [...tree].flatMap(([path, facts]) => {
    const row = rowOf(path, table);
    if (row === undefined) return [`${path}: its folder has no row in the import table`];
    return [
      ...facts.imports.flatMap(({ specifier }) => {
        const problem = importProblem(path, row, specifier, table);
        return problem === undefined ? [] : [`${path}: ${problem}`];
      }),
      ...(facts.computedImportCount > 0 && !isMainOrTest(path)
        ? [`${path}: a dynamic import must name its module as a plain string`]
        : []),
      ...(row.pure
        ? [...new Set(facts.impurities)].map((name) => `${path}: may not use ${name} (pure folder)`)
        : []),
    ];
  });
}

function importProblem(
  path: string,
  row: ImportRow,
  specifier: string,
  table: readonly ImportRow[],
): string | undefined {
  if (specifier.startsWith('node:')) {
    const allowed = row.node === 'any' || row.node.includes(specifier);
    return allowed ? undefined : `may not import ${specifier}`;
  }
  if (!specifier.startsWith('.')) {
    const library = libraryOf(specifier);
    const allowed = row.libraries.some((pattern) => matchesLibrary(pattern, library));
    return allowed ? undefined : `may not import the library ${library}`;
  }
  const imported = resolveImport(path, specifier);
  const importedRow = rowOf(imported, table);
  if (importedRow === undefined) return `imports ${imported}, which has no row in the import table`;
  if (importedRow === row) return undefined;
  if (!mayBeImported(importedRow, path)) {
    return `may not import ${imported}: only ${importedRow.importedBy} may`;
  }
  const isMainOfAnother = isMain(imported) && path.startsWith('bin/');
  if (isMainOfAnother || row.imports.some((folder) => isWithin(imported, folder))) return undefined;
  return `may not import ${imported}`;
}

function mayBeImported(imported: ImportRow, path: string): boolean {
  switch (imported.importedBy) {
    case 'any':
      return true;
    case 'mains and tests':
      return isMainOrTest(path);
    case 'tests':
      return path.startsWith('test/');
  }
}

/** The libraries that come into memory when `entry` starts, with the way that leads to each. */
export function loadedLibraries(tree: SourceTree, entry: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const ways = new Map([[entry, entry]]);
  for (const [path, way] of ways) {
    for (const { specifier, typeOnly } of tree.get(path)?.imports ?? []) {
      if (typeOnly || specifier.startsWith('node:')) continue;
      if (specifier.startsWith('.')) {
        const next = resolveImport(path, specifier);
        if (!ways.has(next)) ways.set(next, `${way} → ${next}`);
      } else if (!found.has(libraryOf(specifier))) {
        found.set(libraryOf(specifier), way);
      }
    }
  }
  return found;
}

/** Every library that the tree imports anywhere. */
export function importedLibraries(tree: SourceTree): ReadonlySet<string> {
  const specifiers = [...tree.values()].flatMap((facts) => facts.imports.map((i) => i.specifier));
  return new Set(
    specifiers.filter((s) => !s.startsWith('.') && !s.startsWith('node:')).map(libraryOf),
  );
}

export function matchesLibrary(pattern: string, library: string): boolean {
  if (pattern.endsWith('*')) return library.startsWith(pattern.slice(0, -1));
  return pattern === library;
}

function rowOf(path: string, table: readonly ImportRow[]): ImportRow | undefined {
  return table
    .filter((row) => isWithin(path, row.folder))
    .toSorted((a, b) => b.folder.length - a.folder.length)[0];
}

function isWithin(path: string, folder: string): boolean {
  return folder === '.' || path === folder || path.startsWith(`${folder}/`);
}

function isMain(path: string): boolean {
  return posix.basename(path) === 'main.ts';
}

function isMainOrTest(path: string): boolean {
  return isMain(path) || path.startsWith('bin/') || path.startsWith('test/');
}

function resolveImport(path: string, specifier: string): string {
  return posix.join(posix.dirname(path), specifier);
}

/** `express` of `express`, `@grpc/grpc-js` of `@grpc/grpc-js/build/src/server.js`. */
function libraryOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}
