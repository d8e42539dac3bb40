import { apiError } from '../../core/api/index.ts';
import type { Files, Logger } from '../../core/platform/index.ts';
import { readJsonFile, writeJsonFile } from '../state/json-file.ts';
import { revisionFileSchema } from '../state/schemas.ts';

export interface StoreGuardDependencies {
  readonly path: string;
  readonly files: Files;
  readonly log: Logger;
}

/**
 * Remembers the highest revision of the store ever seen, durably, and refuses to obey an apiserver
 * below it: its store was rolled back (R5), and what it orders may destroy what it has forgotten.
 */
export class StoreGuard {
  readonly #dependencies: StoreGuardDependencies;
  #highest: number;
  #written: number;
  #writing: Promise<void> = Promise.resolve();
  #refusal: string | null = null;

  private constructor(dependencies: StoreGuardDependencies, highest: number) {
    this.#dependencies = dependencies;
    this.#highest = highest;
    this.#written = highest;
  }

  static async open(dependencies: StoreGuardDependencies): Promise<StoreGuard> {
    const { files, path } = dependencies;
    const found = await readJsonFile(files, path, revisionFileSchema);
    return new StoreGuard(dependencies, found?.revision ?? 0);
  }

  get highest(): number {
    return this.#highest;
  }

  /** Why the apiserver is not obeyed; null if it is. */
  get refusal(): string | null {
    return this.#refusal;
  }

  /**
   * @param revision as answered.
   * @param highestWhenAsked `highest` at the time of the question: answers may overtake each other.
   */
  async note(revision: number, highestWhenAsked: number): Promise<void> {
    if (revision < highestWhenAsked) {
      if (this.#refusal === null) {
        this.#dependencies.log.error('the store was rolled back', { revision, highestWhenAsked });
      }
      this.#refusal =
        `the apiserver's store is at revision ${revision}, this node has seen ` +
        `${highestWhenAsked}: it was rolled back, and is not obeyed until an operator has looked`;
      return;
    }
    this.#refusal = null;
    if (revision <= this.#highest) return;
    this.#highest = revision;
    await this.#write();
  }

  /** A revision seen by the way: it can only raise the mark. */
  saw(revision: number): void {
    if (revision <= this.#highest) return;
    this.#highest = revision;
    this.#write().catch((error: unknown) => {
      this.#dependencies.log.error('store revision not written', { error });
    });
  }

  /** @throws ApiError */
  requireTrust(): void {
    if (this.#refusal !== null) throw apiError('unavailable', this.#refusal);
  }

  /** One write at a time; several new revisions meanwhile make one more. */
  async #write(): Promise<void> {
    const before = this.#writing;
    this.#writing = (async () => {
      await before.catch(() => undefined);
      const revision = this.#highest;
      if (revision <= this.#written) return;
      await writeJsonFile(this.#dependencies.files, this.#dependencies.path, { revision });
      this.#written = revision;
    })();
    await this.#writing;
  }
}
