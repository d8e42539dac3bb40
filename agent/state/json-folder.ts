import { join } from 'node:path';
import type { z } from 'zod';
import type { Files } from '../../core/platform/index.ts';
import { readJsonFile, writeJsonFile } from './json-file.ts';
import { StateError } from './state-error.ts';

export interface JsonFolderOptions<Value> {
  readonly folder: string;
  /** Names of its files are `${prefix}${id}.json`. */
  readonly prefix: string;
  readonly schema: z.ZodType<Value>;
}

/**
 * Durable values by id, one file each, with a copy in memory that is changed only after the file.
 * A damaged file is set aside, with its reason: it must not take the rest of the node down.
 */
export class JsonFolder<Value extends object> {
  readonly #files: Files;
  readonly #options: JsonFolderOptions<Value>;
  readonly #values = new Map<string, Value>();
  readonly #damaged = new Map<string, string>();

  private constructor(files: Files, options: JsonFolderOptions<Value>) {
    this.#files = files;
    this.#options = options;
  }

  static async open<Value extends object>(
    files: Files,
    options: JsonFolderOptions<Value>,
  ): Promise<JsonFolder<Value>> {
    const folder = new JsonFolder(files, options);
    await folder.#readAll();
    return folder;
  }

  get(id: string): Value | null {
    return this.#values.get(id) ?? null;
  }

  ids(): readonly string[] {
    return [...this.#values.keys()];
  }

  values(): readonly Value[] {
    return [...this.#values.values()];
  }

  /** Why the file of this id cannot be used; null if it can, or if there is none. */
  damage(id: string): string | null {
    return this.#damaged.get(id) ?? null;
  }

  damagedIds(): readonly string[] {
    return [...this.#damaged.keys()];
  }

  damages(): readonly string[] {
    return [...this.#damaged.values()];
  }

  async put(id: string, value: Value): Promise<void> {
    await writeJsonFile(this.#files, this.#path(id), value);
    this.#values.set(id, value);
    this.#damaged.delete(id);
  }

  async remove(id: string): Promise<void> {
    await this.#files.remove(this.#path(id));
    await this.#files.syncFolder(this.#options.folder);
    this.#values.delete(id);
    this.#damaged.delete(id);
  }

  async #readAll(): Promise<void> {
    const { folder, prefix, schema } = this.#options;
    for (const name of await this.#files.list(folder)) {
      if (!name.startsWith(prefix) || !name.endsWith('.json')) continue;
      const id = name.slice(prefix.length, -'.json'.length);
      try {
        const value = await readJsonFile(this.#files, join(folder, name), schema);
        if (value !== null) this.#values.set(id, value);
      } catch (error) {
        if (!(error instanceof StateError)) throw error;
        this.#damaged.set(id, error.message);
      }
    }
  }

  #path(id: string): string {
    return join(this.#options.folder, `${this.#options.prefix}${id}.json`);
  }
}
