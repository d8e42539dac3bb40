/**
 * The replicated volume: fans writes out to all members, reads from one, flushes all
 * (replication R3, R11–R14, R18). Plain code over ports; who is a member is told by `update`.
 *
 * A command that has fanned out is carried to all members whatever becomes of its initiator (R12);
 * its range stays locked against reads until every binding member has answered or is removed.
 */
import { assert } from '../../core/assert.ts';
import {
  type BlockDevice,
  type BlockDone,
  type BlockError,
  blockError,
  checkRange,
  NO_DATA,
  type ReadDone,
} from '../../core/block/block-device.ts';
import { type HeldRange, RangeLock } from '../../core/block/range-lock.ts';
import { crc32c } from '../../core/crc32c/index.ts';
import {
  CARRIED_BYTES_MAX,
  CARRIED_COMMANDS_MAX,
  HOLD_MS,
  LEASE_MS,
  TRANSFER_BYTES_MAX,
  UNMAP_BYTES_MAX,
} from '../../core/limits.ts';
import type { Clock, Timer } from '../../core/platform/index.ts';
import { Op } from '../../core/wire/frame.ts';
import { FanOut, type FanOutOwner, ReadCommand } from './fan-out.ts';
import { type HeldCommand, HeldCommands } from './held-commands.ts';
import type { DataOp, MemberPort } from './ports.ts';
import type { Break } from './state.ts';
import { CLOSED, type VolumeView } from './volume-view.ts';

export interface VolumeDependencies {
  readonly clock: Clock;
  readonly port: (slot: number) => MemberPort;
  /** A member answered with an error what another one in sync did, or one that joins did. */
  readonly memberFailed: (slot: number, error: BlockError) => void;
  /** A member answered a flush with an error. */
  readonly flushFailed: (slot: number) => void;
  /** The range may differ between members: make it equal, then call back (R12, R16). */
  readonly equalise: (offsetBytes: number, lengthBytes: number, done: () => void) => void;
  /** Rules switched off: only in the simulator's own tests. */
  readonly breaks: ReadonlySet<Break>;
}

const SWEEP_MS = 1_000;

export class ReplicatedVolume implements BlockDevice, FanOutOwner {
  readonly sizeBytes: number;
  readonly #dependencies: VolumeDependencies;
  readonly #lock = new RangeLock();
  #view: VolumeView = CLOSED;
  readonly #held = new HeldCommands();
  /** Writes that wait for their range. */
  readonly #blocked: FanOut[] = [];
  /** Fanned out, and not yet settled on every binding member. */
  readonly #fanOuts: FanOut[] = [];
  readonly #reads: ReadCommand[] = [];
  /** Fanned out and answered BUSY since: their data is kept for members that do not take it. */
  #carriedCount = 0;
  #carriedBytes = 0;
  /** By slot: when the last answered ping was sent. */
  readonly #pingedMs: number[] = [];
  #sweep: Timer | null = null;
  #closed = false;
  #idle: (() => void) | null = null;

  constructor(sizeBytes: number, dependencies: VolumeDependencies) {
    this.sizeBytes = sizeBytes;
    this.#dependencies = dependencies;
  }

  read(offsetBytes: number, lengthBytes: number, done: ReadDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, lengthBytes, TRANSFER_BYTES_MAX);
    const failure = error ?? this.#view.failure;
    const startedMs = this.#dependencies.clock.nowMs();
    if (failure !== null) {
      queueMicrotask(() => done(failure, NO_DATA));
    } else if (this.#view.reads) {
      this.#startRead({ offsetBytes, lengthBytes, startedMs }, done);
    } else {
      const start = () => this.#startRead({ offsetBytes, lengthBytes, startedMs }, done);
      const fail = (busy: BlockError) => done(busy, NO_DATA);
      this.#hold({ needs: 'reads', sinceMs: startedMs, start, fail });
    }
  }

  write(offsetBytes: number, data: Buffer, done: BlockDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, data.length, TRANSFER_BYTES_MAX);
    this.#change(Op.write, { offsetBytes, lengthBytes: data.length }, data, error, done);
  }

  unmap(offsetBytes: number, lengthBytes: number, done: BlockDone): void {
    const error = checkRange(this.sizeBytes, offsetBytes, lengthBytes, UNMAP_BYTES_MAX);
    this.#change(Op.unmap, { offsetBytes, lengthBytes }, null, error, done);
  }

  flush(done: BlockDone): void {
    this.#change(Op.flush, { offsetBytes: 0, lengthBytes: 0 }, null, null, done);
  }

  /** Commands not answered yet, or not settled on every member. */
  get inFlightCount(): number {
    return this.#held.count + this.#blocked.length + this.#fanOuts.length + this.#reads.length;
  }

  /** Takes over a new view; commands that it sets free go on within this call. */
  update(view: VolumeView): void {
    this.#view = view;
    if (this.#closed) return;
    for (const command of this.#fanOuts.slice()) this.#settle(command);
    for (const command of this.#reads.slice()) this.#reconsider(command);
    if (view.failure !== null) this.#held.fail(view.failure);
    else if (view.reads || view.writes) this.#startHeld();
  }

  /**
   * All in sync had failed something, each something else, and all stay. What waits for a removal
   * is to be asked for again; its range is made equal before (R12).
   */
  nobodyIsRemoved(): void {
    const busy = blockError('busy', 'every replica failed a part of what was in flight');
    for (const command of this.#fanOuts.slice()) {
      if (command.position < 0 || command.blamed === 0) continue;
      this.#answerEarly(command, busy);
      if (command.position >= 0) this.#settle(command);
    }
  }

  /** Locks a range against reads and writes: for copies from member to member (R16). */
  lockRange(offsetBytes: number, lengthBytes: number, granted: () => void): HeldRange {
    return this.#lock.acquire('exclusive', offsetBytes, lengthBytes, granted);
  }

  unlockRange(range: HeldRange): void {
    this.#lock.release(range);
  }

  /** R11: a ping sent at `sentAtMs` was answered by the member in `slot`. */
  pinged(slot: number, sentAtMs: number): void {
    this.#pingedMs[slot] = sentAtMs;
    for (const command of this.#reads.slice()) if (command.data !== null) this.#answerRead(command);
  }

  /** Calls back once nothing is in flight (at once if so). */
  whenIdle(idle: () => void): void {
    this.#idle = idle;
    this.#checkIdle();
  }

  /** Drops everything without an answer: the process is about to end, or was fenced. */
  close(): void {
    this.#closed = true;
    this.#sweep?.cancel();
    this.#sweep = null;
    this.#held.clear();
    this.#blocked.length = 0;
    this.#fanOuts.length = 0;
    this.#reads.length = 0;
  }

  #change(
    op: DataOp,
    range: { offsetBytes: number; lengthBytes: number },
    data: Buffer | null,
    error: BlockError | null,
    done: BlockDone,
  ): void {
    const failure = error ?? this.#view.failure;
    const sinceMs = this.#dependencies.clock.nowMs();
    const command = new FanOut(this, { op, ...range, startedMs: sinceMs }, done);
    if (failure !== null) {
      queueMicrotask(() => done(failure));
    } else if (this.#mayStart('writes')) {
      this.#startChange(command, data);
    } else {
      const start = () => this.#startChange(command, data);
      this.#hold({ needs: 'writes', sinceMs, start, fail: done });
    }
  }

  #startChange(command: FanOut, data: Buffer | null): void {
    if (command.op === Op.flush) {
      this.#fanOut(command, null);
      return;
    }
    command.range = this.#lock.acquire('write', command.offsetBytes, command.lengthBytes, () =>
      this.#fanOut(command, data),
    );
    if (command.range.granted === null) return;
    command.position = this.#blocked.length;
    this.#blocked.push(command);
    this.#startSweep();
  }

  #fanOut(command: FanOut, data: Buffer | null): void {
    if (command.position >= 0) this.#forget(this.#blocked, command);
    const fan = this.#view.fan;
    const payload = data === null ? null : { bytes: data, crc: crc32c(data) };
    command.waiting = fan;
    command.position = this.#fanOuts.length;
    this.#fanOuts.push(command);
    this.#startSweep();
    for (let slot = 0, rest = fan; rest !== 0; slot += 1, rest >>>= 1) {
      if ((rest & 1) === 0) continue;
      this.#dependencies.port(slot).submit(command.op, command, payload, command, slot);
    }
  }

  /** Called by a command when a member has answered. */
  memberAnswered(command: FanOut, slot: number, error: BlockError | null): void {
    if (this.#closed) return;
    if (error !== null && command.op === Op.flush && error.code === 'mediumError') {
      this.#dependencies.flushFailed(slot);
    }
    if (command.position >= 0) this.#settle(command);
  }

  /**
   * Whoever failed what another one in sync did is behind, and so is one that joins. When all in
   * sync failed nobody is: the command fails, and they are made equal (R12).
   */
  #blame(command: FanOut): void {
    const { inSync } = this.#view;
    const { error } = command;
    if (error === null) return;
    if (command.blamedAmong !== inSync) command.blamed = 0;
    command.blamedAmong = inSync;
    const done = (command.succeeded & inSync) !== 0;
    const behind = command.failed & ~command.blamed & (done ? ~0 : ~inSync);
    command.blamed |= behind;
    for (let slot = 0, rest = behind; rest !== 0; slot += 1, rest >>>= 1) {
      if ((rest & 1) !== 0) this.#dependencies.memberFailed(slot, error);
    }
  }

  #settle(command: FanOut): void {
    this.#blame(command);
    // That may have settled it already.
    if (command.position < 0) return;
    const binding = this.#view.binding;
    const waits = (command.waiting & binding) !== 0 && !this.#goesEarly(command);
    if (binding === 0 || waits) return;
    const succeeded = (command.succeeded & this.#view.inSync) !== 0;
    const failed = (command.failed & binding) !== 0;
    // Some failed and some did it: who failed is being removed (R17), and then this is called.
    if (succeeded && failed && command.done !== null) return;
    this.#forget(this.#fanOuts, command);
    if (command.done === null) this.#countCarried(command, -1);
    if (!succeeded || failed) this.#doubt(command);
    else this.#release(command.range);
    const { done } = command;
    command.done = null;
    done?.(succeeded ? null : command.failure((command.failed & this.#view.inSync) !== 0));
    this.#checkIdle();
  }

  /** Never but in the simulator's own tests. */
  #goesEarly(command: FanOut): boolean {
    const { breaks } = this.#dependencies;
    const any = command.op === Op.flush ? 'R14-flush-any' : 'R3-any-answer';
    return breaks.has(any) && (command.succeeded & this.#view.inSync) !== 0;
  }

  /** R12: answered with an error after it had fanned out; its range may differ between members. */
  #doubt(command: FanOut): void {
    if (command.range === null) return;
    if (this.#dependencies.breaks.has('R12-no-equalise-after-error')) {
      this.#release(command.range);
      return;
    }
    const { offsetBytes, lengthBytes } = command;
    const exclusive = this.#lock.acquire('exclusive', offsetBytes, lengthBytes, () => {
      this.#dependencies.equalise(offsetBytes, lengthBytes, () => this.#lock.release(exclusive));
    });
    this.#release(command.range);
  }

  #release(range: HeldRange | null): void {
    if (range !== null) this.#lock.release(range);
  }

  #startRead(
    what: {
      readonly offsetBytes: number;
      readonly lengthBytes: number;
      readonly startedMs: number;
    },
    done: ReadDone,
  ): void {
    const { offsetBytes, lengthBytes } = what;
    const command = new ReadCommand(this, what, done);
    command.position = this.#reads.length;
    this.#reads.push(command);
    this.#startSweep();
    const overtakes = this.#dependencies.breaks.has('R13-read-overtakes');
    const lockedBytes = overtakes ? 0 : lengthBytes;
    command.range = this.#lock.acquire('shared', overtakes ? -1 : offsetBytes, lockedBytes, () =>
      this.#ask(command),
    );
  }

  /** R13: one member, the local one first; one that could not read it is not asked again. */
  #ask(command: ReadCommand): void {
    const candidates = this.#view.readable & ~command.tried;
    if (candidates === 0) {
      if (this.#view.readable === 0) return;
      this.#finishRead(command, blockError('mediumError', 'no member can read it'), NO_DATA);
      return;
    }
    const { preferred } = this.#view;
    const local = preferred >= 0 && (candidates & (1 << preferred)) !== 0;
    const slot = local ? preferred : 31 - Math.clz32(candidates & -candidates);
    command.asked = slot;
    this.#dependencies.port(slot).submit(Op.read, command, null, command, slot);
  }

  /** Called by a read when the member asked has answered. */
  readAnswered(command: ReadCommand, slot: number, error: BlockError | null, data: Buffer): void {
    if (this.#closed || command.position < 0) return;
    if (error === null) {
      command.data = data;
      this.#answerRead(command);
    } else if (error.code === 'disconnected') {
      this.#reconsider(command);
    } else {
      command.tried |= 1 << slot;
      if (error.code === 'mediumError') command.damaged |= 1 << slot;
      this.#ask(command);
    }
  }

  #reconsider(command: ReadCommand): void {
    if (command.position < 0) return;
    if (command.data !== null) {
      this.#answerRead(command);
      return;
    }
    const granted = command.range !== null && command.range.granted === null;
    if (!granted) return;
    if (command.asked >= 0 && (this.#view.readable & (1 << command.asked)) !== 0) return;
    command.asked = -1;
    this.#ask(command);
  }

  /** R11: the answer is made only under the lease. */
  #answerRead(command: ReadCommand): void {
    if (!this.#underLease()) return;
    const data = command.data;
    assert(data !== null, 'a read is answered with its data');
    // Whoever was removed meanwhile is rebuilt, and takes nothing any more.
    command.damaged &= this.#view.readable;
    if (command.damaged !== 0) this.#repair(command, data);
    this.#finishRead(command, null, data);
  }

  #underLease(): boolean {
    if (this.#dependencies.breaks.has('R11-no-lease')) return true;
    const nowMs = this.#dependencies.clock.nowMs();
    const { binding } = this.#view;
    for (let slot = 0, rest = binding; rest !== 0; slot += 1, rest >>>= 1) {
      if ((rest & 1) === 0) continue;
      const pingedMs = this.#pingedMs[slot];
      if (pingedMs === undefined || nowMs - pingedMs >= LEASE_MS) return false;
    }
    return binding !== 0;
  }

  /** R13: what one member could not read is written back to it from another. */
  #repair(command: ReadCommand, data: Buffer): void {
    const range = command.range;
    command.range = null;
    const payload = { bytes: data, crc: crc32c(data) };
    let left = 0;
    const sink = {
      answered: (slot: number, error: BlockError | null) => {
        if (error !== null) this.#dependencies.memberFailed(slot, error);
        left -= 1;
        if (left === 0 && !this.#closed) this.#release(range);
      },
    };
    for (let slot = 0, rest = command.damaged; rest !== 0; slot += 1, rest >>>= 1) {
      if ((rest & 1) === 0) continue;
      left += 1;
      const where = { offsetBytes: command.offsetBytes, lengthBytes: data.length };
      this.#dependencies.port(slot).submit(Op.write, where, payload, sink, slot);
    }
  }

  #finishRead(command: ReadCommand, error: BlockError | null, data: Buffer): void {
    this.#forget(this.#reads, command);
    this.#release(command.range);
    const { done } = command;
    command.done = null;
    done?.(error, data);
    this.#checkIdle();
  }

  #forget<Command extends { position: number }>(list: Command[], command: Command): void {
    const last = list.pop();
    assert(last !== undefined && command.position >= 0, 'a command in flight is in its list');
    if (last !== command) {
      list[command.position] = last;
      last.position = command.position;
    }
    command.position = -1;
  }

  #hold(command: HeldCommand): void {
    this.#held.add(command);
    this.#startSweep();
  }

  /**
   * What fanned out is carried to all (R12), also after it was answered BUSY and is sent again by
   * its initiator: above a limit nothing more fans out until some of it is settled.
   */
  #mayStart(needs: HeldCommand['needs']): boolean {
    if (needs === 'reads') return this.#view.reads;
    const carriesMuch =
      this.#carriedCount >= CARRIED_COMMANDS_MAX || this.#carriedBytes >= CARRIED_BYTES_MAX;
    return this.#view.writes && !carriesMuch;
  }

  #startHeld(): void {
    this.#held.start((needs) => this.#mayStart(needs));
  }

  #countCarried(command: FanOut, one: 1 | -1): void {
    this.#carriedCount += one;
    if (command.op === Op.write) this.#carriedBytes += one * command.lengthBytes;
    if (one < 0 && this.#held.count > 0) this.#startHeld();
  }

  #startSweep(): void {
    if (this.#sweep !== null || this.#closed) return;
    this.#sweep = this.#dependencies.clock.timer(SWEEP_MS, () => this.#sweepOverdue());
  }

  /** R18: what could not be done in time is answered BUSY; what has fanned out goes on. */
  #sweepOverdue(): void {
    this.#sweep = null;
    const { breaks, clock } = this.#dependencies;
    if (breaks.has('R18-held-for-ever')) return;
    const limitMs = clock.nowMs() - HOLD_MS;
    const code = breaks.has('R18-not-ready') ? 'refused' : 'busy';
    const busy = blockError(code, 'the volume waits for its replicas or for the store');
    this.#held.fail(busy, limitMs);
    for (const command of this.#blocked.slice()) {
      if (command.position >= 0 && command.startedMs <= limitMs) this.#giveUpBlocked(command, busy);
    }
    for (const command of this.#fanOuts.slice()) {
      if (command.position >= 0 && command.startedMs <= limitMs) this.#answerEarly(command, busy);
    }
    for (const command of this.#reads.slice()) {
      if (command.position >= 0 && command.startedMs <= limitMs) this.#giveUpRead(command, busy);
    }
    if (this.inFlightCount > 0) this.#startSweep();
  }

  /** What has fanned out is carried on all the same (R12). */
  #answerEarly(command: FanOut, busy: BlockError): void {
    const { done } = command;
    if (done === null) return;
    command.done = null;
    this.#countCarried(command, 1);
    done(busy);
  }

  /** It has reached nobody, and must not once its initiator was told so. */
  #giveUpBlocked(command: FanOut, busy: BlockError): void {
    this.#forget(this.#blocked, command);
    if (command.range !== null) this.#lock.cancel(command.range);
    command.range = null;
    command.done?.(busy);
    this.#checkIdle();
  }

  /** A member that answers it later is not listened to. */
  #giveUpRead(command: ReadCommand, busy: BlockError): void {
    command.asked = -1;
    if (command.range !== null && command.range.granted !== null) {
      this.#lock.cancel(command.range);
      command.range = null;
    }
    this.#finishRead(command, busy, NO_DATA);
  }

  #checkIdle(): void {
    if (this.#idle === null || this.inFlightCount > 0) return;
    const idle = this.#idle;
    this.#idle = null;
    idle();
  }
}
