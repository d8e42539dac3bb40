import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { assert } from '../../../core/assert.ts';
import { crc32c } from '../../../core/crc32c/index.ts';
import {
  type DocumentList,
  type DocumentVersion,
  type Store,
  type StoredDocument,
  StoreError,
} from '../store.ts';
import { damaged, isSqliteError, openDatabase, storeErrorOf } from './database-file.ts';

export interface SqliteStoreOptions {
  /** The file's limit, in pages of 4 KiB. */
  readonly pageCountMax?: number;
}

/** 4 GiB: far above the documents of any cluster, and still a limit. */
const PAGE_COUNT_MAX = 1_048_576;

/**
 * Each call is one synchronous SQLite transaction, so calls of one process never overlap; a
 * commit takes one fsync.
 */
export class SqliteStore implements Store {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  /** Set once the file cannot be trusted to have what was answered. */
  #unusable: StoreError | null = null;

  private constructor(path: string, database: DatabaseSync) {
    this.#path = path;
    this.#database = database;
    this.#statements = prepare(database);
  }

  /** @throws StoreError `locked`, `newer`, `damaged`, `full` or `unavailable`, with a sentence. */
  static async open(path: string, options: SqliteStoreOptions = {}): Promise<SqliteStore> {
    const database = openDatabase(path, options.pageCountMax ?? PAGE_COUNT_MAX);
    try {
      const store = new SqliteStore(path, database);
      store.#checkAll();
      return store;
    } catch (error) {
      database.close();
      throw isSqliteError(error) ? storeErrorOf(error, path) : error;
    }
  }

  async revision(): Promise<number> {
    return this.#guarded(() => this.#revision());
  }

  async get(kind: string, id: string): Promise<StoredDocument | null> {
    return this.#guarded(() => this.#read(kind, id));
  }

  async list(kind: string): Promise<DocumentList> {
    return this.#transaction(() => ({
      revision: this.#revision(),
      documents: this.#statements.list.all(kind).map((row) => this.#document(kind, row)),
    }));
  }

  async create(kind: string, id: string, value: unknown): Promise<StoredDocument> {
    const body = JSON.stringify(value);
    return this.#transaction(() => {
      if (this.#read(kind, id) !== null) {
        throw new StoreError({ code: 'exists' }, `the store has a ${kind} ${id} already`);
      }
      const version = this.#nextRevision();
      const checksum = checksumOf({ kind, id, version }, body);
      this.#statements.insert.run(kind, id, version, body, checksum);
      return this.#written(kind, id);
    });
  }

  async swap(expected: DocumentVersion, value: unknown): Promise<StoredDocument> {
    const body = JSON.stringify(value);
    const { kind, id } = expected;
    return this.#transaction(() => {
      this.#checkVersion(expected);
      const version = this.#nextRevision();
      const checksum = checksumOf({ kind, id, version }, body);
      this.#statements.update.run(version, body, checksum, kind, id);
      return this.#written(kind, id);
    });
  }

  async remove(expected: DocumentVersion): Promise<void> {
    this.#transaction(() => {
      this.#checkVersion(expected);
      this.#nextRevision();
      this.#statements.remove.run(expected.kind, expected.id);
    });
  }

  async close(): Promise<void> {
    if (!this.#database.isOpen) return;
    this.#unusable ??= new StoreError({ code: 'unavailable' }, `the store ${this.#path} is closed`);
    this.#database.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #revision(): number {
    return integer(this.#statements.revision.get()?.['revision']);
  }

  #nextRevision(): number {
    return integer(this.#statements.nextRevision.get()?.['revision']);
  }

  #read(kind: string, id: string): StoredDocument | null {
    const row = this.#statements.get.get(kind, id);
    return row === undefined ? null : this.#document(kind, row);
  }

  /** SQLite checks its structure, not what is in it: a changed digit of an epoch is found here. */
  #document(kind: string, row: Row): StoredDocument {
    const { id, body, checksum } = row;
    assert(typeof id === 'string' && typeof body === 'string', 'columns are strict text');
    const version = integer(row['version']);
    if (checksum !== checksumOf({ kind, id, version }, body)) {
      throw damaged(this.#path, `the ${kind} ${id} fails its checksum`);
    }
    return { kind, id, version, value: JSON.parse(body) as unknown };
  }

  #checkAll(): void {
    const revision = this.#revision();
    for (const row of this.#statements.all.iterate()) {
      const document = this.#document(String(row['kind']), row);
      if (document.version <= revision) continue;
      throw damaged(this.#path, `the ${document.kind} ${document.id} is newer than the store`);
    }
  }

  #written(kind: string, id: string): StoredDocument {
    const document = this.#read(kind, id);
    assert(document !== null, 'a document that was written is there');
    return document;
  }

  #checkVersion({ kind, id, version }: DocumentVersion): void {
    const current = this.#read(kind, id);
    if (current?.version === version) return;
    const found = current === null ? 'it is gone' : `it has version ${current.version}`;
    throw new StoreError(
      { code: 'conflict', current },
      `the ${kind} ${id} no longer has version ${version}: ${found}`,
    );
  }

  #transaction<Answer>(work: () => Answer): Answer {
    return this.#guarded(() => {
      this.#database.exec('BEGIN IMMEDIATE');
      try {
        const answer = work();
        this.#database.exec('COMMIT');
        return answer;
      } catch (error) {
        // SQLite has rolled back by itself after some errors.
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
        throw error;
      }
    });
  }

  #guarded<Answer>(work: () => Answer): Answer {
    if (this.#unusable !== null) throw this.#unusable;
    try {
      return work();
    } catch (cause) {
      const error = isSqliteError(cause) ? storeErrorOf(cause, this.#path) : cause;
      if (!(error instanceof StoreError)) throw error;
      // A commit that failed half-way may show up at the next recovery: answer nothing till then.
      if (error.code === 'unavailable' || error.code === 'damaged') this.#unusable = error;
      throw error;
    }
  }
}

type Statements = Readonly<
  Record<
    'revision' | 'nextRevision' | 'get' | 'list' | 'all' | 'insert' | 'update' | 'remove',
    StatementSync
  >
>;

function prepare(database: DatabaseSync): Statements {
  const select = 'SELECT kind, id, version, body, checksum FROM documents';
  return {
    revision: database.prepare('SELECT revision FROM store'),
    nextRevision: database.prepare('UPDATE store SET revision = revision + 1 RETURNING revision'),
    get: database.prepare(`${select} WHERE kind = ? AND id = ?`),
    list: database.prepare(`${select} WHERE kind = ? ORDER BY id`),
    all: database.prepare(select),
    insert: database.prepare(
      'INSERT INTO documents (kind, id, version, body, checksum) VALUES (?, ?, ?, ?, ?)',
    ),
    update: database.prepare(
      'UPDATE documents SET version = ?, body = ?, checksum = ? WHERE kind = ? AND id = ?',
    ),
    remove: database.prepare('DELETE FROM documents WHERE kind = ? AND id = ?'),
  };
}

type Row = Readonly<Record<string, unknown>>;

function checksumOf({ kind, id, version }: DocumentVersion, body: string): number {
  return crc32c(Buffer.from(`${kind}\0${id}\0${version}\0${body}`));
}

function integer(value: unknown): number {
  assert(Number.isSafeInteger(value), 'revisions are safe integers');
  return value as number;
}
