import { messageOf } from '../../core/errors.ts';
import type { Clock, Timer } from '../../core/platform/clock.ts';
import type { Logger } from '../../core/platform/logger.ts';
import { type Action, objectOf } from './actions.ts';
import type { Attempt } from './perform.ts';
import { plan } from './plan.ts';
import type { World } from './world.ts';

export interface ReconcilerDependencies {
  readonly observe: () => Promise<World>;
  readonly perform: (action: Action, attempt: Attempt) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Why something that is wanted is not so yet. */
export interface Hindrance {
  readonly node: string | null;
  readonly detail: string;
}

const TICK_MS = 1_000;
const NODE_ACTION_COUNT_MAX = 4;
const ACTION_COUNT_MAX = 256;
const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 30_000;

interface Failure {
  readonly action: Action;
  readonly count: number;
  readonly notBeforeMs: number;
  /** Of its node when it failed: when the node comes back, the back-off is over. */
  readonly comeback: number;
  readonly detail: string;
}

/**
 * The only thing that acts. Whenever something changed, and once a second, it compares what is
 * wanted with what is and starts what the plan says: one action in flight per object, a few per
 * node, failed ones again after a back-off.
 */
export class Reconciler implements AsyncDisposable {
  readonly #deps: ReconcilerDependencies;
  readonly #running = new Map<string, { readonly action: Action; readonly done: Promise<void> }>();
  readonly #failures = new Map<string, Failure>();
  /** Objects acted on since the present look began: what it saw of them may be from before. */
  readonly #outdated = new Set<string>();
  readonly #stop = new AbortController();
  #tick: Timer | null = null;
  /** The pass under way. Another one follows when `#isStale`. */
  #pass: Promise<void> | null = null;
  #isStale = false;

  constructor(deps: ReconcilerDependencies) {
    this.#deps = deps;
  }

  start(): void {
    if (this.#stop.signal.aborted) return;
    this.#tick = this.#deps.clock.timer(TICK_MS, () => this.start());
    this.kick();
  }

  /** Something changed: look again, now. */
  kick(): void {
    this.#isStale = true;
    this.#pass ??= this.#passes();
  }

  /** What failed last, for this volume. */
  hindrances(volumeId: string): readonly Hindrance[] {
    return [...this.#failures.values()]
      .filter(({ action }) => action.volumeId === volumeId)
      .map(({ action, detail }) => ({ node: action.node, detail }));
  }

  /** Starts nothing more, aborts what is in flight, and waits for its end. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#tick?.cancel();
    await this.#pass;
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #passes(): Promise<void> {
    while (this.#isStale && !this.#stop.signal.aborted) {
      this.#isStale = false;
      this.#outdated.clear();
      try {
        this.#act(await this.#deps.observe());
      } catch (error) {
        this.#deps.log.error('reconciler cannot see', { error });
      }
    }
    // At once, not in a `finally`: a kick in between would be lost.
    this.#pass = null;
  }

  #act(world: World): void {
    const actions = plan(world);
    const planned = new Set(actions.map(objectOf));
    for (const object of this.#failures.keys()) {
      if (!planned.has(object)) this.#failures.delete(object);
    }
    for (const action of actions) {
      if (this.#stop.signal.aborted) return;
      if (this.#mayStart(action, world)) this.#begin(action, world);
    }
  }

  #mayStart(action: Action, world: World): boolean {
    const object = objectOf(action);
    if (this.#running.has(object) || this.#outdated.has(object)) return false;
    if (this.#running.size >= ACTION_COUNT_MAX) return false;
    const failure = this.#failureOf(action);
    const isBack = failure !== null && comebackOf(action, world) !== failure.comeback;
    if (failure !== null && !isBack && this.#deps.clock.nowMs() < failure.notBeforeMs) return false;
    const sameNode = [...this.#running.values()].filter(({ action: { node } }) => {
      return node !== null && node === action.node;
    });
    return sameNode.length < NODE_ACTION_COUNT_MAX;
  }

  #begin(action: Action, world: World): void {
    const object = objectOf(action);
    const done = this.#run(action, comebackOf(action, world)).finally(() => {
      this.#running.delete(object);
      this.#outdated.add(object);
      this.kick();
    });
    this.#running.set(object, { action, done });
  }

  async #run(action: Action, comeback: number): Promise<void> {
    const object = objectOf(action);
    const number = (this.#failureOf(action)?.count ?? 0) + 1;
    try {
      await this.#deps.perform(action, { number, signal: this.#stop.signal });
      this.#failures.delete(object);
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      const backoffMs = Math.min(BACKOFF_MS_MIN * 2 ** (number - 1), BACKOFF_MS_MAX);
      const notBeforeMs = this.#deps.clock.nowMs() + backoffMs;
      const detail = messageOf(error);
      this.#failures.set(object, { action, count: number, notBeforeMs, comeback, detail });
      const { kind, node, volumeId, volumeName: volume } = action;
      const fields = { action: kind, node, volume, volumeId, attempt: number, backoffMs, error };
      this.#deps.log.warn('action failed', fields);
    }
  }

  /** A failure counts for the same kind of action only: what is wanted now may differ. */
  #failureOf(action: Action): Failure | null {
    const failure = this.#failures.get(objectOf(action));
    const isSame = failure?.action.kind === action.kind && failure.action.node === action.node;
    return failure !== undefined && isSame ? failure : null;
  }
}

function comebackOf(action: Action, world: World): number {
  return action.node === null ? 0 : (world.nodes.get(action.node)?.comeback ?? 0);
}
