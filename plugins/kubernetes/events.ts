import { messageOf } from '../../core/errors.ts';
import type { Clock, Logger, Random } from '../../core/platform/index.ts';
import type { EventRecord, KubernetesApi } from './api.ts';
import type { EventSubject, PersistentVolume, PersistentVolumeClaim } from './objects.ts';

/** Kubernetes cuts nothing: it refuses a longer one. */
const MESSAGE_CHARACTERS_MAX = 1_024;
/** Events that are remembered so that saying them again only counts. */
const REMEMBERED_MAX = 1_000;
/** The same sentence about the same object is not repeated more often. */
const REPEAT_MS = 10_000;

export interface Said {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** Tells people what happened to their object: `kubectl describe` shows it. */
export class Events {
  readonly #api: KubernetesApi;
  readonly #parts: { readonly clock: Clock; readonly random: Random; readonly log: Logger };
  readonly #remembered = new Map<string, EventRecord>();

  constructor(
    api: KubernetesApi,
    parts: { readonly clock: Clock; readonly random: Random; readonly log: Logger },
  ) {
    this.#api = api;
    this.#parts = parts;
  }

  /** Never rejects: an event that cannot be told must not stop the work. */
  async tell(subject: EventSubject, said: Said): Promise<void> {
    const message = said.message.slice(0, MESSAGE_CHARACTERS_MAX);
    const key = JSON.stringify([subject.uid, said.type, said.reason, message]);
    const before = this.#remembered.get(key);
    const nowMs = this.#parts.clock.wallMs();
    if (before !== undefined && nowMs - before.lastAtMs < REPEAT_MS) return;
    const event: EventRecord =
      before === undefined
        ? { ...said, message, subject, name: this.#nameFor(subject), count: 1, ...at(nowMs) }
        : { ...before, count: before.count + 1, lastAtMs: nowMs };
    this.#remember(key, event);
    try {
      if (before === undefined) await this.#api.createEvent(event);
      else await this.#api.updateEvent(event);
    } catch (error) {
      this.#remembered.delete(key);
      this.#parts.log.warn('an event could not be told', { ...said, error: messageOf(error) });
    }
  }

  #nameFor({ name }: EventSubject): string {
    return `${name}.${this.#parts.random.bytes(8).toString('hex')}`;
  }

  #remember(key: string, event: EventRecord): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, event);
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > REMEMBERED_MAX && oldest !== undefined) {
      this.#remembered.delete(oldest);
    }
  }
}

function at(nowMs: number): { readonly firstAtMs: number; readonly lastAtMs: number } {
  return { firstAtMs: nowMs, lastAtMs: nowMs };
}

export function subjectOf(
  kind: EventSubject['kind'],
  { metadata }: PersistentVolumeClaim | PersistentVolume,
): EventSubject {
  const { namespace, name, uid = '', resourceVersion } = metadata;
  return {
    apiVersion: 'v1',
    kind,
    name,
    uid,
    ...(namespace === undefined ? {} : { namespace }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}
