import { codeOf } from '../../errors.ts';
import { type CrashMood, SimInode } from './inode.ts';
import type { SimRandom } from './random.ts';

export class SimFolder {
  readonly kind = 'folder';
  readonly entries = new Map<string, SimNode>();
  /** The entries that survive a power cut for certain. */
  readonly durable = new Map<string, SimNode>();
}

export type SimNode = SimInode | SimFolder;

interface EntryChange {
  readonly folder: SimFolder;
  readonly name: string;
  /** Null: the entry is gone. */
  readonly node: SimNode | null;
}

/** What one system call changed, all or nothing. */
type Transaction = readonly EntryChange[];

export function fileError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code, path });
}

/**
 * The tree of names. Changes go through a journal: a power cut keeps them up to some point, in
 * their order, as ext4 and XFS do. Only `syncFolder` commits; fdatasync of a file does not, which
 * is less than ext4 gives and all that POSIX promises.
 */
export class Namespace {
  readonly root = new SimFolder();
  #journal: Transaction[] = [];
  #committedCount = 0;

  /** @throws ENOENT, ENOTDIR */
  find(path: string): SimNode {
    let node: SimNode = this.root;
    for (const name of partsOf(path)) {
      if (node.kind !== 'folder') throw fileError('ENOTDIR', path);
      const next = node.entries.get(name);
      if (next === undefined) throw fileError('ENOENT', path);
      node = next;
    }
    return node;
  }

  exists(path: string): boolean {
    try {
      this.find(path);
      return true;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return false;
      throw error;
    }
  }

  findFolder(path: string): SimFolder {
    const node = this.find(path);
    if (node.kind !== 'folder') throw fileError('ENOTDIR', path);
    return node;
  }

  findFile(path: string): SimInode {
    const node = this.find(path);
    if (node.kind !== 'file') throw fileError('EISDIR', path);
    return node;
  }

  /** @throws EEXIST */
  create<Node extends SimNode>(path: string, node: Node): Node {
    const { folder, name } = this.#placeOf(path);
    if (folder.entries.has(name)) throw fileError('EEXIST', path);
    this.#log([{ folder, name, node }]);
    return node;
  }

  /** @returns the file that lost its name by it, or null. */
  rename(from: string, to: string): SimInode | null {
    const source = this.#placeOf(from);
    const target = this.#placeOf(to);
    const node = this.find(from);
    if (node.kind === 'folder' && `${to}/`.startsWith(`${from}/`) && to !== from) {
      throw fileError('EINVAL', to);
    }
    if (from.startsWith(`${to}/`)) throw fileError('ENOTEMPTY', to);
    const replaced = target.folder.entries.get(target.name) ?? null;
    if (replaced === node) return null;
    if (replaced?.kind === 'folder') {
      if (node.kind !== 'folder') throw fileError('EISDIR', to);
      if (replaced.entries.size > 0) throw fileError('ENOTEMPTY', to);
    } else if (replaced !== null && node.kind === 'folder') {
      throw fileError('ENOTDIR', to);
    }
    this.#log([
      { ...source, node: null },
      { ...target, node },
    ]);
    return replaced?.kind === 'file' ? replaced : null;
  }

  /** A file or an empty folder. @returns the file that lost its name, or null. */
  unlink(path: string): SimInode | null {
    const node = this.find(path);
    if (node.kind === 'folder' && node.entries.size > 0) throw fileError('ENOTEMPTY', path);
    this.#log([{ ...this.#placeOf(path), node: null }]);
    return node.kind === 'file' ? node : null;
  }

  /** Where an fsync of the folder that begins now must commit up to. */
  mark(folder: SimFolder): number {
    const last = this.#journal.findLastIndex((changes) =>
      changes.some((change) => change.folder === folder),
    );
    return this.#committedCount + last + 1;
  }

  markAll(): number {
    return this.#committedCount + this.#journal.length;
  }

  commit(mark: number): void {
    const count = Math.max(0, mark - this.#committedCount);
    const committed = this.#journal.slice(0, count);
    this.#journal = this.#journal.slice(count);
    this.#committedCount += committed.length;
    for (const changes of committed) applyTo('durable', changes);
  }

  commitAll(): void {
    this.commit(Number.MAX_SAFE_INTEGER);
  }

  /** Every file that has a name, or would have one again after a power cut. */
  files(which: 'entries' | 'durable'): readonly SimInode[] {
    const found = new Set<SimInode>();
    const visit = (folder: SimFolder): void => {
      for (const node of folder[which].values()) {
        if (node.kind === 'file') found.add(node);
        else visit(node);
      }
    };
    visit(this.root);
    return [...found];
  }

  crash(mood: CrashMood, random: SimRandom): void {
    let kept = 0;
    while (kept < this.#journal.length && random.chance(mood.keepProbability)) kept += 1;
    this.commit(this.#committedCount + kept);
    this.#journal = [];
    const restore = (folder: SimFolder): void => {
      folder.entries.clear();
      for (const [name, node] of folder.durable) {
        folder.entries.set(name, node);
        if (node.kind === 'folder') restore(node);
      }
    };
    restore(this.root);
    for (const inode of this.files('entries')) {
      inode.linked = true;
      inode.openCount = 0;
      inode.crash(mood, random);
    }
  }

  #placeOf(path: string): { readonly folder: SimFolder; readonly name: string } {
    const parts = partsOf(path);
    const name = parts.pop();
    if (name === undefined) throw fileError('EBUSY', path);
    return { folder: this.findFolder(parts.join('/')), name };
  }

  #log(changes: Transaction): void {
    applyTo('entries', changes);
    this.#journal.push(changes);
  }
}

function applyTo(which: 'entries' | 'durable', changes: Transaction): void {
  for (const { folder, name, node } of changes) {
    if (node === null) folder[which].delete(name);
    else folder[which].set(name, node);
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
