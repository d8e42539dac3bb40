/** Wires one volume's target: store, members, replicated volume, logical unit, portal, admin. */
import { messageOf } from '../core/errors.ts';
import type { HttpTransport, Platform, Timer } from '../core/platform/index.ts';
import type { VolumeRecord } from '../core/volume/record.ts';
import { startAdminServer } from './admin/admin-server.ts';
import type { TargetStatus } from './admin/status.ts';
import type { TargetConfig } from './config.ts';
import { openPortal, type Portal } from './iscsi/index.ts';
import { RemoteReplica } from './remote/remote-replica.ts';
import { Coordinator } from './replication/coordinator.ts';
import type { EventLog } from './replication/ports.ts';
import type { StopReason } from './replication/state.ts';
import { LogicalUnit } from './scsi/index.ts';
import { targetStatusOf } from './status-of.ts';
import { HttpRecordStore } from './store/record-store.ts';

export interface ServeDependencies {
  readonly platform: Platform;
  readonly transport: HttpTransport;
  readonly log: EventLog;
  /** Of this process, for its status. */
  readonly pid: number;
}

const STORE_RETRY_MS = 500;
/** A release that takes longer is given up: the next target makes the replicas equal (R16). */
const RELEASE_DEADLINE_MS = 30_000;

/** Serves until the target is over; resolves with the reason. Rejects when it cannot start. */
export async function serve(
  config: TargetConfig,
  dependencies: ServeDependencies,
  released: AbortSignal,
): Promise<StopReason> {
  const { platform, log } = dependencies;
  let record: VolumeRecord | null = null;
  let target: RunningTarget | null = null;
  let asked: (() => void) | null = null;
  const wish = new Promise<void>((resolve) => {
    asked = resolve;
  });
  released.addEventListener('abort', () => asked?.());
  const over = Promise.withResolvers<StopReason>();
  const admin = await startAdminServer({
    socketPath: config.adminSocket,
    status: () => (target === null ? startingStatus(config, dependencies.pid) : target.status()),
    release: async () => {
      asked?.();
      const why = await over.promise;
      if (why.code !== 'released') throw new Error(`not released: ${why.detail}`);
    },
  });
  try {
    record = await readFirst(config, dependencies, released);
    if (record === null) {
      over.resolve({ code: 'released' });
      return { code: 'released' };
    }
    target = await RunningTarget.open(config, dependencies, { record, over: over.resolve });
    const running = target;
    void wish.then(() => running.release(platform));
    const why = await over.promise;
    log('over', { ...why });
    await running.closePortal();
    return why;
  } finally {
    // The answer to a release that is on its way gets out first.
    await new Promise<void>((resolve) => {
      admin.close(() => resolve());
      platform.clock.timer(1_000, resolve);
    });
    await platform.files.remove(config.adminSocket);
  }
}

/** The record gives the size; without the store nothing can start. Null: released meanwhile. */
async function readFirst(
  config: TargetConfig,
  dependencies: ServeDependencies,
  released: AbortSignal,
): Promise<VolumeRecord | null> {
  const store = storeOf(config, dependencies);
  while (!released.aborted) {
    try {
      return (await store.read()).record;
    } catch (error) {
      dependencies.log('storeAway', { detail: messageOf(error) });
      await new Promise<void>((resolve) => {
        dependencies.platform.clock.timer(STORE_RETRY_MS, resolve);
      });
    }
  }
  return null;
}

function storeOf(config: TargetConfig, dependencies: ServeDependencies): HttpRecordStore {
  const { volumeId, instance } = config;
  return new HttpRecordStore({ transport: dependencies.transport, volumeId, instance });
}

class RunningTarget {
  readonly #config: TargetConfig;
  readonly #pid: number;
  readonly #coordinator: Coordinator;
  readonly #portal: Portal;
  #releasing = false;
  #deadline: Timer | null = null;

  static async open(
    config: TargetConfig,
    dependencies: ServeDependencies,
    options: { readonly record: VolumeRecord; readonly over: (why: StopReason) => void },
  ): Promise<RunningTarget> {
    const { platform, log } = dependencies;
    const { clock, random, network } = platform;
    const { record } = options;
    const coordinator = new Coordinator(
      { ...config, sizeBytes: record.sizeBytes },
      {
        clock,
        random,
        log,
        store: storeOf(config, dependencies),
        createMember: (id, address, listener) =>
          new RemoteReplica(
            {
              id,
              address,
              volumeId: config.volumeId,
              incarnation: record.incarnation,
              token: config.replicaToken,
              sizeBytes: record.sizeBytes,
            },
            { network, clock, listener },
          ),
        stopped: options.over,
      },
    );
    const logicalUnit = new LogicalUnit({
      device: coordinator.volume,
      identity: { volumeId: config.volumeId },
      logicalBlockBytes: record.blockSizeBytes === 4096 ? 4096 : 512,
    });
    /** Null: not known yet, the initiator may try again. */
    const admits = (initiatorName: string): boolean | null => {
      const { record: known } = coordinator.state;
      if (known === null) return null;
      const names = known.attachment?.initiatorNames ?? [];
      return names.includes('*') || names.includes(initiatorName);
    };
    const address = `tcp:${config.portal}`;
    const portalLog = { network, clock, random, address, log };
    const portal = await openPortal(portalLog, { targetName: config.iqn, logicalUnit, admits });
    coordinator.start();
    return new RunningTarget(config, dependencies.pid, { coordinator, portal });
  }

  private constructor(
    config: TargetConfig,
    pid: number,
    parts: { readonly coordinator: Coordinator; readonly portal: Portal },
  ) {
    this.#config = config;
    this.#pid = pid;
    this.#coordinator = parts.coordinator;
    this.#portal = parts.portal;
  }

  status(): TargetStatus {
    const status = targetStatusOf(this.#config, this.#coordinator);
    return { ...status, sessionCount: this.#portal.sessionCount, pid: this.#pid };
  }

  /** No new commands, then a flush, then the record says released (R11). */
  release(platform: Platform): void {
    if (this.#releasing) return;
    this.#releasing = true;
    this.#deadline = platform.clock.timer(RELEASE_DEADLINE_MS, () => this.#coordinator.giveUp());
    void this.#portal.close().then(() => this.#coordinator.release());
  }

  async closePortal(): Promise<void> {
    // A timer that nobody waits for would keep the process until it fires.
    this.#deadline?.cancel();
    if (!this.#releasing) await this.#portal.dropAllSessions();
  }
}

function startingStatus(config: TargetConfig, pid: number): TargetStatus {
  return {
    volumeId: config.volumeId,
    instance: config.instance,
    attachmentToken: config.attachmentToken,
    state: 'starting',
    epoch: 0,
    generation: 0,
    portal: config.portal,
    reason: 'waits for the store',
    members: [],
    sessionCount: 0,
    pid,
  };
}
