import { apiError, type PoolReport } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import type { FileSystemSpace, Files, Random } from '../../core/platform/index.ts';
import { formatBytes } from '../../core/units.ts';
import { holdingMount, readMounts } from '../host/mount-table.ts';
import type { SystemFiles } from '../host/system-files.ts';
import type { AgentFile } from '../state/schemas.ts';
import { keptBytes, promisableBytes, type Reservation } from './capacity.ts';
import { checkPool, openPool } from './pool-identity.ts';
import type { PoolOption } from './pool-option.ts';

/** What one replica takes of the pool it is in. */
export interface PoolReservation extends Reservation {
  readonly poolId: string;
}

export interface PoolsOptions {
  readonly node: string;
  readonly pools: readonly PoolOption[];
  /** Kept free per file system, in bytes; null: 5 %, at least 1 GiB. */
  readonly keepBytes: number | null;
  readonly bootId: string;
}

export interface PoolsDependencies {
  readonly files: Files;
  readonly random: Random;
  readonly system: SystemFiles;
  /** What agent.json knows, and how it learns more. */
  readonly known: () => AgentFile['pools'];
  readonly saveKnown: (pools: AgentFile['pools']) => Promise<void>;
}

interface Pool extends PoolOption {
  /** Null: never was one yet. */
  readonly poolId: string | null;
}

interface PoolLook {
  readonly pool: Pool;
  readonly poolId: string;
  readonly reason: string;
  readonly fileSystemId: string;
  readonly space: FileSystemSpace;
}

const NO_SPACE: FileSystemSpace = { totalBytes: 0, freeBytes: 0 };

/** The node's folders for replicas. Every look is a new one: disks come and go. */
export class Pools {
  readonly #options: PoolsOptions;
  readonly #dependencies: PoolsDependencies;
  /** By path: why a folder did not become a pool when the agent started. */
  readonly #refusals = new Map<string, string>();

  constructor(options: PoolsOptions, dependencies: PoolsDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Mints the id files of pools that are new; what fails shows in the report. */
  async open(): Promise<void> {
    const { files, random } = this.#dependencies;
    for (const pool of this.#pools()) {
      if (pool.poolId !== null) continue;
      const { node } = this.#options;
      const check = await openPool(files, random, { path: pool.path, node, knownId: null });
      if (check.kind === 'failed') {
        this.#refusals.set(pool.path, check.reason);
        continue;
      }
      const known = this.#dependencies.known();
      await this.#dependencies.saveKnown([...known, { path: pool.path, poolId: check.poolId }]);
    }
  }

  async report(reservations: readonly PoolReservation[]): Promise<readonly PoolReport[]> {
    const looks = await this.#lookAtAll();
    return looks.map((look) => this.#reportOf(look, looks, reservations));
  }

  /** Where the pool should be, unchecked; null if it is not one of this node's. */
  path(poolId: string): string | null {
    return this.#pools().find((pool) => pool.poolId === poolId)?.path ?? null;
  }

  /** The pool's folder, if it is there and is that pool right now. @throws ApiError */
  async folder(poolId: string): Promise<string> {
    const { files } = this.#dependencies;
    const pool = this.#pools().find((candidate) => candidate.poolId === poolId);
    if (pool === undefined) {
      throw apiError('notFound', `node ${this.#options.node} has no pool ${poolId}`);
    }
    const { node } = this.#options;
    const check = await checkPool(files, { path: pool.path, node, knownId: poolId });
    if (check.kind === 'online') return pool.path;
    throw apiError('unavailable', `pool ${pool.name} of node ${node}: ${check.reason}`);
  }

  /** @throws ApiError noSpace unless `sizeBytes` more can be promised in the pool. */
  async requireRoom(
    poolId: string,
    sizeBytes: number,
    reservations: readonly PoolReservation[],
  ): Promise<void> {
    const reports = await this.report(reservations);
    const report = reports.find(({ id }) => id === poolId);
    if (report !== undefined && report.availableBytes >= sizeBytes) return;
    const available = formatBytes(report?.availableBytes ?? 0);
    const where = `pool ${report?.name ?? poolId} of node ${this.#options.node}`;
    throw apiError(
      'noSpace',
      `${where} can promise ${available} more, ${formatBytes(sizeBytes)} are asked for: ` +
        'add a pool or delete volumes',
    );
  }

  #pools(): readonly Pool[] {
    const known = this.#dependencies.known();
    return this.#options.pools.map((option) => ({
      ...option,
      poolId: known.find(({ path }) => path === option.path)?.poolId ?? null,
    }));
  }

  async #lookAtAll(): Promise<readonly PoolLook[]> {
    return Promise.all(this.#pools().map((pool) => this.#lookAt(pool)));
  }

  async #lookAt(pool: Pool): Promise<PoolLook> {
    const { files } = this.#dependencies;
    const { node } = this.#options;
    const { path, poolId: knownId } = pool;
    const nowhere = { pool, poolId: knownId ?? '', fileSystemId: '', space: NO_SPACE };
    if (knownId === null) return { ...nowhere, reason: this.#refusals.get(path) ?? 'not opened' };
    const check = await checkPool(files, { path, node, knownId });
    if (check.kind === 'failed') return { ...nowhere, reason: check.reason };
    try {
      const space = await files.space(path);
      return { ...nowhere, space, fileSystemId: await this.#fileSystemId(path), reason: '' };
    } catch (error) {
      return { ...nowhere, reason: `${path}: ${messageOf(error)}` };
    }
  }

  /** With the boot id, so that agents of one machine tell the same id for the same disk. */
  async #fileSystemId(path: string): Promise<string> {
    const { system } = this.#dependencies;
    const realPath = (await system.realPath(path)) ?? path;
    const mount = holdingMount(await readMounts(system), realPath);
    return `${this.#options.bootId}:${mount?.device ?? path}`;
  }

  #reportOf(
    look: PoolLook,
    looks: readonly PoolLook[],
    reservations: readonly PoolReservation[],
  ): PoolReport {
    const { pool, poolId, reason, space, fileSystemId } = look;
    const neighbours = new Set(
      looks.filter((other) => other.fileSystemId === fileSystemId).map((other) => other.poolId),
    );
    const onFileSystem = reservations.filter((reserved) => neighbours.has(reserved.poolId));
    const kept = keptBytes(space, this.#options.keepBytes);
    return {
      id: poolId,
      name: pool.name,
      path: pool.path,
      fileSystemId,
      totalBytes: space.totalBytes,
      freeBytes: space.freeBytes,
      reservedBytes: reservations
        .filter((reserved) => reserved.poolId === poolId)
        .reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      availableBytes: reason === '' ? promisableBytes(space, onFileSystem, kept) : 0,
      state: reason === '' ? 'online' : 'failed',
      reason,
    };
  }
}
