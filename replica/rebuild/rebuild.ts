import { assert } from '../../core/assert.ts';
import type { RebuildAnswer } from '../../core/wire/frame.ts';
import type { Chain, FetchBlock } from '../chain/index.ts';
import { Copy, type CopyOptions } from './copy.ts';

type Phase = RebuildAnswer['phase'];

/**
 * One rebuild: an empty chain beside the stale one, filled by live writes and a copy.
 *
 *     empty ──copy──▶ copying ──▶ copied ──commit──▶ committed
 *       └────────────────┴───────────┴──▶ failed
 */
export class Rebuild {
  readonly id: string;
  readonly folderName: string;
  readonly chain: Chain;
  #phase: Phase = 'empty';
  #error: string | null = null;
  #copy: Copy | null = null;
  #draining: Promise<void> | null = null;
  /** Blocks that live writes wait for until the source is known. */
  #early: Parameters<FetchBlock>[] = [];

  constructor(id: string, folderName: string, chain: Chain) {
    this.id = id;
    this.folderName = folderName;
    this.chain = chain;
    chain.fetchBlock = (block, done) => {
      if (this.#copy !== null) this.#copy.fetchBlock(block, done);
      else if (this.#phase === 'empty') this.#early.push([block, done]);
      else queueMicrotask(() => done(new Error(this.#reason()), Buffer.alloc(0)));
    };
  }

  get phase(): Phase {
    return this.#phase;
  }

  get answer(): RebuildAnswer {
    return {
      phase: this.#phase,
      copiedBytes: this.#copy?.copiedBytes ?? 0,
      totalBytes: this.#copy?.totalBytes ?? 0,
      error: this.#error,
    };
  }

  startCopy(options: Omit<CopyOptions, 'chain' | 'onEnd'>): void {
    assert(this.#phase === 'empty', 'a rebuild is copied once');
    this.#phase = 'copying';
    const copy = new Copy({
      ...options,
      chain: this.chain,
      onEnd: (error) => {
        if (error === null) this.#phase = 'copied';
        else this.#fail(error);
      },
    });
    this.#copy = copy;
    for (const [block, done] of this.#early.splice(0)) copy.fetchBlock(block, done);
  }

  /** Its folder is the current one, whatever else happened while that was stored. */
  committed(): void {
    this.#phase = 'committed';
    this.#error = null;
  }

  /** For good, unless it is committed. */
  stop(reason: string): void {
    if (this.#phase === 'committed' || this.#phase === 'failed') return;
    this.#fail(reason);
    this.#copy?.stop(reason);
    for (const [, done] of this.#early.splice(0)) done(new Error(reason), Buffer.alloc(0));
  }

  /** When no write of the copy is in flight any more; only after it has ended or was stopped. */
  drained(): Promise<void> {
    const copy = this.#copy;
    if (copy === null) return Promise.resolve();
    this.#draining ??= new Promise<void>((resolve) => {
      copy.whenIdle(resolve);
    });
    return this.#draining;
  }

  #fail(reason: string): void {
    this.#phase = 'failed';
    this.#error = reason;
  }

  #reason(): string {
    return this.#error ?? `the rebuild is ${this.#phase}`;
  }
}
