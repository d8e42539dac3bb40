/**
 * How an fdatasync ended that a process was killed in (R14, adr/0004). Its own failure was told
 * to the process that is gone. But the kernel notes failed write-backs a second time, for syncfs,
 * and tells of each once: so it is asked there.
 *
 * What it told one replica it does not tell the next one in the same pool: whoever is told leaves a
 * number in the pool, higher by one, and each compares it with the one that it knew when its flag
 * was set. Plain writes: all this is of one boot, as the page cache is.
 */
import { messageOf } from '../../core/errors.ts';
import type { Files } from '../../core/platform/index.ts';
import type { SyncFlagState } from '../chain/index.ts';
import { closeFile, writeTo } from './callbacks.ts';

const NUMBER_BYTES = 4;

export class WriteBackCheck {
  readonly #files: Files;
  readonly #poolPath: string;

  constructor(files: Files, poolPath: string) {
    this.#files = files;
    this.#poolPath = poolPath;
  }

  /** Errors found in this pool so far. */
  async errorsKnown(): Promise<number> {
    try {
      const content = await this.#files.readWhole(this.#path, NUMBER_BYTES);
      return content.length === NUMBER_BYTES ? content.readUInt32LE(0) : 0;
    } catch {
      // Mostly there is none. What cannot be read tells nothing; the kernel still does.
      return 0;
    }
  }

  /** @returns why what the process before us answered may not be durable, or null. */
  async failureOf(flag: SyncFlagState): Promise<string | null> {
    switch (flag.kind) {
      case 'none':
        return null;
      case 'failed':
        return 'a flush failed before the last stop';
      case 'syncing': {
        const told = await this.#askKernel();
        if (told !== null) return told;
        // Read after the kernel was asked: whoever it told before us has been told by now.
        if ((await this.errorsKnown()) <= flag.errorsKnown) return null;
        return 'stopped in a flush, and a write-back in this pool has failed since';
      }
    }
  }

  /**
   * The failure that the kernel has to tell is known: new layers that are filled beside the failed
   * ones must not be taken for failed because of it. Whom else it concerns finds the number.
   */
  async takeKnownFailure(): Promise<void> {
    await this.#askKernel();
  }

  get #path(): string {
    return `${this.#poolPath}/write-back-errors`;
  }

  async #askKernel(): Promise<string | null> {
    try {
      await this.#files.syncFileSystem(this.#poolPath);
      return null;
    } catch (error) {
      await this.#count().catch(() => {
        // The medium fails already; this replica is marked failed either way.
      });
      return `stopped in a flush, and a write-back in this pool has failed: ${messageOf(error)}`;
    }
  }

  async #count(): Promise<void> {
    const content = Buffer.alloc(NUMBER_BYTES);
    content.writeUInt32LE(((await this.errorsKnown()) + 1) >>> 0);
    const there = await this.#files.exists(this.#path);
    const file = await this.#files.open(this.#path, there ? 'write' : 'create');
    try {
      await writeTo(file, content, 0);
    } finally {
      await closeFile(file);
    }
  }
}
