import { CodedError, messageOf } from '../../errors.ts';
import { EventQueue, SimEvent } from './event-queue.ts';
import { SimMachine, type SimMachineOptions } from './machine.ts';
import { SimNetwork } from './network.ts';
import { SimRandom } from './random.ts';
import { Trace } from './trace.ts';

const TRACE_LENGTH = 2_000;
const TRACE_SHOWN = 60;
const WITHIN_MS = 600_000;
/** Events at one instant: above it nothing but a loop without time is going on. */
const EVENTS_PER_INSTANT_MAX = 1_000_000;

export interface SimulationOptions {
  /** Every choice of the run follows from it. */
  readonly seed: number | string;
  /**
   * Resolves when all microtasks have run, `() => new Promise(setImmediate)`: only the host of a
   * simulation can wait for that exactly, and nothing in here may know the real event loop.
   */
  readonly settle: () => Promise<void>;
  /** Events of one instant happen in a random order (default), or in that of their making. */
  readonly shuffleTies?: boolean;
}

/** `crashed`: code under test threw out of a callback, see `cause`; a real process would end. */
type SimulationErrorCode = 'notReached' | 'noProgress' | 'crashed';

export class SimulationError extends CodedError<{
  readonly code: SimulationErrorCode;
  readonly atMs: number;
}> {
  override readonly name = 'SimulationError';
}

/**
 * Machines, processes, disks and networks in one process under one clock. A run is a loop: take
 * the earliest event, set the clock to it, let it happen, let all promises settle.
 */
export class Simulation {
  readonly seed: string;
  /** For the scenario's own choices. */
  readonly random: SimRandom;
  readonly trace = new Trace(TRACE_LENGTH);
  readonly network: SimNetwork;
  readonly machines = new Map<string, SimMachine>();
  readonly #settle: () => Promise<void>;
  readonly #ties: SimRandom | null;
  readonly #events = new EventQueue();
  #nowMs = 0;
  #order = 0;
  #unsettled = false;
  #sameInstant = 0;

  constructor(options: SimulationOptions) {
    this.seed = `${options.seed}`;
    this.#settle = options.settle;
    const root = new SimRandom(this.seed);
    this.random = root.fork('scenario');
    this.#ties = options.shuffleTies === false ? null : root.fork('ties');
    this.network = new SimNetwork(this, root.fork('network'));
  }

  /** Simulated milliseconds since the start; every machine's own clock differs from it. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** A stream of choices of its own. */
  fork(label: string): SimRandom {
    return new SimRandom(`${this.seed}/${label}`);
  }

  /** The machine of that name, made (and booted) when it is first asked for. */
  machine(name: string, options: SimMachineOptions = {}): SimMachine {
    let machine = this.machines.get(name);
    if (machine === undefined) {
      machine = new SimMachine(this, name, options);
      this.machines.set(name, machine);
    }
    return machine;
  }

  /** Lets the scenario act `delayMs` from now. */
  after(delayMs: number, act: () => void): SimEvent {
    return this.schedule(delayMs, () => {
      this.entered();
      act();
    });
  }

  /** For the simulator's own parts; code under test is entered through SimProcess.enter. */
  schedule(delayMs: number, run: () => void): SimEvent {
    const tie = this.#ties === null ? 0 : this.#ties.next();
    const event = new SimEvent(this.#nowMs + Math.max(0, delayMs), tie, this.#order, run);
    this.#order += 1;
    this.#events.push(event);
    return event;
  }

  /** Code that may have made promises has run: they settle before the next event. */
  entered(): void {
    this.#unsettled = true;
  }

  note(where: string, what: string): void {
    this.trace.add(this.#nowMs, where, what);
  }

  /** One event, and what follows from it at once. False: none is to come. */
  async step(): Promise<boolean> {
    await this.#settleAll();
    const went = this.#next(Number.POSITIVE_INFINITY);
    await this.#settleAll();
    return went;
  }

  /** Runs for so long, whether anything happens or not. */
  async runFor(durationMs: number): Promise<void> {
    const untilMs = this.#nowMs + durationMs;
    await this.#run(untilMs, () => false);
    this.#nowMs = untilMs;
  }

  /**
   * Runs until `reached()`, which is asked after every event.
   *
   * @throws SimulationError with the end of the trace when that is not so within `withinMs`.
   */
  async runUntil(reached: () => boolean, withinMs = WITHIN_MS, what = 'the goal'): Promise<void> {
    if (await this.#run(this.#nowMs + withinMs, reached)) return;
    throw this.#error('notReached', `${what} was not reached within ${withinMs} ms`);
  }

  /** Runs until the promise has settled, and gives its value or throws its error. */
  async finish<Value>(promise: Promise<Value>, withinMs = WITHIN_MS): Promise<Value> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    await this.runUntil(() => settled, withinMs, 'the end of a promise');
    return promise;
  }

  /** Calls `start` with a callback and runs until that was called, for callback-style ports. */
  async call<Values extends readonly unknown[]>(
    start: (done: (...values: Values) => void) => void,
    withinMs = WITHIN_MS,
  ): Promise<Values> {
    let answer: Values | null = null;
    start((...values) => {
      answer = values;
    });
    await this.runUntil(() => answer !== null, withinMs, 'a callback');
    return answer as unknown as Values;
  }

  async #run(untilMs: number, reached: () => boolean): Promise<boolean> {
    // The scenario may have called something since the last run.
    await this.#settleAll();
    for (;;) {
      if (reached()) return true;
      const went = this.#next(untilMs);
      if (this.#unsettled) await this.#settleAll();
      if (!went) return reached();
    }
  }

  async #settleAll(): Promise<void> {
    this.#unsettled = false;
    await this.#settle();
  }

  #next(untilMs: number): boolean {
    const event = this.#events.peek();
    if (event === null || event.atMs > untilMs) return false;
    this.#events.pop();
    this.#sameInstant = event.atMs > this.#nowMs ? 0 : this.#sameInstant + 1;
    if (this.#sameInstant > EVENTS_PER_INSTANT_MAX) {
      throw this.#error('noProgress', 'events follow each other and no time passes');
    }
    this.#nowMs = Math.max(this.#nowMs, event.atMs);
    try {
      event.fire();
    } catch (cause) {
      throw this.#error('crashed', messageOf(cause), cause);
    }
    return true;
  }

  #error(code: SimulationErrorCode, sentence: string, cause?: unknown): SimulationError {
    const lines = this.trace.last(TRACE_SHOWN).join('\n  ');
    return new SimulationError(
      { code, atMs: this.#nowMs },
      `seed ${this.seed}, ${this.#nowMs.toFixed(3)} ms: ${sentence}; the last events:\n  ${lines}`,
      cause,
    );
  }
}
