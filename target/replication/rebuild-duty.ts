/** One rebuild at a time: picks a stale member that answers, sees it through, backs off. */
import { messageOf } from '../../core/errors.ts';
import type { Clock, Random } from '../../core/platform/index.ts';
import { mayDropJoiner } from './advance.ts';
import type { EventLog, MemberPort } from './ports.ts';
import { rebuildMember } from './rebuilder.ts';
import { orderRebuild } from './requests.ts';
import type { Break, Event, State } from './state.ts';
import { isInSync, memberOf, readableIds } from './views.ts';

export interface RebuildDutyOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: EventLog;
  readonly instance: string;
  readonly sizeBytes: number;
  /** Rules switched off: only in the simulator's own tests. */
  readonly breaks: ReadonlySet<Break>;
  readonly port: (id: string) => MemberPort;
  readonly addressOf: (id: string) => string | null;
  readonly tell: (event: Event) => void;
  /** The members in `live` changed. */
  readonly refresh: () => void;
}

export interface RebuildProgress {
  readonly copiedBytes: number;
  readonly totalBytes: number;
}

interface Running {
  readonly id: string;
  readonly rebuildId: string;
  readonly sourceId: string;
  /** Kept here: a member that leaves the record has no port any more. */
  readonly member: MemberPort;
  live: boolean;
  broken: string | null;
  progress: RebuildProgress;
  admitted: { resolve: () => void; reject: (error: Error) => void } | null;
}

const BACK_OFF_MS_FIRST = 1_000;
const BACK_OFF_MS_MAX = 60_000;

export class RebuildDuty {
  readonly #options: RebuildDutyOptions;
  /** By member: not before this time, and the delay that led to it. */
  readonly #backOff = new Map<string, { readonly untilMs: number; readonly delayMs: number }>();
  readonly #reasons = new Map<string, string>();
  #running: Running | null = null;
  #state: State | null = null;
  #abandoned = false;

  constructor(options: RebuildDutyOptions) {
    this.#options = options;
  }

  /** Members whose writes go to a rebuild (R22). */
  get live(): readonly string[] {
    return this.#running?.live === true ? [this.#running.id] : [];
  }

  /** The member's session belongs to a rebuild. */
  owns(id: string): boolean {
    return this.#running?.id === id;
  }

  progressOf(id: string): RebuildProgress | null {
    return this.#running?.id === id ? this.#running.progress : null;
  }

  /** Why the last rebuild of the member failed; empty when there was none. */
  reasonOf(id: string): string {
    return this.#reasons.get(id) ?? '';
  }

  refresh(state: State): void {
    this.#state = state;
    const running = this.#running;
    if (running === null) {
      this.#startNext(state);
      return;
    }
    if (isInSync(state, running.id)) {
      running.admitted?.resolve();
    } else if (running.broken === null && !readableIds(state).includes(running.sourceId)) {
      this.#break(running, 'its source is not in sync any more');
    } else if (memberOf(state, running.id) === null) {
      if (running.broken === null) this.#break(running, 'it is no member any more');
    } else if (running.admitted !== null && memberOf(state, running.id)?.joining === 'no') {
      this.#break(running, 'it was given up');
    }
  }

  /** The member or the source lost its connection or missed a deadline. */
  broken(id: string, detail: string): void {
    const running = this.#running;
    if (running === null || (running.id !== id && running.sourceId !== id)) return;
    // Told again while it waits for somebody who went away meanwhile: that must end, too.
    this.#break(running, running.broken ?? detail);
  }

  abandon(detail: string): void {
    this.#abandoned = true;
    if (this.#running !== null) this.#break(this.#running, detail);
  }

  #break(running: Running, detail: string): void {
    running.broken = detail;
    running.admitted?.reject(new Error(detail));
    const state = this.#state;
    // Once proposed it may be in sync already: only a removal can settle that (R3).
    if (state !== null && mayDropJoiner(state, running.id)) {
      running.member.dropSession();
    }
  }

  #startNext(state: State): void {
    if (this.#abandoned || state.phase.kind !== 'serving' || state.record === null) return;
    const nowMs = this.#options.clock.nowMs();
    const [sourceId] = readableIds(state);
    const next = state.members.find(
      (member) =>
        !isInSync(state, member.id) &&
        member.link !== 'away' &&
        member.facts !== null &&
        !state.freeing.some(({ id }) => id === member.id) &&
        !state.proposals.some((proposal) => proposal.inSync.includes(member.id)) &&
        (this.#backOff.get(member.id)?.untilMs ?? 0) <= nowMs,
    );
    if (next === undefined || sourceId === undefined) return;
    const sourceAddress = this.#options.addressOf(sourceId);
    if (sourceAddress === null || next.facts === null) return;
    const running: Running = {
      id: next.id,
      rebuildId: this.#options.random.uuid(),
      sourceId,
      member: this.#options.port(next.id),
      live: false,
      broken: null,
      progress: { copiedBytes: 0, totalBytes: 0 },
      admitted: null,
    };
    this.#running = running;
    void this.#run(running, {
      epoch: state.record.epoch,
      cache: next.facts.cache,
      sourceAddress,
    });
  }

  async #run(
    running: Running,
    where: { readonly epoch: number; readonly cache: string; readonly sourceAddress: string },
  ): Promise<void> {
    const { id, rebuildId, sourceId } = running;
    const { log, port, tell, clock, instance, sizeBytes } = this.#options;
    log('rebuildStarted', { replica: id, source: sourceId, rebuildId });
    try {
      const { member } = running;
      const source = port(sourceId);
      await rebuildMember(
        { ...where, rebuildId, instance, sizeBytes, member, source },
        {
          clock,
          log,
          breaks: this.#options.breaks,
          startFan: () => {
            running.live = true;
            this.#options.refresh();
          },
          bind: () => tell({ kind: 'bound', member: id }),
          admit: () => this.#admit(running),
          valid: () => running.broken === null,
          progress: (copiedBytes, totalBytes) => {
            running.progress = { copiedBytes, totalBytes };
          },
        },
      );
      log('rebuilt', { replica: id, rebuildId });
      this.#backOff.delete(id);
      this.#reasons.delete(id);
      this.#running = null;
    } catch (error) {
      const detail = running.broken ?? messageOf(error);
      log('rebuildFailed', { replica: id, rebuildId, detail });
      this.#reasons.set(id, `rebuild: ${detail}`);
      this.#giveUp(running, detail);
    }
    this.#options.refresh();
  }

  #admit(running: Running): Promise<void> {
    return new Promise((resolve, reject) => {
      running.admitted = { resolve, reject };
      this.#options.tell({ kind: 'verified', member: running.id });
    });
  }

  #giveUp(running: Running, detail: string): void {
    const { id, rebuildId } = running;
    this.#running = null;
    // Before anybody is told: hearing of it, the next one is picked at once.
    const delayMs = Math.min(
      BACK_OFF_MS_MAX,
      (this.#backOff.get(id)?.delayMs ?? BACK_OFF_MS_FIRST / 2) * 2,
    );
    this.#backOff.set(id, { untilMs: this.#options.clock.nowMs() + delayMs, delayMs });
    const state = this.#state;
    const inSync = state !== null && isInSync(state, id);
    if (state !== null && mayDropJoiner(state, id)) {
      this.#options.tell({ kind: 'joinDropped', member: id });
      void orderRebuild(running.member, { action: 'abandon', rebuildId }).catch(() => {
        // It drops an unfinished rebuild by itself when it starts or begins another.
      });
    } else if (!inSync) {
      this.#options.tell({ kind: 'missed', member: id, detail, lostCache: false });
    }
  }
}
