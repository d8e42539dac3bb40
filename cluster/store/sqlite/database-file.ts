/** What makes a file a store of ours: made whole or not at all, and checked whenever opened. */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { codeOf, messageOf } from '../../../core/errors.ts';
import { StoreError, type StoreErrorData } from '../store.ts';

/** `oebs`, in the header of the file (PRAGMA application_id). */
const APPLICATION_ID = 0x6f656273;
const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE documents (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE store (only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL) STRICT;
  INSERT INTO store (only, revision) VALUES (1, 0);
`;

/**
 * @param pageCountMax the file's limit, in pages of 4 KiB.
 * @throws StoreError; the file is then as it was.
 */
export function openDatabase(path: string, pageCountMax: number): DatabaseSync {
  if (!existsSync(path)) makeDatabase(path);
  else if (statSync(path).size === 0) throw damaged(path, 'it is empty');
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path, { timeout: 0 });
    checkDatabase(database, path);
    database.exec(`PRAGMA max_page_count = ${pageCountMax}`);
    return database;
  } catch (error) {
    database?.close();
    throw error instanceof StoreError ? error : storeErrorOf(error, path);
  }
}

/** Beside its place, then renamed: a crash in between leaves no half-made store behind. */
function makeDatabase(path: string): void {
  if (existsSync(`${path}-wal`)) throw damaged(path, 'its write-ahead log is there without it');
  const draft = `${path}.new`;
  try {
    rmSync(draft, { force: true });
    closeSync(openSync(draft, 'wx', 0o600));
    const database = new DatabaseSync(draft);
    try {
      database.exec(`BEGIN; ${SCHEMA}
        PRAGMA application_id = ${APPLICATION_ID};
        PRAGMA user_version = ${SCHEMA_VERSION};
        COMMIT`);
    } finally {
      database.close();
    }
    sync(draft);
    renameSync(draft, path);
    sync(dirname(path));
  } catch (error) {
    throw storeErrorOf(error, path);
  }
}

function sync(path: string): void {
  const descriptor = openSync(path, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function checkDatabase(database: DatabaseSync, path: string): void {
  // Before the first access, so that WAL needs no shared memory and the lock is never let go.
  database.exec('PRAGMA locking_mode = EXCLUSIVE');
  const applicationId = pragma(database, 'application_id');
  if (applicationId !== APPLICATION_ID) throw damaged(path, 'it is not a store of this program');
  const schemaVersion = Number(pragma(database, 'user_version'));
  if (schemaVersion > SCHEMA_VERSION) {
    throw new StoreError(
      { code: 'newer' },
      `the store ${path} has schema version ${schemaVersion}, this program knows ` +
        `${SCHEMA_VERSION}: it was written by a newer version; run that version`,
    );
  }
  if (schemaVersion !== SCHEMA_VERSION) throw damaged(path, `schema version ${schemaVersion}`);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cell_size_check = 1');
  // Takes the exclusive lock now, not at the first change.
  database.exec('BEGIN IMMEDIATE; COMMIT');
  const verdict = pragma(database, 'quick_check(1)');
  if (verdict !== 'ok') throw damaged(path, String(verdict).replaceAll(/\s+/g, ' '));
}

export function pragma(database: DatabaseSync, name: string): unknown {
  return Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0];
}

export function damaged(path: string, why: string): StoreError {
  return new StoreError(
    { code: 'damaged' },
    `the store ${path} is damaged (${why}): put it back from a backup, or move it away to start ` +
      'an empty one, which knows no volumes',
  );
}

/** Primary result codes of SQLite (sqlite.org/rescode.html). */
const CODES: Readonly<Record<number, StoreErrorData['code']>> = {
  5: 'locked',
  6: 'locked',
  11: 'damaged',
  13: 'full',
  26: 'damaged',
};

/** Any error of node:sqlite or node:fs, as one of ours. */
export function storeErrorOf(error: unknown, path: string): StoreError {
  const result = primaryResult(error);
  const code = codeOf(error) === 'ENOSPC' ? 'full' : (CODES[result] ?? 'unavailable');
  switch (code) {
    case 'damaged':
      return damaged(path, messageOf(error));
    case 'locked':
      return new StoreError({ code }, `the store ${path} is in use by another apiserver`, error);
    case 'full':
      return new StoreError(
        { code },
        `the store ${path} cannot grow: its file system is full; free some space`,
        error,
      );
    case 'unavailable':
    case 'newer':
    case 'exists':
    case 'conflict':
      return new StoreError(
        { code: 'unavailable' },
        `the store ${path} cannot be used: ${messageOf(error)}`,
        error,
      );
  }
}

export function isSqliteError(error: unknown): boolean {
  return primaryResult(error) !== -1;
}

function primaryResult(error: unknown): number {
  if (typeof error !== 'object' || error === null || !('errcode' in error)) return -1;
  return typeof error.errcode === 'number' ? error.errcode & 0xff : -1;
}
