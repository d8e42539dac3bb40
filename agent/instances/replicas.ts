import { join } from 'node:path';
import { type AgentClient, apiError, type ReplicaReport } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import { commandError } from '../host/commands.ts';
import { until } from '../host/time.ts';
import { Turns } from '../host/turns.ts';
import type { PoolReservation, Pools } from '../pools/pools.ts';
import type { JsonFolder } from '../state/json-folder.ts';
import type { ReplicaSpec } from '../state/schemas.ts';
import type { InstanceDependencies } from './dependencies.ts';
import { reasonFrom } from './process/log-file.ts';
import { Supervisor } from './process/supervisor.ts';
import { processesByConfig, processView } from './process-state.ts';
import { ReplicaFacts } from './replica-facts.ts';
import { ownerOf, replicaConfig, replicaFolder, replicasFolder } from './replica-program.ts';
import { supervisedReplica, writeReplicaConfig } from './supervised-replica.ts';

export type PutReplica = Parameters<AgentClient['putReplica']>[1];

export interface ReplicasDependencies extends InstanceDependencies {
  readonly specs: JsonFolder<ReplicaSpec>;
  readonly pools: Pools;
}

const CREATE_TIMEOUT_MS = 60_000;
const READY_TIMEOUT_MS = 10_000;
const READY_POLL_INTERVAL_MS = 25;
const STOP_TIMEOUT_MS = 10_000;
/** A folder on its way out is renamed first: a crash must not leave half a replica behind. */
const DELETING_PREFIX = '.deleting-';
/** Promises of room in a pool are made one at a time. */
const ROOM = 'room';

/** The replicas that this node keeps, each a folder in a pool and a process. */
export class Replicas {
  readonly #dependencies: ReplicasDependencies;
  readonly #supervisors = new Map<string, Supervisor>();
  readonly #turns = new Turns();
  readonly #roomTurns = new Turns();
  readonly #facts: ReplicaFacts;
  #isClosing = false;

  constructor(dependencies: ReplicasDependencies) {
    this.#dependencies = dependencies;
    this.#facts = new ReplicaFacts(dependencies);
  }

  /** Takes over what an earlier agent started and starts the rest; needs no apiserver. */
  async recover(): Promise<void> {
    const { specs, processes, paths } = this.#dependencies;
    const running = await processesByConfig(processes);
    for (const { replicaId, isMade } of specs.values()) {
      if (!isMade) continue;
      const own = running.get(paths.config('replica', replicaId)) ?? null;
      this.#supervisor(replicaId).start(own);
    }
  }

  /** Makes the folder if that is allowed (R6), and runs the process. @throws ApiError */
  async put(replicaId: string, body: PutReplica): Promise<{ address: string }> {
    return this.#turns.take(replicaId, async () => {
      if (this.#isClosing) throw apiError('unavailable', 'this agent is shutting down');
      const { specs } = this.#dependencies;
      const spec = specs.get(replicaId);
      if (spec !== null) requireSame(spec, body);
      if (spec === null || !spec.isMade) await this.#make(replicaId, body);
      else if (spec.token !== body.token) await this.#changeToken(spec, body.token);
      this.#supervisor(replicaId).start();
      await this.#waitReady(replicaId);
      return { address: this.#address(replicaId) };
    });
  }

  /** Stops it and removes its files, if they are of that volume. Gone: fine. @throws ApiError */
  async remove(replicaId: string, volumeId: string): Promise<void> {
    await this.#turns.take(replicaId, async () => {
      const { specs, files, paths } = this.#dependencies;
      const spec = specs.get(replicaId);
      if (spec !== null && spec.volumeId !== volumeId) throw foreign(replicaId, spec.volumeId);
      const poolFolders = await this.#poolFolders(spec);
      for (const folder of poolFolders) {
        const owner = await ownerOf(files, replicaFolder(folder, replicaId));
        if (owner.kind === 'volume' && owner.volumeId !== volumeId) {
          throw foreign(replicaId, owner.volumeId);
        }
        // One whose making never ended holds nothing yet.
        const wasMade = spec === null || spec.isMade;
        if (owner.kind === 'unknown' && wasMade) throw nobodys(replicaId, owner.reason);
      }
      await this.#supervisors.get(replicaId)?.stop(STOP_TIMEOUT_MS);
      this.#supervisors.delete(replicaId);
      this.#facts.forget(replicaId);
      for (const folder of poolFolders) await this.#removeFolder(folder, replicaId);
      for (const path of [
        paths.config('replica', replicaId),
        paths.replicaSocket(replicaId),
        paths.replicaAdminSocket(replicaId),
        paths.log('replica', replicaId),
        `${paths.log('replica', replicaId)}.1`,
      ]) {
        await files.remove(path);
      }
      await specs.remove(replicaId);
    });
  }

  async reservations(): Promise<readonly PoolReservation[]> {
    const { specs } = this.#dependencies;
    return Promise.all(
      specs.values().map(async (spec) => ({
        poolId: spec.poolId,
        sizeBytes: spec.sizeBytes,
        allocatedBytes: (await this.#facts.of(spec)).allocatedBytes,
      })),
    );
  }

  async report(): Promise<readonly ReplicaReport[]> {
    const { specs } = this.#dependencies;
    return Promise.all(specs.values().map((spec) => this.#reportOf(spec)));
  }

  /** For a shutdown: all of them end in order; they start again with the next agent. */
  async stopAll(): Promise<void> {
    this.#isClosing = true;
    // One that is just being made is not among them yet.
    await this.#turns.settled();
    await Promise.all(
      [...this.#supervisors].map(([replicaId, supervisor]) =>
        this.#turns.take(replicaId, () => supervisor.stop(STOP_TIMEOUT_MS)),
      ),
    );
  }

  /** The shutdown is called off. */
  async resume(): Promise<void> {
    this.#isClosing = false;
    await this.recover();
  }

  /** The agent ends, the replicas run on. */
  async abandon(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#supervisors.values()].map((supervisor) => supervisor.abandon()));
  }

  async cutLogs(): Promise<void> {
    const { logFiles, paths, specs } = this.#dependencies;
    for (const replicaId of specs.ids()) await logFiles.cut(paths.log('replica', replicaId));
  }

  async #reportOf(spec: ReplicaSpec): Promise<ReplicaReport> {
    const { replicaId, volumeId, poolId } = spec;
    const state = this.#supervisors.get(replicaId)?.state;
    const view = processView(state ?? { kind: 'stopped', reason: 'its folder is not made yet' });
    const facts = await this.#facts.of(spec);
    return {
      replicaId,
      volumeId,
      poolId,
      process: view.process,
      address: this.#address(replicaId),
      allocatedBytes: facts.allocatedBytes,
      reason: view.reason === '' ? facts.reason : view.reason,
    };
  }

  async #make(replicaId: string, body: PutReplica): Promise<void> {
    const { specs, files, pools } = this.#dependencies;
    const { mint, record, token, ...identity } = body;
    const poolPath = await pools.folder(body.poolId);
    const spec: ReplicaSpec = { replicaId, ...identity, token, isMade: false, process: null };
    if (specs.get(replicaId)?.isMade === false) await this.#removeHalfMade(poolPath, replicaId);
    const owner = await ownerOf(files, replicaFolder(poolPath, replicaId));
    switch (owner.kind) {
      case 'volume':
        if (owner.volumeId !== body.volumeId) throw foreign(replicaId, owner.volumeId);
        break;
      case 'unknown':
        throw nobodys(replicaId, owner.reason);
      case 'none':
        if (!mint) throw lost(replicaId, body.volumeId, poolPath);
        await this.#roomTurns.take(ROOM, () => this.#promiseRoom(spec));
        await this.#create(spec, poolPath, record);
        break;
    }
    await specs.put(replicaId, { ...spec, isMade: true });
  }

  /** A crash came while it was made: without identity it is nobody, and never was in a record. */
  async #removeHalfMade(poolPath: string, replicaId: string): Promise<void> {
    const owner = await ownerOf(this.#dependencies.files, replicaFolder(poolPath, replicaId));
    if (owner.kind === 'unknown') await this.#removeFolder(poolPath, replicaId);
  }

  /** From here on the pool's capacity counts it. */
  async #promiseRoom(spec: ReplicaSpec): Promise<void> {
    const { specs, pools } = this.#dependencies;
    if (specs.get(spec.replicaId) === null) {
      await pools.requireRoom(spec.poolId, spec.sizeBytes, await this.reservations());
    }
    await specs.put(spec.replicaId, spec);
  }

  async #create(spec: ReplicaSpec, poolPath: string, record: unknown): Promise<void> {
    const { commands, files, paths, specs } = this.#dependencies;
    const [program = '', ...launchArguments] = this.#dependencies.launcher;
    const path = `${paths.config('replica', spec.replicaId)}.create`;
    const config = { ...replicaConfig(spec, { poolPath, ...this.#sockets(spec) }), record };
    await files.replaceWhole(path, Buffer.from(`${JSON.stringify(config, null, 2)}\n`));
    const line = [program, ...launchArguments, 'replica', 'create', '--spec', path] as const;
    try {
      const result = await commands.run(line, { timeoutMs: CREATE_TIMEOUT_MS });
      if (result.exitCode === 0) return;
      const reason = reasonFrom(result.stderr) || commandError(line, result).message;
      const detail = `replica ${spec.replicaId} of volume ${spec.volumeId} was not made: ${reason}`;
      throw apiError(result.timedOut ? 'timeout' : 'internal', detail, { volume: spec.volumeId });
    } catch (error) {
      const owner = await ownerOf(files, replicaFolder(poolPath, spec.replicaId));
      if (owner.kind === 'none') await specs.remove(spec.replicaId);
      throw error;
    } finally {
      await files.remove(path);
    }
  }

  async #changeToken(spec: ReplicaSpec, token: string): Promise<void> {
    await this.#supervisors.get(spec.replicaId)?.stop(STOP_TIMEOUT_MS);
    await this.#dependencies.specs.put(spec.replicaId, { ...spec, token, process: null });
  }

  async #waitReady(replicaId: string): Promise<void> {
    const supervisor = this.#supervisor(replicaId);
    const isReady = await until(() => (supervisor.state.kind === 'running' ? true : null), {
      clock: this.#dependencies.clock,
      timeoutMs: READY_TIMEOUT_MS,
      intervalMs: READY_POLL_INTERVAL_MS,
    });
    if (isReady === true) return;
    const { reason } = processView(supervisor.state);
    throw apiError('unavailable', `replica ${replicaId} does not answer yet: ${reason}`);
  }

  /** Where its folder may be: its own pool, or any that can be looked at. @throws ApiError */
  async #poolFolders(spec: ReplicaSpec | null): Promise<readonly string[]> {
    const { pools } = this.#dependencies;
    if (spec !== null) return [await pools.folder(spec.poolId)];
    const reports = await pools.report([]);
    return reports.filter(({ state }) => state === 'online').map(({ path }) => path);
  }

  async #removeFolder(poolFolder: string, replicaId: string): Promise<void> {
    const { files } = this.#dependencies;
    const folder = replicaFolder(poolFolder, replicaId);
    const parent = replicasFolder(poolFolder);
    const doomed = join(parent, `${DELETING_PREFIX}${replicaId}`);
    try {
      // What an earlier removal left half done goes first: the name must be free.
      await files.remove(doomed);
      if (!(await files.exists(folder))) return;
      await files.rename(folder, doomed);
      await files.syncFolder(parent);
      await files.remove(doomed);
      await files.syncFolder(parent);
    } catch (cause) {
      const detail = `the files of replica ${replicaId} cannot be removed: ${messageOf(cause)}`;
      throw apiError('internal', detail, { cause });
    }
  }

  #supervisor(replicaId: string): Supervisor {
    let supervisor = this.#supervisors.get(replicaId);
    if (supervisor === undefined) {
      const supervised = supervisedReplica(replicaId, this.#dependencies, (spec, poolPath) =>
        writeReplicaConfig(this.#dependencies, {
          ...replicaConfig(spec, { poolPath, ...this.#sockets(spec) }),
        }),
      );
      supervisor = new Supervisor(supervised, this.#dependencies);
      this.#supervisors.set(replicaId, supervisor);
    }
    return supervisor;
  }

  #sockets({ replicaId }: ReplicaSpec) {
    const { paths } = this.#dependencies;
    const adminSocket = paths.replicaAdminSocket(replicaId);
    return { address: this.#address(replicaId), adminSocket };
  }

  #address(replicaId: string): string {
    return `unix:${this.#dependencies.paths.replicaSocket(replicaId)}`;
  }
}

function requireSame(spec: ReplicaSpec, body: PutReplica): void {
  for (const field of [
    'volumeId',
    'incarnation',
    'poolId',
    'sizeBytes',
    'blockSizeBytes',
  ] as const) {
    if (spec[field] === body[field]) continue;
    throw apiError(
      'conflict',
      `replica ${spec.replicaId} exists with ${field} ${spec[field]}, not ${body[field]}`,
      { volume: spec.volumeId },
    );
  }
}

function foreign(replicaId: string, volumeId: string) {
  return apiError('conflict', `replica ${replicaId} is one of volume ${volumeId}: it stays`, {
    volume: volumeId,
  });
}

function nobodys(replicaId: string, reason: string) {
  return apiError(
    'dataLoss',
    `the folder of replica ${replicaId} has no valid identity (${reason}): ` +
      'it is neither used nor removed; look at it by hand',
  );
}

function lost(replicaId: string, volumeId: string, poolPath: string) {
  return apiError(
    'dataLoss',
    `replica ${replicaId} of volume ${volumeId} should be in the pool ${poolPath} and is not: ` +
      'it is not made again, because it would be empty',
    { volume: volumeId },
  );
}
