/**
 * What a target orders (replication R22–R24): begin, copy, status, commit, finish, abandon. A new
 * folder is filled beside the stale one, which goes only when the record names this replica in
 * sync (R23).
 */
import { blockError } from '../../core/block/block-device.ts';
import { messageOf } from '../../core/errors.ts';
import type { Platform } from '../../core/platform/index.ts';
import type {
  HelloRequest,
  RebuildAnswer,
  RebuildRequest,
  Refusal,
} from '../../core/wire/frame.ts';
import type { Chain, ReplicaBreak } from '../chain/index.ts';
import {
  type CurrentLayers,
  createLayersFolder,
  currentOf,
  nextLayersName,
  type ReplicaFolder,
  removeRetired,
  retireLayers,
} from '../disk/index.ts';
import { noRoomSentence, ROOM_KEPT_BYTES } from './copy.ts';
import { Rebuild } from './rebuild.ts';

/** What orders need of the replica that they are given to. */
export interface RebuildHost {
  readonly platform: Platform;
  readonly folder: ReplicaFolder;
  /** Rules switched off: only in the simulator's own tests. */
  readonly breaks: ReadonlySet<ReplicaBreak>;
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void;
  openChain(folderName: string): Promise<Chain>;
  /** Ends the data session that writes to this chain; resolves when nothing is in flight. */
  releaseChain(chain: Chain): Promise<void>;
  /** From now on this chain is the replica; what used the former one has ended. */
  adoptChain(chain: Chain): Promise<void>;
  /** The hello to a source, under the present promise. */
  sourceHello(replicaId: string): HelloRequest;
}

export type OrderResult =
  | { readonly kind: 'answer'; readonly answer: RebuildAnswer }
  | { readonly kind: 'refused'; readonly refusal: Refusal }
  | { readonly kind: 'badRequest'; readonly detail: string };

const NOTHING: RebuildAnswer = { phase: 'none', copiedBytes: 0, totalBytes: 0, error: null };

export class RebuildOrders {
  readonly #host: RebuildHost;
  #rebuild: Rebuild | null = null;
  /** One order after the other; a promise of a newer target waits for none of them. */
  #last: Promise<unknown> = Promise.resolve();
  #cleaning: Promise<void> = Promise.resolve();

  constructor(host: RebuildHost) {
    this.#host = host;
  }

  get current(): Rebuild | null {
    return this.#rebuild;
  }

  /** @param valid asked before each order begins: false when a newer target took over. */
  order(request: RebuildRequest, valid: () => boolean): Promise<OrderResult | null> {
    const own = this.#last.then(() => (valid() ? this.#carryOut(request) : null));
    this.#last = own.catch(() => undefined);
    return own;
  }

  /** A newer target took over: what the old one ordered ends, and nothing of it is in flight. */
  async supersede(): Promise<void> {
    const reason = 'a newer target took over';
    this.#rebuild?.stop(reason);
    await this.#last;
    // The order that was being carried out may have begun another one.
    this.#rebuild?.stop(reason);
    await this.#rebuild?.drained();
  }

  /** Nothing of it is in flight afterwards. An unfinished rebuild is dropped at the next start. */
  async close(): Promise<void> {
    this.#rebuild?.stop('the replica stops');
    await this.#last;
    const rebuild = this.#rebuild;
    this.#rebuild = null;
    if (rebuild !== null && !this.#isCurrent(rebuild)) await this.#letGo(rebuild);
    await this.#cleaning;
  }

  /** Gives the space of retired folders back, beside everything else. */
  clean(): void {
    const { platform, folder, log } = this.#host;
    this.#cleaning = this.#cleaning
      .then(() => removeRetired(platform.files, folder.path))
      .catch((error: unknown) => log('cleanFailed', { detail: messageOf(error) }));
  }

  #carryOut(request: RebuildRequest): Promise<OrderResult> | OrderResult {
    switch (request.action) {
      case 'begin':
        return this.#begin(request.rebuildId);
      case 'copy':
        return this.#copy(request);
      case 'status':
        return answer(this.#statusOf(request.rebuildId));
      case 'commit':
        return this.#commit(request.rebuildId);
      case 'finish':
        return this.#finish(request.rebuildId);
      case 'abandon':
        return this.#abandon(request.rebuildId);
    }
  }

  async #begin(rebuildId: string): Promise<OrderResult> {
    const { platform, folder, log } = this.#host;
    const { files, random } = platform;
    await this.#dropUnfinished();
    await this.#dropStale();
    await this.#cleaning;
    const { freeBytes } = await files.space(folder.path);
    if (freeBytes < ROOM_KEPT_BYTES) {
      const detail = noRoomSentence(ROOM_KEPT_BYTES, freeBytes);
      return { kind: 'refused', refusal: { code: 'noRoom', detail } };
    }
    const name = await nextLayersName(files, folder.path);
    const { sizeBytes } = folder.identity;
    try {
      await createLayersFolder(files, `${folder.path}/${name}`, {
        sizeBytes,
        headId: random.uuid(),
      });
      this.#rebuild = new Rebuild(rebuildId, name, await this.#host.openChain(name));
    } catch (error) {
      await retireLayers(files, folder.path, name);
      this.clean();
      throw error;
    }
    log('rebuildBegun', { rebuildId, folder: name });
    return answer(this.#rebuild.answer);
  }

  #copy(request: Extract<RebuildRequest, { action: 'copy' }>): OrderResult {
    const rebuild = this.#find(request.rebuildId);
    if (rebuild === null) return noSuch(request.rebuildId);
    if (rebuild.phase !== 'empty') return wrongPhase(rebuild, 'copied');
    const { platform, folder, log } = this.#host;
    const { address, replicaId } = request.source;
    rebuild.startCopy({
      network: platform.network,
      clock: platform.clock,
      address,
      hello: this.#host.sourceHello(replicaId),
      freeBytes: async () => (await platform.files.space(folder.path)).freeBytes,
    });
    log('rebuildCopies', { rebuildId: rebuild.id, source: replicaId });
    return answer(rebuild.answer);
  }

  #statusOf(rebuildId: string): RebuildAnswer {
    const rebuild = this.#find(rebuildId);
    if (rebuild !== null) return rebuild.answer;
    const isCurrent = currentOf(this.#host.folder).rebuildId === rebuildId;
    return isCurrent ? { ...NOTHING, phase: 'committed' } : NOTHING;
  }

  /** Data, index and metadata durable; then the pointer; only then is it the replica. */
  async #commit(rebuildId: string): Promise<OrderResult> {
    const rebuild = this.#find(rebuildId);
    if (rebuild === null) {
      const known = this.#statusOf(rebuildId);
      return known.phase === 'committed' ? answer(known) : noSuch(rebuildId);
    }
    if (rebuild.phase === 'committed') return answer(rebuild.answer);
    if (rebuild.phase !== 'copied') return wrongPhase(rebuild, 'committed');
    const { platform, folder, log } = this.#host;
    if (!this.#host.breaks.has('R24-commit-unflushed')) await flushed(rebuild.chain);
    await platform.files.syncFolder(folder.path);
    // A newer target may have come meanwhile.
    if (rebuild.phase !== 'copied') return wrongPhase(rebuild, 'committed');
    const before = currentOf(folder);
    const current: CurrentLayers = {
      folder: rebuild.folderName,
      stale: before.folder,
      rebuildId: rebuild.id,
    };
    await folder.current.store(current);
    await this.#host.adoptChain(rebuild.chain);
    rebuild.committed();
    log('rebuildCommitted', { rebuildId, folder: rebuild.folderName });
    return answer(rebuild.answer);
  }

  async #finish(rebuildId: string): Promise<OrderResult> {
    const isCurrent = currentOf(this.#host.folder).rebuildId === rebuildId;
    if (!isCurrent) return noSuch(rebuildId);
    await this.#dropStale();
    this.#rebuild = null;
    this.#host.log('rebuildFinished', { rebuildId });
    return answer(NOTHING);
  }

  async #abandon(rebuildId: string): Promise<OrderResult> {
    const rebuild = this.#find(rebuildId);
    if (rebuild === null || this.#isCurrent(rebuild)) {
      return answer(this.#statusOf(rebuildId));
    }
    await this.#dropUnfinished();
    this.#host.log('rebuildAbandoned', { rebuildId });
    return answer(NOTHING);
  }

  async #dropUnfinished(): Promise<void> {
    const rebuild = this.#rebuild;
    this.#rebuild = null;
    if (rebuild === null || this.#isCurrent(rebuild)) return;
    const { platform, folder } = this.#host;
    await this.#letGo(rebuild);
    await retireLayers(platform.files, folder.path, rebuild.folderName);
    this.clean();
  }

  async #letGo(rebuild: Rebuild): Promise<void> {
    rebuild.stop('the rebuild was given up');
    await rebuild.drained();
    await this.#host.releaseChain(rebuild.chain);
    await rebuild.chain.close();
  }

  /** The pointer first: a folder that nothing names is dropped at the next start. */
  async #dropStale(): Promise<void> {
    const { platform, folder } = this.#host;
    const current = currentOf(folder);
    if (current.stale === null) return;
    await folder.current.store({ ...current, stale: null });
    await retireLayers(platform.files, folder.path, current.stale);
    this.clean();
  }

  #isCurrent(rebuild: Rebuild): boolean {
    return currentOf(this.#host.folder).folder === rebuild.folderName;
  }

  #find(rebuildId: string): Rebuild | null {
    return this.#rebuild?.id === rebuildId ? this.#rebuild : null;
  }
}

function answer(content: RebuildAnswer): OrderResult {
  return { kind: 'answer', answer: content };
}

function noSuch(rebuildId: string): OrderResult {
  const detail = `there is no rebuild ${rebuildId} here`;
  return { kind: 'refused', refusal: { code: 'noSuchRebuild', detail } };
}

function wrongPhase(rebuild: Rebuild, wanted: string): OrderResult {
  const { phase, error } = rebuild.answer;
  const why = error === null ? '' : ` (${error})`;
  const detail = `rebuild ${rebuild.id} is ${phase}${why} and cannot be ${wanted}`;
  return { kind: 'badRequest', detail };
}

function flushed(chain: Chain): Promise<void> {
  return new Promise((resolve, reject) => {
    chain.flush((error) => {
      if (error === null) resolve();
      else reject(blockError('mediumError', `the rebuild cannot be committed: ${error.message}`));
    });
  });
}
