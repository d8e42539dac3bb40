/** What a replica knows and keeps, without the connections: its folder, its promise, its chain. */
import { messageOf } from '../../core/errors.ts';
import type { Platform } from '../../core/platform/index.ts';
import type { PromiseAnswer } from '../../core/wire/frame.ts';
import { type Chain, type ReplicaBreak, StorageError } from '../chain/index.ts';
import {
  allocatedBytesOf,
  type CacheId,
  cacheOfLayers,
  closeReplicaFolder,
  currentOf,
  type FailedMark,
  failedMarkOf,
  openLayersFolder,
  openReplicaFolder,
  promiseOf,
  type ReplicaFolder,
  type ReplicaIdentity,
  storeFailedMark,
  WriteBackCheck,
} from '../disk/index.ts';

const MARK_RETRY_MS = 1_000;
/** So that all fits into a slot. A mount id begins with what makes it unique. */
const MARK_LENGTH_MAX = 512;
const MOUNT_ID_LENGTH_MAX = 256;

export type EventLog = (event: string, fields: Readonly<Record<string, unknown>>) => void;

export interface StateOptions
  extends Pick<ReplicaIdentity, 'volumeId' | 'incarnation' | 'replicaId' | 'poolId'> {
  readonly poolPath: string;
  readonly log: EventLog;
  /**
   * What it must keep could not be stored, and nobody knows what the medium holds: it can promise
   * and store nothing any more. The process ends and is started again, which reads it anew.
   */
  readonly broken: (detail: string) => void;
  /** Rules switched off: only in the simulator's own tests. */
  readonly breaks: ReadonlySet<ReplicaBreak>;
}

/** These are told to the target; all others end the process, which says why. */
const TOLD_CODES: ReadonlySet<string> = new Set([
  'missing',
  'corrupt',
  'wrongPool',
  'wrongIdentity',
]);

/** What can be refused with a reason, and served on again when somebody acted. */
export function isTold(error: unknown): error is StorageError {
  return error instanceof StorageError && TOLD_CODES.has(error.code);
}

export class ReplicaState {
  readonly folder: ReplicaFolder;
  /** Of the mount that our files are on, while they are open, and of this life of `.live`. */
  readonly cache: CacheId;
  readonly #platform: Platform;
  readonly #log: EventLog;
  readonly #breaks: ReadonlySet<ReplicaBreak>;
  readonly #writeBack: WriteBackCheck;
  #promise: PromiseAnswer;
  #chain: Chain | null = null;
  #chainProblem: StorageError | null = null;
  /** Promises and copies of the record, one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  /** Failed flushes that are not marked yet: to end now would be to forget them. */
  #unmarkedCount = 0;
  #allocated: Promise<number> | null = null;
  #brokenDetail: string | null = null;
  #closed = false;
  readonly #broken: (detail: string) => void;

  private constructor(
    platform: Platform,
    options: Pick<StateOptions, 'log' | 'broken' | 'breaks' | 'poolPath'>,
    opened: { readonly folder: ReplicaFolder; readonly cache: CacheId },
  ) {
    this.#platform = platform;
    this.#log = options.log;
    this.#breaks = options.breaks;
    this.folder = opened.folder;
    this.cache = opened.cache;
    this.#writeBack = new WriteBackCheck(platform.files, options.poolPath);
    this.#broken = options.broken;
    for (const slot of [this.folder.promise, this.folder.record, this.folder.current]) {
      slot.onBroken = (detail) => {
        this.#brokenDetail ??= detail;
        this.#endIfBroken();
      };
    }
    this.#promise = promiseOf(opened.folder);
  }

  /** @throws StorageError */
  static async open(platform: Platform, options: StateOptions): Promise<ReplicaState> {
    const folder = await openReplicaFolder(platform.files, options.poolPath, options);
    try {
      const bootId = platform.host.bootId();
      const mountId = await platform.files.mountId(folder.path);
      const mount = { bootId, mountId: mountId.slice(0, MOUNT_ID_LENGTH_MAX) };
      const cache = await currentCache(platform, folder, mount);
      const state = new ReplicaState(platform, options, { folder, cache });
      await state.#openCurrent();
      return state;
    } catch (error) {
      await closeReplicaFolder(folder);
      throw error;
    }
  }

  get promise(): PromiseAnswer {
    return this.#promise;
  }

  /** Null when its layers are not whole (R6): only a rebuild helps then. */
  get chain(): Chain | null {
    return this.#chain;
  }

  get chainProblem(): StorageError | null {
    return this.#chainProblem;
  }

  get failed(): boolean {
    return this.#chain?.failed ?? false;
  }

  get record(): unknown {
    return this.folder.record.value;
  }

  /**
   * Strictly higher epochs only, the same one again only to the same instance (R8).
   *
   * @param onHigher called when the promise is durable, and before anything else happens: from
   * then on nothing of a lower epoch may be answered.
   */
  makePromise(
    epoch: number,
    instance: string,
    onHigher: () => void,
  ): Promise<'promised' | 'fenced'> {
    const own = this.#last.then(() => this.#promiseNow(epoch, instance, onHigher));
    this.#last = own.catch(() => undefined);
    return own;
  }

  /**
   * All that the chain has was written under the present kernel and mount: the promise says so
   * from now on, durably. Else a member that lost its cache, and was rebuilt since, would be taken
   * for one that lost it again (R15).
   */
  renewPromise(): Promise<void> {
    const own = this.#last.then(() => this.#renewNow());
    this.#last = own.catch(() => undefined);
    return own;
  }

  /**
   * Does nothing when another epoch is promised by the time it is its turn: after a promise no
   * older target changes the copy any more, so that what the new one is told of it stays true.
   *
   * @param judge may reject; asked when all earlier copies have been stored.
   */
  storeRecord<Rejected>(
    record: unknown,
    epoch: number,
    judge: (held: unknown) => 'store' | 'same' | Rejected,
  ): Promise<Rejected | null> {
    const own = this.#last.then(async () => {
      if (epoch !== this.#promise.epoch) return null;
      const verdict = judge(this.record);
      if (verdict !== 'store' && verdict !== 'same') return verdict;
      if (verdict === 'store') await this.folder.record.store(record);
      // The promised target's own record: it has judged us, and counts us in (R15).
      if (this.#isOwnRecord(record)) await this.#renewNow();
      return null;
    });
    this.#last = own.catch(() => undefined);
    return own;
  }

  /** Opens a layers folder of ours. */
  async openChain(name: string): Promise<Chain> {
    if (this.failed) await this.#writeBack.takeKnownFailure();
    const mark = failedMarkOf(this.folder);
    return openLayersFolder(this.#platform.files, `${this.folder.path}/${name}`, {
      sizeBytes: this.folder.identity.sizeBytes,
      cache: this.cache,
      clock: this.#platform.clock,
      writeBack: this.#writeBack,
      failure: mark?.folder === name ? mark.detail : null,
      onFailed: (detail, stored) => this.#markFailed(name, detail, stored),
      breaks: this.#breaks,
    });
  }

  /** The chain of the folder that `current` names by now. Closes the former one. */
  async adopt(chain: Chain): Promise<void> {
    const former = this.#chain;
    this.#chain = chain;
    this.#chainProblem = null;
    if (chain.failed) {
      const { folder: name } = currentOf(this.folder);
      await new Promise<void>((resolve) => {
        this.#markFailed(name, 'a flush failed while it was rebuilt', resolve);
      });
    }
    await former?.close();
  }

  /** What its layers take in the pool; 0 when they cannot be read. One look for all who ask. */
  allocatedBytes(): Promise<number> {
    this.#allocated ??= this.#lookAtAllocated().finally(() => {
      this.#allocated = null;
    });
    return this.#allocated;
  }

  async #lookAtAllocated(): Promise<number> {
    if (this.#chain === null) return 0;
    const { folder: name } = currentOf(this.folder);
    return allocatedBytesOf(this.#platform.files, `${this.folder.path}/${name}`);
  }

  /** Only when nothing is in flight. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
    await this.#chain?.close();
    await closeReplicaFolder(this.folder);
  }

  async #openCurrent(): Promise<void> {
    try {
      this.#chain = await this.openChain(currentOf(this.folder).folder);
    } catch (error) {
      if (!isTold(error)) throw error;
      this.#chainProblem = error;
      this.#log('layersLost', { path: error.data.path, detail: error.message });
    }
  }

  async #promiseNow(
    epoch: number,
    instance: string,
    onHigher: () => void,
  ): Promise<'promised' | 'fenced'> {
    const held = this.#promise;
    if (epoch === held.epoch && instance === held.instance) return 'promised';
    if (epoch <= held.epoch) return 'fenced';
    const { previous, ...made } = held;
    const { bootId, mountId } = held;
    const replaced = held.epoch === 0 ? null : made;
    const promise: PromiseAnswer = {
      epoch,
      instance,
      // A promise alone does not bring back what a cache lost since the last one.
      ...(held.epoch === 0 ? this.cache : { bootId, mountId }),
      previous: held.instance === instance ? previous : replaced,
    };
    await this.folder.promise.store(promise);
    this.#promise = promise;
    onHigher();
    return 'promised';
  }

  async #renewNow(): Promise<void> {
    const held = this.#promise;
    const { bootId, mountId } = this.cache;
    if (held.epoch === 0 || (held.bootId === bootId && held.mountId === mountId)) return;
    const promise: PromiseAnswer = { ...held, ...this.cache };
    await this.folder.promise.store(promise);
    this.#promise = promise;
  }

  #isOwnRecord(record: unknown): boolean {
    if (typeof record !== 'object' || record === null) return false;
    const { epoch, targetInstance } = record as Readonly<Record<string, unknown>>;
    return epoch === this.#promise.epoch && targetInstance === this.#promise.instance;
  }

  /** R14: known also after a restart. A rebuild that fails is dropped instead. */
  #markFailed(name: string, detail: string, stored: () => void): void {
    this.#log('flushFailed', { folder: name, detail });
    if (name !== currentOf(this.folder).folder) {
      stored();
      return;
    }
    const mark = { folder: name, detail: detail.slice(0, MARK_LENGTH_MAX) };
    this.#unmarkedCount += 1;
    this.folder.failed.store(mark).then(
      () => {
        stored();
        this.#unmarkedCount -= 1;
        this.#endIfBroken();
      },
      (error: unknown) => {
        this.#brokenDetail ??= messageOf(error);
        this.#log('markNotStored', { detail: messageOf(error) });
        stored();
        this.#markLater(mark);
      },
    );
  }

  /** Only this process knows: it goes on failing every flush until the mark is on the medium. */
  #markLater(mark: NonNullable<FailedMark>): void {
    const { clock, files } = this.#platform;
    clock.timer(MARK_RETRY_MS, () => {
      if (this.#closed) return;
      storeFailedMark(files, this.folder.path, mark).then(
        () => {
          this.#unmarkedCount -= 1;
          this.#endIfBroken();
        },
        () => this.#markLater(mark),
      );
    });
  }

  #endIfBroken(): void {
    if (this.#brokenDetail !== null && this.#unmarkedCount === 0) this.#broken(this.#brokenDetail);
  }
}

async function currentCache(
  platform: Platform,
  folder: ReplicaFolder,
  mount: CacheId,
): Promise<CacheId> {
  const { files, random } = platform;
  const { sizeBytes } = folder.identity;
  const path = `${folder.path}/${currentOf(folder).folder}`;
  try {
    return await cacheOfLayers(files, path, { sizeBytes, mount, fresh: () => random.uuid() });
  } catch (error) {
    if (!isTold(error)) throw error;
    // Without its layers it has nothing that a cache could have kept.
    return mount;
  }
}
