/**
 * An iSCSI initiator with what uses it: commands in flight up to a depth, driven again when
 * answered BUSY or when the target went away, until they have their end. One per attachment; it
 * knows only the target of its own node.
 */
import type { BlockError } from '../../../core/block/block-device.ts';
import type { SimRandom } from '../../../core/platform/sim/index.ts';
import type { TargetHost } from '../world/target-host.ts';
import { type Command, textOf } from './command.ts';
import type { History } from './history.ts';
import type { Wish, Workload } from './workload.ts';

export interface InitiatorOptions {
  readonly name: string;
  readonly token: string;
  readonly node: string;
  readonly depth: number;
  readonly thinkMs: readonly [number, number];
}

export interface InitiatorHost {
  readonly history: History;
  readonly workload: Workload;
  readonly nowMs: number;
  after(delayMs: number, act: () => void): void;
  note(where: string, what: string): void;
  targetOf(initiator: Initiator): TargetHost | null;
  newId(): number;
  /** In the target's process, at the moment of the answer. */
  targetAnswers(target: TargetHost, command: Command, error: BlockError | null): void;
  /** The initiator has taken the answer. */
  answerTaken(target: TargetHost, command: Command, error: BlockError | null): void;
  impossible(command: Command, violation: import('./history.ts').Violation): void;
  /** Nobody will ever ask for it again; it may still take effect as long as its target lives. */
  orphaned(command: Command, epoch: number): void;
}

const AGAIN_MS = [50, 800] as const;
const WIRE_MS = [0.01, 0.2] as const;

export class Initiator {
  readonly name: string;
  readonly token: string;
  readonly node: string;
  readonly #options: InitiatorOptions;
  readonly #host: InitiatorHost;
  readonly #random: SimRandom;
  /** Without an end; with the target that has it, and that target's epoch then. */
  readonly #open = new Map<Command, { target: TargetHost; epoch: number } | null>();
  /** Waiting for their next command. */
  #lanes = 0;
  #issuing = false;
  #ended = false;

  constructor(options: InitiatorOptions, host: InitiatorHost, random: SimRandom) {
    this.name = options.name;
    this.token = options.token;
    this.node = options.node;
    this.#options = options;
    this.#host = host;
    this.#random = random;
  }

  get ended(): boolean {
    return this.#ended;
  }

  get openCommands(): readonly Command[] {
    return [...this.#open.keys()];
  }

  /** Commands that a target has now, and which. */
  *given(): Generator<readonly [Command, TargetHost]> {
    for (const [command, at] of this.#open) if (at !== null) yield [command, at.target];
  }

  /** Also goes on after quiesce. */
  start(): void {
    if (this.#issuing || this.#ended) return;
    this.#issuing = true;
    const busy = this.#lanes + this.#open.size;
    for (let lane = busy; lane < this.#options.depth; lane += 1) this.#thinkThenIssue();
  }

  /** No new commands; those in flight are still driven to their end. */
  quiesce(): void {
    this.#issuing = false;
  }

  /** The process that uses it is gone, its commands with it. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#issuing = false;
    this.#host.note(this.name, `ends with ${this.#open.size} commands in flight`);
    for (const [command, at] of this.#open) this.#host.orphaned(command, at?.epoch ?? 0);
    this.#open.clear();
  }

  /** One command beside the workload. */
  run(wish: Wish): Command {
    const command = this.#make(wish);
    this.#open.set(command, null);
    this.#give(command);
    return command;
  }

  /** The target's process is gone: like a lost connection, the outcome is not known. */
  targetGone(target: TargetHost): void {
    for (const [command, at] of this.#open) {
      if (at?.target !== target) continue;
      this.#open.set(command, null);
      this.#giveLater(command);
    }
  }

  #thinkThenIssue(): void {
    this.#lanes += 1;
    this.#host.after(this.#random.between(this.#options.thinkMs), () => {
      this.#lanes -= 1;
      if (!this.#issuing) return;
      this.run(this.#host.workload.next(this.#random));
    });
  }

  #make({ kind, offsetBytes, lengthBytes }: Wish): Command {
    const { history, nowMs } = this.#host;
    const base = {
      id: this.#host.newId(),
      offsetBytes,
      lengthBytes,
      invokedMs: nowMs,
      attemptMs: nowMs,
      attempts: 0,
    };
    switch (kind) {
      case 'read':
        return { ...base, kind, entry: history.beginRead(offsetBytes, lengthBytes, nowMs) };
      case 'write':
      case 'unmap':
        return { ...base, kind, entry: history.beginWrite(kind, offsetBytes, lengthBytes, nowMs) };
      case 'flush':
        return { ...base, kind };
    }
  }

  #giveLater(command: Command): void {
    this.#host.after(this.#random.between(AGAIN_MS), () => this.#give(command));
  }

  #give(command: Command): void {
    if (this.#ended || this.#open.get(command) !== null) return;
    const target = this.#host.targetOf(this);
    if (target === null || !target.reachable) {
      this.#giveLater(command);
      return;
    }
    const { nowMs, history } = this.#host;
    command.attemptMs = nowMs;
    command.attempts += 1;
    if (command.kind === 'read') {
      command.entry = history.beginRead(command.offsetBytes, command.lengthBytes, nowMs);
    }
    const at = { target, epoch: target.coordinator.state.record?.epoch ?? 0 };
    this.#open.set(command, at);
    target.submit(command, (error, data) => {
      at.epoch = target.coordinator.state.record?.epoch ?? 0;
      this.#host.targetAnswers(target, command, error);
      this.#host.after(this.#random.between(WIRE_MS), () => {
        if (this.#open.get(command) === at) this.#take(target, command, error, data);
      });
    });
  }

  #take(target: TargetHost, command: Command, error: BlockError | null, data: Buffer): void {
    const code = error === null ? 'GOOD' : error.code;
    this.#host.note(this.name, `${textOf(command)} ${code} after ${command.attempts} attempts`);
    if (error !== null && isDrivenAgain(error)) {
      this.#open.set(command, null);
      this.#giveLater(command);
      this.#host.answerTaken(target, command, error);
      return;
    }
    this.#open.delete(command);
    this.#record(command, error, data);
    this.#host.answerTaken(target, command, error);
    if (this.#issuing) this.#thinkThenIssue();
  }

  #record(command: Command, error: BlockError | null, data: Buffer): void {
    const { history, nowMs } = this.#host;
    switch (command.kind) {
      case 'read': {
        if (error !== null) return;
        const violation = history.readDone(command.entry, data, nowMs);
        if (violation !== null) this.#host.impossible(command, violation);
        return;
      }
      case 'write':
      case 'unmap':
        // R12: answered with an error, its range is as it will be: it takes no effect later.
        if (error === null) history.writeDone(command.entry, command.attemptMs, nowMs);
        else history.closeWrite(command.entry, nowMs);
        return;
      case 'flush':
        if (error === null) history.flushDone(command.attemptMs);
    }
  }
}

/** BUSY, and what a real initiator sees as a lost connection. */
function isDrivenAgain(error: BlockError): boolean {
  switch (error.code) {
    case 'busy':
    case 'disconnected':
    case 'fenced':
      return true;
    case 'outOfRange':
    case 'mediumError':
    case 'noSpace':
    case 'cachesLost':
    case 'refused':
      return false;
  }
}
