/** The provisioner as it runs: view, queue, leadership. */
import type { AgentClient } from '../../core/api/index.ts';
import type { Clock, Logger, Random } from '../../core/platform/index.ts';
import type { KubernetesApi, KubernetesView } from './api.ts';
import { classNameOf } from './claim-decision.ts';
import { Events } from './events.ts';
import { Leader } from './leader.ts';
import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from './objects.ts';
import type { ParseYaml } from './parameters.ts';
import { Provisioner } from './provisioner.ts';
import { WorkQueue } from './work-queue.ts';

export interface ServiceParts {
  readonly api: KubernetesApi;
  /** Opened once this one leads: who only waits watches nothing. */
  readonly openView: (changed: ViewChanges) => Promise<KubernetesView & AsyncDisposable>;
  readonly agent: AgentClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly parseYaml: ParseYaml;
  readonly provisioners: readonly string[];
  /** Of this process, for the lease. */
  readonly self: string;
}

export interface ViewChanges {
  claim(claim: PersistentVolumeClaim): void;
  volume(volume: PersistentVolume): void;
  storageClass(storageClass: StorageClass): void;
}

const CONCURRENCY_MAX = 8;
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 300_000;
/** Everything is looked at again: for what a broken watch may have missed. */
const RESYNC_MS = 600_000;

/** Runs until `signal`, or until another one leads: then nothing more may be done here. */
export async function runProvisioner(
  parts: ServiceParts,
  signal: AbortSignal,
): Promise<'lost' | 'stopped'> {
  const leader = new Leader(parts);
  try {
    await leader.acquire(signal);
  } catch (error) {
    if (signal.aborted) return 'stopped';
    throw error;
  }
  const work = await Work.start(parts);
  const outcome = await leader.keep(signal);
  // A lost lease is somebody else's by now, who must not wait for what we have under way.
  if (outcome === 'lost') return outcome;
  await work.stop();
  await leader.release();
  return outcome;
}

class Work {
  readonly #parts: ServiceParts;
  readonly #queue: WorkQueue;
  #view: (KubernetesView & AsyncDisposable) | null = null;
  #provisioner: Provisioner | null = null;
  #stopped = false;

  static async start(parts: ServiceParts): Promise<Work> {
    const work = new Work(parts);
    const view = await parts.openView({
      claim: ({ metadata }) => work.#queue.add(claimKey(metadata.namespace ?? '', metadata.name)),
      volume: ({ metadata }) => work.#queue.add(volumeKey(metadata.name)),
      storageClass: ({ metadata }) => work.#addClaimsOf(metadata.name),
    });
    work.#view = view;
    work.#provisioner = new Provisioner({ ...parts, view, events: new Events(parts.api, parts) });
    work.#addAll();
    return work;
  }

  private constructor(parts: ServiceParts) {
    this.#parts = parts;
    const { clock } = parts;
    this.#queue = new WorkQueue({
      clock,
      concurrencyMax: CONCURRENCY_MAX,
      retryMsMin: RETRY_MS_MIN,
      retryMsMax: RETRY_MS_MAX,
      handle: (key) => this.#handle(key),
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#queue.stop();
    await this.#view?.[Symbol.asyncDispose]();
  }

  async #handle(key: string): Promise<void> {
    const [kind, first = '', second = ''] = JSON.parse(key) as string[];
    // Nothing is done before everything has been listed once; #addAll comes then.
    if (kind === 'volume') await this.#provisioner?.reconcileVolume(first);
    else await this.#provisioner?.reconcileClaim(first, second);
  }

  #addAll(): void {
    if (this.#stopped) return;
    for (const { metadata } of this.#view?.claims() ?? []) {
      this.#queue.add(claimKey(metadata.namespace ?? '', metadata.name));
    }
    for (const { metadata } of this.#view?.volumes() ?? []) {
      this.#queue.add(volumeKey(metadata.name));
    }
    this.#parts.clock.timer(RESYNC_MS, () => this.#addAll());
  }

  /** Those that were refused may be right now. */
  #addClaimsOf(storageClass: string): void {
    for (const claim of this.#view?.claims() ?? []) {
      const { namespace = '', name } = claim.metadata;
      if (classNameOf(claim) === storageClass) this.#queue.add(claimKey(namespace, name));
    }
  }
}

function claimKey(namespace: string, name: string): string {
  return JSON.stringify(['claim', namespace, name]);
}

function volumeKey(name: string): string {
  return JSON.stringify(['volume', name]);
}
