import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity } from './processes.ts';

export interface RunEntry {
  readonly identity: ProcessIdentity;
  readonly argv: readonly string[];
}

/** Which processes this cluster has, for the next `maya up` to take over. */
export interface RunRecord {
  /** Null when there is none, or none that can be read. */
  read(name: string): RunEntry | null;
  write(name: string, entry: RunEntry): void;
  remove(name: string): void;
  names(): readonly string[];
}

/**
 * One small file a process. Not durable, for no process outlives a power cut; written at once
 * (synchronously), so that a process is known from its first moment.
 */
export class RunRecordFolder implements RunRecord {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  read(name: string): RunEntry | null {
    try {
      return parseEntry(JSON.parse(readFileSync(this.#path(name), 'utf8')));
    } catch {
      return null;
    }
  }

  write(name: string, entry: RunEntry): void {
    const path = this.#path(name);
    writeFileSync(`${path}.new`, `${JSON.stringify(entry)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  remove(name: string): void {
    rmSync(this.#path(name), { force: true });
  }

  names(): readonly string[] {
    const files = readdirSync(this.#folder).filter((file) => file.endsWith('.json'));
    return files.map((file) => file.slice(0, -'.json'.length)).toSorted();
  }

  #path(name: string): string {
    return join(this.#folder, `${name}.json`);
  }
}

function parseEntry(value: unknown): RunEntry | null {
  const { identity, argv } = value as { identity?: ProcessIdentity; argv?: unknown };
  if (!Array.isArray(argv) || !argv.every((word) => typeof word === 'string')) return null;
  const isWhole =
    Number.isSafeInteger(identity?.pid) &&
    Number.isSafeInteger(identity?.startTicks) &&
    typeof identity?.bootId === 'string';
  return isWhole && identity !== undefined ? { identity, argv } : null;
}
