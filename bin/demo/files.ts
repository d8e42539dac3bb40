/** Files with known checksums, to write to a volume and to look for later. */
import { createHash, randomFillSync } from 'node:crypto';
import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { MiB } from '../../core/units.ts';

/** SHA-256 of every file, by its path from the mount point. */
export type Manifest = Map<string, string>;

const NOT_SOURCE = new Set(['node_modules', '.git', '.make', 'coverage']);
const FILE_BYTES = MiB;

export function checksum(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Copies a tree. Each file is read once: what is written is what the checksum is of. */
export async function copyTree(from: string, to: string, manifest: Manifest): Promise<number> {
  const paths = await filesBelow(from);
  for (const path of paths) {
    const name = relative(from, path);
    const content = await readFile(path);
    await mkdir(join(to, dirname(name)), { recursive: true });
    await writeFile(join(to, name), content);
    manifest.set(join(basename(to), name), checksum(content));
  }
  return paths.length;
}

/** Compares every file below the mount point with the manifest. @throws Error naming the first. */
export async function verifyFiles(mountpoint: string, manifest: Manifest): Promise<number> {
  const found = new Set((await filesBelow(mountpoint)).map((path) => relative(mountpoint, path)));
  for (const [path, expected] of manifest) {
    if (!found.delete(path)) throw new Error(`${path} was written, but is not there`);
    const actual = checksum(await readFile(join(mountpoint, path)));
    if (actual !== expected) throw new Error(`${path} has other bytes than were written`);
  }
  const [extra] = found;
  if (extra !== undefined) throw new Error(`${extra} is there, but was never written`);
  return manifest.size;
}

/** Links and devices do not count: only what has bytes. */
async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const paths: string[] = [];
  for (const entry of entries) {
    if (NOT_SOURCE.has(entry.name) || entry.name === 'lost+found') continue;
    const path = join(folder, entry.name);
    if (entry.isDirectory()) paths.push(...(await filesBelow(path)));
    else if (entry.isFile()) paths.push(path);
  }
  return paths.toSorted();
}

/**
 * Writes one file of random bytes after another, each followed by fsync, until it is stopped, and
 * keeps the longest time that one took: what a program on the volume would have noticed.
 */
export class Writer {
  readonly mountpoint: string;
  readonly #folder: string;
  readonly #manifest: Manifest;
  #isStopped = false;
  #fileCount = 0;
  #pauseMsMax = 0;
  #running: Promise<void> = Promise.resolve();
  #failure: Error | null = null;

  constructor(mountpoint: string, manifest: Manifest) {
    this.mountpoint = mountpoint;
    this.#folder = join(mountpoint, 'written');
    this.#manifest = manifest;
  }

  get writtenBytes(): number {
    return this.#fileCount * FILE_BYTES;
  }

  get pauseMsMax(): number {
    return this.#pauseMsMax;
  }

  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    this.#isStopped = false;
    this.#running = this.#run().catch((error: unknown) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    });
  }

  /** Resolves when another `count` files are on disk. @throws the first error of a write. */
  async write(count: number): Promise<void> {
    const goal = this.#fileCount + count;
    while (this.#fileCount < goal) {
      this.throwIfFailed();
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  throwIfFailed(): void {
    if (this.#failure === null) return;
    throw new Error(`writing to the volume failed: ${this.#failure.message}`, {
      cause: this.#failure,
    });
  }

  /** Forgets the pauses of an earlier part of the story. */
  resetPause(): void {
    this.#pauseMsMax = 0;
  }

  /** @throws the first error of a write. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    this.throwIfFailed();
  }

  async #run(): Promise<void> {
    const content = Buffer.alloc(FILE_BYTES);
    while (!this.#isStopped) {
      randomFillSync(content);
      const name = `file-${String(this.#fileCount).padStart(5, '0')}`;
      const startedMs = performance.now();
      await using file = await open(join(this.#folder, name), 'wx');
      await file.writeFile(content);
      await file.sync();
      this.#pauseMsMax = Math.max(this.#pauseMsMax, performance.now() - startedMs);
      this.#manifest.set(`written/${name}`, checksum(content));
      this.#fileCount += 1;
    }
  }
}
