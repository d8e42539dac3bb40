import { apiError } from '../../core/api/errors.ts';
import { type Heartbeat, heartbeatSchema } from '../../core/api/nodes.ts';
import { codeOf } from '../../core/errors.ts';
import { HEARTBEAT_LOST_MS } from '../../core/limits.ts';
import type { Clock } from '../../core/platform/clock.ts';
import type { Observations } from '../reconciler/observed.ts';
import type { Store } from '../store/store.ts';
import { type Changes, NODES } from './changes.ts';

const NODE = 'node';
/** A heartbeat that brings no news is written this often, for `last seen` after a restart. */
const WRITE_INTERVAL_MS = 60_000;

interface Dependencies {
  readonly store: Store;
  readonly observations: Observations;
  readonly changes: Changes;
  readonly clock: Clock;
}

/** Heartbeats come in here; the last one of each node survives a restart. */
export class NodeRegistry {
  readonly #deps: Dependencies;
  readonly #openedAtMs: number;
  readonly #writtenAtMs = new Map<string, number>();

  private constructor(deps: Dependencies) {
    this.#deps = deps;
    this.#openedAtMs = deps.clock.nowMs();
  }

  static async open(deps: Dependencies): Promise<NodeRegistry> {
    const { documents } = await deps.store.list(NODE);
    for (const { value } of documents) {
      // One that cannot be read is only forgotten until its agent is heard again.
      const heartbeat = heartbeatSchema.safeParse((value as { heartbeat?: unknown }).heartbeat);
      const heardWallMs = Number((value as { heardWallMs?: unknown }).heardWallMs);
      if (heartbeat.success) deps.observations.restore(heartbeat.data, heardWallMs);
    }
    return new NodeRegistry(deps);
  }

  async heard(heartbeat: Heartbeat): Promise<void> {
    checkAgentAddress(heartbeat);
    const { observations, changes, clock } = this.#deps;
    const isNews = observations.heard(heartbeat);
    if (isNews) changes.notify(NODES);
    const writtenAtMs = this.#writtenAtMs.get(heartbeat.name) ?? Number.NEGATIVE_INFINITY;
    if (!isNews && clock.nowMs() - writtenAtMs < WRITE_INTERVAL_MS) return;
    this.#writtenAtMs.set(heartbeat.name, clock.nowMs());
    await this.#write(heartbeat);
  }

  /** After a start, nodes that were there before are given the time to be heard again. */
  isSettled(): boolean {
    const { observations, clock } = this.#deps;
    return !observations.hasUnheard() || clock.nowMs() - this.#openedAtMs > HEARTBEAT_LOST_MS;
  }

  async #write(heartbeat: Heartbeat): Promise<void> {
    const { store, clock } = this.#deps;
    const value = { heartbeat, heardWallMs: clock.wallMs() };
    try {
      const before = await store.get(NODE, heartbeat.name);
      if (before === null) await store.create(NODE, heartbeat.name, value);
      else await store.swap(before, value);
    } catch (error) {
      // Another heartbeat of the same node was quicker: as good.
      if (codeOf(error) !== 'exists' && codeOf(error) !== 'conflict') throw error;
    }
  }
}

/** The apiserver calls this address, so only what this version's agents listen on is taken. */
function checkAgentAddress({ name, agentAddress }: Heartbeat): void {
  if (/^unix:\/[^\0]{1,106}$/.test(agentAddress)) return;
  if (/^http:\/\/127\.0\.0\.1:[0-9]{1,5}$/.test(agentAddress)) return;
  throw apiError(
    'badRequest',
    `node "${name}": agentAddress must be unix:/path or http://127.0.0.1:PORT: this version ` +
      'has no protection for anything but loopback',
  );
}
