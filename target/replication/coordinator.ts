/**
 * Carries out what the membership machine decides, over ports: the record's store, one port per
 * member, the clock. Events come in through `#dispatch`, one at a time; after each, the volume
 * and the sessions are brought in line with the new state.
 */
import { assert, unreachable } from '../../core/assert.ts';
import { type BlockError, blockError } from '../../core/block/block-device.ts';
import { messageOf } from '../../core/errors.ts';
import { LEASE_WAIT_MS, LOOP_GAP_MS, STRAGGLER_MS } from '../../core/limits.ts';
import type { Clock, Random } from '../../core/platform/index.ts';
import type { VolumeRecord } from '../../core/volume/record.ts';
import type { HelloAnswer } from '../../core/wire/frame.ts';
import { equaliseRange } from './equaliser.ts';
import { copyOf, factsOf, promiseFactsOf } from './facts.ts';
import { initialState, step } from './membership.ts';
import type { EventLog, MemberListener, MemberPort, RecordStore, StoredRecord } from './ports.ts';
import { RebuildDuty } from './rebuild-duty.ts';
import { telling } from './requests.ts';
import type { Break, Effect, Event, State, StopReason } from './state.ts';
import { bindingIds, equalisableIds, isInSync, memberOf } from './views.ts';
import { ReplicatedVolume } from './volume.ts';
import { viewOf } from './volume-view.ts';

export interface CoordinatorOptions {
  readonly instance: string;
  readonly attachmentToken: string;
  readonly knownDead: readonly string[];
  readonly node: string;
  readonly sizeBytes: number;
  /** Rules switched off: only in the simulator's own tests. */
  readonly breaks?: ReadonlySet<Break>;
}

export interface CoordinatorDependencies {
  readonly clock: Clock;
  readonly random: Random;
  readonly store: RecordStore;
  readonly createMember: (
    id: string,
    address: () => string | null,
    listener: MemberListener,
  ) => MemberPort;
  readonly log: EventLog;
  /** The target is over: nothing is answered any more. */
  readonly stopped: (why: StopReason) => void;
}

const STORE_RETRY_MS = 500;
const COPY_RETRY_MS = 500;
const HOUSEKEEPING_MS = 1_000;
/** The record is read so often without need, to notice new members and a new attachment. */
const POLL_STORE_EVERY = 5;

export class Coordinator implements MemberListener {
  readonly volume: ReplicatedVolume;
  readonly #options: CoordinatorOptions;
  readonly #breaks: ReadonlySet<Break>;
  readonly #dependencies: CoordinatorDependencies;
  readonly #ports = new Map<string, MemberPort>();
  /** Member ids by slot: a slot is never given to another member. */
  readonly #slots: string[] = [];
  readonly #rebuilds: RebuildDuty;
  readonly #events: Event[] = [];
  #state: State;
  #busy = false;
  #addresses: Readonly<Record<string, string>> = {};
  #firstPromiseMs: number | null = null;
  #draining = false;
  #rounds = 0;
  #over = false;

  constructor(options: CoordinatorOptions, dependencies: CoordinatorDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#state = initialState(options);
    this.#breaks = options.breaks ?? new Set();
    this.volume = new ReplicatedVolume(options.sizeBytes, {
      breaks: this.#breaks,
      clock: dependencies.clock,
      port: (slot) => this.portOf(this.#slots[slot] ?? ''),
      memberFailed: (slot, error) => this.#memberFailed(this.#slots[slot] ?? '', error),
      flushFailed: (slot) =>
        this.#dispatch({ kind: 'flushFailed', member: this.#slots[slot] ?? '' }),
      equalise: (offsetBytes, lengthBytes, done) => {
        void this.#equaliseLater({ offsetBytes, lengthBytes }, done);
      },
    });
    this.#rebuilds = new RebuildDuty({
      ...dependencies,
      breaks: this.#breaks,
      instance: options.instance,
      sizeBytes: options.sizeBytes,
      port: (id) => this.portOf(id),
      addressOf: (id) => this.#addresses[id] ?? null,
      tell: (event) => this.#dispatch(event),
      refresh: () => this.#refresh(),
    });
  }

  get state(): State {
    return this.#state;
  }

  /** Bytes copied of each rebuild in progress, by member. */
  get rebuilds(): RebuildDuty {
    return this.#rebuilds;
  }

  start(): void {
    this.#dispatch({ kind: 'start' });
    this.#housekeepLater();
  }

  /** Flushes, releases the record and stops; `stopped` is called in the end. */
  release(): void {
    this.#dispatch({ kind: 'releaseAsked' });
  }

  /** A release that does not come to an end: stops as it is, without saying released. */
  giveUp(): void {
    this.#stop({ code: 'unreleased', detail: 'the release took too long' });
  }

  portOf(id: string): MemberPort {
    const port = this.#ports.get(id);
    assert(port !== undefined, 'a member in a slot has a port');
    return port;
  }

  inspected(id: string, hello: HelloAnswer): void {
    this.#dispatch({ kind: 'inspected', member: id, facts: factsOf(hello) });
    // It promised, though the answer to that may have been lost: without pings no lease (R11).
    const { record } = this.#state;
    if (this.#over || record === null || memberOf(this.#state, id)?.link !== 'promised') return;
    this.portOf(id).startPings(record.epoch);
  }

  refused(id: string, code: string, detail: string): void {
    const evidence = code === 'foreignIncarnation' || code === 'wrongVolume';
    this.#dependencies.log('memberRefused', { replica: id, code, detail });
    this.#dispatch({ kind: 'refused', member: id, evidence, detail });
  }

  away(id: string, detail: string): void {
    this.#rebuilds.broken(id, detail);
    this.#dispatch({ kind: 'away', member: id });
  }

  pinged(id: string, sentAtMs: number): void {
    this.volume.pinged(this.#slotOf(id), sentAtMs);
    const wanted = this.#state.members.some((member) => member.missed !== null);
    if (wanted && memberOf(this.#state, id)?.answeredSince === false) {
      this.#dispatch({ kind: 'answered', member: id });
    }
  }

  missed(id: string, detail: string): void {
    const member = memberOf(this.#state, id);
    if (member === null || this.#breaks.has('R17-never-removed')) return;
    this.#rebuilds.broken(id, detail);
    if (!bindingIds(this.#state).includes(id) || member.missed !== null) return;
    this.#dependencies.log('memberMissed', { replica: id, detail });
    this.#dispatch({ kind: 'missed', member: id, detail, lostCache: false });
  }

  fenced(id: string, epoch: number, instance: string): void {
    this.#dependencies.log('fenced', { replica: id, epoch, instance });
    this.#dispatch({ kind: 'promiseRefused', member: id, epoch, instance });
  }

  /** It answered a request with an error, and others in sync did it, or it only joins. */
  #memberFailed(id: string, error: BlockError): void {
    this.#rebuilds.broken(id, error.message);
    if (!bindingIds(this.#state).includes(id)) return;
    this.#dependencies.log('memberFailed', { replica: id, detail: error.message });
    this.#dispatch({ kind: 'failed', member: id, detail: error.message });
  }

  #slotOf(id: string): number {
    const known = this.#slots.indexOf(id);
    if (known >= 0) return known;
    assert(this.#slots.length < 30, 'a volume has fewer members than bits in a mask');
    this.#slots.push(id);
    return this.#slots.length - 1;
  }

  #dispatch(event: Event): void {
    this.#events.push(event);
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
      if (this.#over) continue;
      const before = this.#state;
      const { state, effects } = step(before, next, this.#breaks);
      this.#state = state;
      this.#note(before, next);
      this.#refresh();
      if (state.sparedCount > before.sparedCount) this.volume.nobodyIsRemoved();
      for (const effect of effects) this.#carryOut(effect);
    }
    this.#busy = false;
  }

  #note(before: State, event: Event): void {
    const promised = event.kind === 'promised' && isInSync(this.#state, event.member);
    if (promised && this.#firstPromiseMs === null) {
      this.#firstPromiseMs = this.#dependencies.clock.nowMs();
      this.#dependencies.clock.timer(LEASE_WAIT_MS + 1, () => this.#refresh());
    }
    if (before.phase.kind !== this.#state.phase.kind) {
      const { phase, record, waitingFor } = this.#state;
      const epoch = record?.epoch ?? 0;
      this.#dependencies.log('phase', { phase: phase.kind, epoch, waitingFor });
    }
    if (before.record !== this.#state.record && this.#state.record !== null) {
      const { generation, replicas } = this.#state.record;
      const members = replicas.map(({ id, state }) => `${id}:${state}`).join(' ');
      this.#dependencies.log('record', { generation, members });
    }
  }

  /** Brings ports, sessions and the volume in line with the state. */
  #refresh(): void {
    if (this.#over) return;
    for (const member of this.#state.members) this.#ensurePort(member.id);
    this.#closePorts();
    this.#openSessions();
    const skips = this.#state.skipLeaseWait || this.#breaks.has('R11-no-wait');
    const writesFromMs = skips
      ? 0
      : (this.#firstPromiseMs ?? Number.POSITIVE_INFINITY) + LEASE_WAIT_MS;
    const view = viewOf(this.#state, {
      slotOf: (id) => this.#slotOf(id),
      live: this.#rebuilds.live,
      node: this.#options.node,
      writesOpen: this.#dependencies.clock.nowMs() >= writesFromMs,
    });
    this.volume.update(view);
    this.#rebuilds.refresh(this.#state);
  }

  #ensurePort(id: string): void {
    if (this.#ports.has(id)) return;
    this.#slotOf(id);
    const address = (): string | null => this.#addresses[id] ?? null;
    const port = this.#dependencies.createMember(id, address, this);
    this.#ports.set(id, port);
    port.open();
  }

  /** Members that are not in the record any more, and bind nothing. */
  #closePorts(): void {
    const binding = bindingIds(this.#state);
    for (const [id, port] of this.#ports) {
      const needed = binding.includes(id) || this.#rebuilds.owns(id);
      if (needed || memberOf(this.#state, id) !== null || this.#state.record === null) continue;
      port.dropSession();
      port.close();
      this.#ports.delete(id);
    }
  }

  #openSessions(): void {
    const { record } = this.#state;
    const binding = bindingIds(this.#state);
    for (const member of this.#state.members) {
      const port = this.portOf(member.id);
      if (!binding.includes(member.id)) {
        if (!this.#rebuilds.owns(member.id)) port.dropSession();
      } else if (this.#rebuilds.owns(member.id)) {
        // Its session is the rebuild's until it is in sync.
      } else if (member.lostCache) {
        port.holdSession();
      } else if (member.link === 'promised' && record !== null && member.facts !== null) {
        const { instance } = this.#options;
        const { cache } = member.facts;
        port.openSession({ epoch: record.epoch, instance, rebuildId: null, cache });
      }
    }
  }

  #carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'readRecord':
        void this.#readRecord();
        break;
      case 'swap':
        void this.#swap(effect.version, effect.next);
        break;
      case 'retryStore':
        this.#later(STORE_RETRY_MS, { kind: 'storeRetry' });
        break;
      case 'connect':
        break;
      case 'startStragglers':
        this.#waitForStragglers();
        break;
      case 'promise':
        this.#promise(effect.member, effect.epoch);
        break;
      case 'storeCopy':
        this.#storeCopy(effect.member, effect.record);
        break;
      case 'equalise':
        void this.#equaliseAll();
        break;
      case 'drain':
        this.#drain();
        break;
      case 'stop':
        this.#stop(effect.why);
        break;
      default:
        unreachable(effect);
    }
  }

  /** A target that was paused meanwhile has not listened: they get their time again (R17). */
  #waitForStragglers(): void {
    const { clock } = this.#dependencies;
    const dueMs = clock.nowMs() + STRAGGLER_MS;
    clock.timer(STRAGGLER_MS, () => {
      if (clock.nowMs() - dueMs > LOOP_GAP_MS) this.#waitForStragglers();
      else this.#dispatch({ kind: 'stragglersOver' });
    });
  }

  #later(delayMs: number, event: Event): void {
    this.#dependencies.clock.timer(delayMs, () => this.#dispatch(event));
  }

  async #read(): Promise<StoredRecord> {
    const stored = await this.#dependencies.store.read();
    this.#addresses = stored.addresses;
    return stored;
  }

  async #readRecord(): Promise<void> {
    try {
      const { version, record } = await this.#read();
      this.#dispatch({ kind: 'recordRead', version, record });
    } catch (error) {
      this.#dispatch({ kind: 'readFailed', detail: messageOf(error) });
    }
  }

  async #swap(version: number, next: VolumeRecord): Promise<void> {
    try {
      const result = await this.#dependencies.store.swap(version, next);
      if (result.kind === 'committed') {
        this.#dispatch({ kind: 'swapCommitted', version: result.version, record: next });
        return;
      }
      const stored = await this.#read();
      this.#dispatch({ kind: 'swapConflict', version: stored.version, record: stored.record });
    } catch (error) {
      this.#dispatch({ kind: 'swapUnknown', detail: messageOf(error) });
    }
  }

  #promise(id: string, epoch: number): void {
    this.portOf(id).promise(epoch, this.#options.instance, (result) => {
      switch (result.kind) {
        case 'promised':
          this.#dispatch({
            kind: 'promised',
            member: id,
            ...promiseFactsOf(result.promise),
            copy: copyOf(result.promise.record),
          });
          break;
        case 'fenced':
          this.fenced(id, result.epoch, result.instance);
          break;
        case 'failed':
          this.#dependencies.log('promiseFailed', { replica: id, detail: result.detail });
          this.#dispatch({ kind: 'away', member: id });
          break;
        default:
          unreachable(result);
      }
    });
  }

  #storeCopy(id: string, record: VolumeRecord): void {
    this.portOf(id).storeRecord(record, (stored) => {
      const { generation } = record;
      if (stored) this.#dispatch({ kind: 'copyStored', member: id, generation });
      else this.#later(COPY_RETRY_MS, { kind: 'copyFailed', member: id });
    });
  }

  /** R16 at the start: everything allocated, before anything is served. */
  async #equaliseAll(): Promise<void> {
    const whole = { offsetBytes: 0, lengthBytes: this.#options.sizeBytes };
    const done = await this.#equalise(whole, () => this.#state.phase.kind === 'equalising');
    if (done) this.#dispatch({ kind: 'equalised' });
  }

  async #equaliseLater(
    range: { readonly offsetBytes: number; readonly lengthBytes: number },
    done: () => void,
  ): Promise<void> {
    await this.#equalise(range, () => !this.#over);
    done();
  }

  /** Again and again, as members come and go, until it is done (true) or not wanted (false). */
  async #equalise(
    range: { readonly offsetBytes: number; readonly lengthBytes: number },
    wanted: () => boolean,
  ): Promise<boolean> {
    while (wanted()) {
      const inSync = equalisableIds(this.#state) ?? [];
      // Who is being rebuilt gets what its source gets; it never is the source.
      const joining = inSync.length === 0 ? [] : this.#rebuilds.live;
      const ids = [...inSync, ...joining.filter((id) => !inSync.includes(id))];
      const [source, ...others] = ids.map((id) =>
        telling(this.portOf(id), (error) => this.#memberFailed(id, error)),
      );
      try {
        if (source === undefined) throw blockError('busy', 'a member in sync is not there');
        const result = await equaliseRange(range, source, others);
        const after = equalisableIds(this.#state);
        const same = after?.every((id) => ids.includes(id)) === true;
        this.#dependencies.log('equalised', { ...result, ids });
        if (same) return true;
      } catch (error) {
        this.#dependencies.log('equaliseFailed', { detail: messageOf(error) });
        await new Promise<void>((resolve) => {
          this.#dependencies.clock.timer(STORE_RETRY_MS, resolve);
        });
      }
    }
    return false;
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    this.#rebuilds.abandon('the target is being released');
    this.volume.whenIdle(() => {
      this.volume.flush((error) => {
        if (error === null) this.#dispatch({ kind: 'drained' });
        else this.#drainAgain(error);
      });
    });
  }

  /** Without a flush there is no clean release: the next target equalises (R16). */
  #drainAgain(error: BlockError): void {
    this.#dependencies.log('flushFailed', { detail: error.message });
    // Not before: until then whatever is heard would have it flush again at once.
    this.#dependencies.clock.timer(STORE_RETRY_MS, () => {
      this.#draining = false;
      this.#dispatch({ kind: 'start' });
    });
  }

  #stop(why: StopReason): void {
    if (this.#over) return;
    this.#over = true;
    this.#rebuilds.abandon('the target stops');
    this.volume.close();
    for (const port of this.#ports.values()) port.close();
    this.#dependencies.stopped(why);
  }

  #housekeepLater(): void {
    this.#dependencies.clock.timer(HOUSEKEEPING_MS, () => this.#housekeep());
  }

  #housekeep(): void {
    if (this.#over) return;
    this.#rounds += 1;
    const away = this.#state.members.some((member) => member.link === 'away');
    const due = away || this.#rounds % POLL_STORE_EVERY === 0;
    if (due && this.#state.record !== null) void this.#poll();
    this.#refresh();
    this.#housekeepLater();
  }

  /** Addresses change when replicas restart; members come, attachments go. */
  async #poll(): Promise<void> {
    try {
      const { version, record } = await this.#read();
      const settled = !this.#state.storeBusy && version > this.#state.version;
      if (settled) this.#dispatch({ kind: 'recordRead', version, record });
    } catch {
      // The store is away: only what needs it will say so.
    }
  }
}
