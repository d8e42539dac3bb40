import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const NOT_OURS = new Set(['node_modules', 'coverage', 'dist']);

/** The text files under the repository's root whose names end so, by path from the root. */
export function readRepository(endings: readonly string[]): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  collect(ROOT, (path) => {
    if (endings.some((ending) => path.endsWith(ending))) {
      files.set(relative(ROOT, path), readFileSync(path, 'utf8'));
    }
  });
  return files;
}

function collect(folder: string, found: (path: string) => void): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.') || NOT_OURS.has(entry.name)) continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) collect(path, found);
    else if (entry.isFile()) found(path);
  }
}
