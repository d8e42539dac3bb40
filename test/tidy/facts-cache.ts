/**
 * The facts of source files from one run to the next: parsing all of them takes seconds, and few
 * have changed. Kept by what they follow from: the text, and the code and parser that read it.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { version } from '@swc/core';
import { type SourceFacts, sourceTree } from './source-facts.ts';

const DEFAULT_FILE = fileURLToPath(
  new URL('../../node_modules/.cache/source-facts.json', import.meta.url),
);
const READER = readFileSync(new URL('source-facts.ts', import.meta.url), 'utf8');

type Kept = Readonly<Record<string, SourceFacts>>;

/** As `sourceTree`; `parse` takes the files that `cacheFile` does not know. */
export function cachedSourceTree(
  files: ReadonlyMap<string, string>,
  cacheFile = DEFAULT_FILE,
  parse = sourceTree,
): Map<string, SourceFacts> {
  const kept = readKept(cacheFile);
  const keys = new Map([...files].map(([path, text]) => [path, keyOf(text)]));
  const isNew = ([path]: readonly [string, string]) => !Object.hasOwn(kept, keys.get(path) ?? '');
  const unknown = new Map([...files].filter(isNew));
  const parsed = parse(unknown);
  const tree = new Map<string, SourceFacts>();
  const next: Record<string, SourceFacts> = {};
  for (const path of files.keys()) {
    const key = keys.get(path) ?? '';
    const facts = parsed.get(path) ?? kept[key];
    if (facts === undefined) throw new Error(`${path} was neither parsed nor kept`);
    tree.set(path, facts);
    next[key] = facts;
  }
  if (unknown.size > 0) writeKept(cacheFile, next);
  return tree;
}

function keyOf(text: string): string {
  return createHash('sha256').update(`${version}\n${READER}\n${text}`).digest('hex');
}

function readKept(cacheFile: string): Kept {
  try {
    return JSON.parse(readFileSync(cacheFile, 'utf8')) as Kept;
  } catch {
    // Not there yet, or cut short: everything is parsed again.
    return {};
  }
}

/** By a rename: two tests may do so at once. */
function writeKept(cacheFile: string, kept: Kept): void {
  mkdirSync(dirname(cacheFile), { recursive: true });
  const temporary = `${cacheFile}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(kept));
  renameSync(temporary, cacheFile);
}
