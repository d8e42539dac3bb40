/** What is taken from this machine into an image. */
import { execFileSync } from 'node:child_process';
import { readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TarEntry } from './tar.ts';

/** Not below a package's own node_modules: those have entries of their own in the lock. */
export function filesUnder(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesUnder(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Shared libraries, by the paths under which the loader looks for them. */
export function librariesOf(program: string): readonly string[] {
  let said = '';
  try {
    said = execFileSync('ldd', [program], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    // For another C library or processor: it is not loaded here either.
  }
  return [...said.matchAll(/(?:=> )?(\/\S+) \(0x/g)].flatMap(([, path]) =>
    path === undefined ? [] : [path],
  );
}

/** `from` may be a link: what counts is what it leads to. */
export function fileEntry(path: string, from: string): TarEntry {
  const real = realpathSync(from);
  const { size: sizeBytes, mode } = statSync(real);
  const isExecutable = (mode & 0o100) !== 0;
  return {
    path,
    mode: isExecutable ? 0o755 : 0o644,
    content: { kind: 'file', file: real, sizeBytes },
  };
}

export function textEntry(path: string, content: string): TarEntry {
  return { path, mode: 0o644, content: { kind: 'bytes', bytes: Buffer.from(content) } };
}

/** With the folders that lead to each entry, in order of the paths. */
export function withFolders(entries: readonly TarEntry[]): readonly TarEntry[] {
  const all = new Map<string, TarEntry>();
  for (const entry of entries) {
    for (let path = dirname(entry.path); path !== '.'; path = dirname(path)) {
      if (!all.has(path)) all.set(path, { path, mode: 0o755, content: { kind: 'folder' } });
    }
    all.set(entry.path, entry);
  }
  return [...all.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}
