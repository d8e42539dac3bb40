import { type AgentClient, apiError, type TargetReport } from '../../core/api/index.ts';
import { delay } from '../host/time.ts';
import { Turns } from '../host/turns.ts';
import type { JsonFolder } from '../state/json-folder.ts';
import type { TargetSpec } from '../state/schemas.ts';
import type { InstanceDependencies } from './dependencies.ts';
import { Supervisor } from './process/supervisor.ts';
import { processesByConfig, processView } from './process-state.ts';
import { presentRun, supervisedTarget } from './supervised-target.ts';
import { askToRelease, readTargetStatus, type TargetStatus } from './target-status.ts';

export type PutTarget = Parameters<AgentClient['putTarget']>[1];

export interface TargetsDependencies extends InstanceDependencies {
  readonly specs: JsonFolder<TargetSpec>;
  /** By id, for the log and the SCSI product name; the id itself where it is not known. */
  readonly volumeName: (volumeId: string) => string;
  /** Whether a device of this node still hangs on the target of this attachment. */
  readonly isUsedHere: (volumeId: string, token: string) => boolean;
}

/** A target gives a release up after 30 s by itself; then it is killed. */
const RELEASE_TIMEOUT_MS = 33_000;
const SERVING_POLL_INTERVAL_MS = 50;
/** So many failed starts in a row and an attach no longer waits for the next one. */
const FAILED_STARTS_MAX = 5;

/** The targets of the volumes that are attached on this node. */
export class Targets {
  readonly #dependencies: TargetsDependencies;
  readonly #supervisors = new Map<string, Supervisor>();
  readonly #turns = new Turns();
  #isClosing = false;

  constructor(dependencies: TargetsDependencies) {
    this.#dependencies = dependencies;
  }

  /** Takes over what an earlier agent started, and starts again what ended since. */
  async recover(bootId: string): Promise<void> {
    const { specs, processes, paths } = this.#dependencies;
    const found = await processesByConfig(processes);
    for (const spec of specs.values()) {
      const { volumeId } = spec;
      const run = presentRun(spec);
      const running = found.get(paths.config('target', volumeId)) ?? null;
      if (run !== null && run.process === null && running !== null) {
        const runs = [...spec.runs.slice(0, -1), { ...run, process: running }];
        await specs.put(volumeId, { ...spec, runs });
      }
      // After a reboot whoever used it is gone: it is for the attachment to ask for it again.
      const sameBoot = run?.process?.bootId === bootId;
      if (running !== null || (spec.wanted === 'running' && spec.heldFor === null && sameBoot)) {
        this.#supervisor(volumeId).start(running);
      }
    }
  }

  /** Runs the target for this attachment. Idempotent by token. @throws ApiError */
  async put(volumeId: string, body: PutTarget): Promise<void> {
    await this.#turns.take(volumeId, async () => {
      if (this.#isClosing) throw apiError('unavailable', 'this agent is shutting down');
      const { specs, volumeName } = this.#dependencies;
      const spec = specs.get(volumeId);
      const isSame = spec !== null && equalSpecs(spec, body) && spec.wanted === 'running';
      if (isSame && spec.heldFor !== null) {
        throw apiError('unavailable', held(spec), { volume: volumeId });
      }
      if (!isSame) {
        await this.#stop(volumeId);
        await specs.put(volumeId, {
          volumeId,
          volumeName: volumeName(volumeId),
          ...body,
          wanted: 'running',
          heldFor: null,
          runs: specs.get(volumeId)?.runs ?? [],
        });
      }
      this.#supervisor(volumeId).start();
    });
  }

  /** Flushes, releases the record, stops. Not there: fine. @throws ApiError */
  async remove(volumeId: string): Promise<void> {
    await this.#turns.take(volumeId, async () => {
      const { specs, isUsedHere, files, paths } = this.#dependencies;
      const spec = specs.get(volumeId);
      if (spec === null) return;
      if (isUsedHere(volumeId, spec.attachmentToken)) {
        throw apiError(
          'inUse',
          `volume "${spec.volumeName}" is still attached on node ${this.#dependencies.node}: ` +
            'detach it there first',
          { volume: spec.volumeName, holder: this.#dependencies.node },
        );
      }
      await specs.put(volumeId, { ...spec, wanted: 'stopped' });
      await this.#stop(volumeId);
      this.#supervisors.delete(volumeId);
      await files.remove(paths.config('target', volumeId));
      await files.remove(paths.targetAdminSocket(volumeId));
      await files.remove(paths.log('target', volumeId));
      await files.remove(`${paths.log('target', volumeId)}.1`);
      await specs.remove(volumeId);
    });
  }

  /** The attachment that the running target serves; null if none runs here. */
  attachmentOf(volumeId: string): { token: string; iqn: string; portal: string } | null {
    const spec = this.#dependencies.specs.get(volumeId);
    const kind = this.#supervisors.get(volumeId)?.state.kind;
    if (spec === null || (kind !== 'running' && kind !== 'starting')) return null;
    return { token: spec.attachmentToken, iqn: spec.iqn, portal: spec.portal };
  }

  /** Waits until the target answers commands for this attachment. @throws ApiError */
  async waitServing(volumeId: string, token: string, timeoutMs: number): Promise<void> {
    const { clock, specs } = this.#dependencies;
    const deadlineMs = clock.nowMs() + timeoutMs;
    let reason = 'it was not started yet';
    while (clock.nowMs() < deadlineMs) {
      const spec = specs.get(volumeId);
      if (spec !== null && spec.attachmentToken === token) {
        if (spec.heldFor !== null) throw apiError('unavailable', held(spec), { volume: volumeId });
        const status = await this.#status(volumeId);
        if (status?.state === 'serving') return;
        const supervisor = this.#supervisors.get(volumeId);
        const seen = status?.reason ?? processView(this.#stateOf(volumeId)).reason;
        if (seen !== '') reason = seen;
        if ((supervisor?.failureCount ?? 0) >= FAILED_STARTS_MAX) break;
      }
      await delay(clock, SERVING_POLL_INTERVAL_MS);
    }
    const name = specs.get(volumeId)?.volumeName ?? volumeId;
    const detail = `the target of volume "${name}" does not serve on this node: ${reason}`;
    const isLate = clock.nowMs() >= deadlineMs;
    throw apiError(isLate ? 'timeout' : 'unavailable', detail, { volume: name });
  }

  async report(): Promise<readonly TargetReport[]> {
    const { specs } = this.#dependencies;
    return Promise.all(specs.values().map((spec) => this.#reportOf(spec)));
  }

  /** For a shutdown: all of them flush, release and end; they start again with the next agent. */
  async stopAll(): Promise<void> {
    this.#isClosing = true;
    // One whose order is just being carried out is not among them yet.
    await this.#turns.settled();
    await Promise.all(
      [...this.#supervisors.keys()].map((volumeId) =>
        this.#turns.take(volumeId, () => this.#stop(volumeId)),
      ),
    );
  }

  /** The shutdown is called off. */
  async resume(bootId: string): Promise<void> {
    this.#isClosing = false;
    await this.recover(bootId);
  }

  /** The agent ends, the targets run on. */
  async abandon(): Promise<void> {
    this.#isClosing = true;
    await Promise.all([...this.#supervisors.values()].map((supervisor) => supervisor.abandon()));
  }

  async cutLogs(): Promise<void> {
    const { logFiles, paths, specs } = this.#dependencies;
    for (const volumeId of specs.ids()) await logFiles.cut(paths.log('target', volumeId));
  }

  async #stop(volumeId: string): Promise<void> {
    const transport = this.#transport(volumeId);
    const ask = () => askToRelease(transport, RELEASE_TIMEOUT_MS);
    await this.#supervisors.get(volumeId)?.stop(RELEASE_TIMEOUT_MS, ask);
  }

  #supervisor(volumeId: string): Supervisor {
    let supervisor = this.#supervisors.get(volumeId);
    if (supervisor === undefined) {
      const { specs } = this.#dependencies;
      const supervised = supervisedTarget(volumeId, specs, this.#dependencies);
      supervisor = new Supervisor(supervised, this.#dependencies);
      this.#supervisors.set(volumeId, supervisor);
    }
    return supervisor;
  }

  #stateOf(volumeId: string): Supervisor['state'] {
    return this.#supervisors.get(volumeId)?.state ?? { kind: 'stopped', reason: '' };
  }

  #transport(volumeId: string) {
    const { transport, paths } = this.#dependencies;
    return transport(`unix:${paths.targetAdminSocket(volumeId)}`);
  }

  /** Null unless the present run itself answers. */
  async #status(volumeId: string): Promise<TargetStatus | null> {
    const state = this.#stateOf(volumeId);
    if (state.kind !== 'running' && state.kind !== 'starting') return null;
    const status = await readTargetStatus(this.#transport(volumeId));
    const spec = this.#dependencies.specs.get(volumeId);
    const instance = spec === null ? null : presentRun(spec)?.instance;
    return status !== null && status.instance === instance ? status : null;
  }

  async #reportOf(spec: TargetSpec): Promise<TargetReport> {
    const status = await this.#status(spec.volumeId);
    const view = processView(this.#stateOf(spec.volumeId));
    const reason = spec.heldFor ?? status?.reason ?? view.reason;
    return {
      volumeId: spec.volumeId,
      instance: presentRun(spec)?.instance ?? '',
      attachmentToken: spec.attachmentToken,
      process: spec.heldFor === null ? view.process : 'failed',
      state: status?.state ?? silentState(spec, view.process),
      portal: spec.portal,
      epoch: status?.epoch ?? 0,
      members: (status?.members ?? []).map((member) => ({ ...member })),
      reason,
    };
  }
}

/** The state of a target that does not answer. */
function silentState(spec: TargetSpec, process: string): TargetReport['state'] {
  if (spec.heldFor !== null || process === 'failed') return 'failed';
  return process === 'stopped' ? 'stopped' : 'starting';
}

function equalSpecs(spec: TargetSpec, body: PutTarget): boolean {
  return (
    spec.attachmentToken === body.attachmentToken &&
    spec.iqn === body.iqn &&
    spec.portal === body.portal &&
    spec.storeAddress === body.storeAddress &&
    spec.replicaToken === body.replicaToken
  );
}

function held(spec: TargetSpec): string {
  return (
    `the target of volume "${spec.volumeName}" is not started again for this attachment: ` +
    `${spec.heldFor ?? ''}`
  );
}
