import type { Clock, Timer } from '../clock.ts';
import type { SimProcess } from './process.ts';
import type { SimRandom } from './random.ts';
import type { Simulation } from './simulation.ts';

/** A timer comes so much later than asked for, as that of a real event loop does. */
const TIMER_LATE_MS = [0.001, 1] as const;

export interface MachineClockOptions {
  /** How much faster (or slower, negative) than true time, in parts per million. */
  readonly driftPpm: number;
  /** What its wall clock is wrong by. */
  readonly wallErrorMs: number;
}

/** 2026-01-01: where the simulated wall clocks start. */
const EPOCH_MS = 1_767_225_600_000;

/** The clocks of one machine: boot time starts anew with every boot, and all of them drift. */
export class MachineClock {
  readonly #simulation: Simulation;
  readonly #rate: number;
  readonly #wallErrorMs: number;
  #bootedAtMs = 0;
  #bootTimeMs = 0;

  constructor(simulation: Simulation, options: MachineClockOptions) {
    this.#simulation = simulation;
    this.#rate = 1 + options.driftPpm / 1e6;
    this.#wallErrorMs = options.wallErrorMs;
  }

  /** @param bootTimeMs what the clock shows at this moment. */
  restart(bootTimeMs: number): void {
    this.#bootedAtMs = this.#simulation.nowMs;
    this.#bootTimeMs = bootTimeMs;
  }

  nowMs(): number {
    return this.#bootTimeMs + (this.#simulation.nowMs - this.#bootedAtMs) * this.#rate;
  }

  wallMs(): number {
    return EPOCH_MS + this.#wallErrorMs + this.#simulation.nowMs * this.#rate;
  }

  /** True milliseconds in which this clock goes on by `delayMs`, never less. */
  trueDelayMs(delayMs: number): number {
    return (delayMs / this.#rate) * (1 + Number.EPSILON * 8);
  }
}

/** The clock as one process sees it: its timers die with it. */
export class SimClock implements Clock {
  readonly #process: SimProcess;
  readonly #machineClock: MachineClock;
  readonly #random: SimRandom;

  constructor(owner: SimProcess, machineClock: MachineClock) {
    this.#process = owner;
    this.#machineClock = machineClock;
    this.#random = owner.simulation.fork(`timers/${owner.name}`);
  }

  nowMs(): number {
    return this.#machineClock.nowMs();
  }

  wallMs(): number {
    return this.#machineClock.wallMs();
  }

  timer(delayMs: number, fire: () => void): Timer {
    const trueMs = this.#machineClock.trueDelayMs(Math.max(0, delayMs));
    let pending: (() => void) | null = fire;
    const event = this.#process.simulation.schedule(
      trueMs + this.#random.between(TIMER_LATE_MS),
      () =>
        this.#process.enter(() => {
          // Cancelled while the process was paused, after the event itself had happened.
          const due = pending;
          pending = null;
          if (due === null) return;
          this.#process.note(`timer of ${delayMs} ms`);
          due();
        }),
    );
    return {
      cancel() {
        pending = null;
        event.cancel();
      },
    };
  }
}
