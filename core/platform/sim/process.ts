import { assert } from '../../assert.ts';
import type { Platform } from '../index.ts';
import { SimClock } from './clock.ts';
import { SimFiles } from './files.ts';
import type { SimMachine } from './machine.ts';
import type { SimNetwork } from './network.ts';
import { ProcessNetwork } from './process-network.ts';
import type { Simulation } from './simulation.ts';

/** Threads of the libuv pool: so many file operations of a process run at once. */
const POOL_THREADS = 4;

/**
 * `dying`: killed, but a thread is still in a system call, so that the kernel keeps its sockets
 * open and nobody can reap it yet.
 */
type ProcessState = 'running' | 'paused' | 'dying' | 'gone';

/** One process: whatever runs in it is entered through `enter`, and not at all once killed. */
export class SimProcess {
  readonly name: string;
  readonly machine: SimMachine;
  readonly simulation: Simulation;
  readonly platform: Platform;
  #state: ProcessState = 'running';
  #threadsBusy = 0;
  readonly #waitingForThread: (() => void)[] = [];
  readonly #backlog: (() => void)[] = [];
  readonly #goneListeners: (() => void)[] = [];

  constructor(machine: SimMachine, name: string) {
    this.machine = machine;
    this.simulation = machine.simulation;
    this.name = name;
    this.platform = {
      clock: new SimClock(this, machine.clock),
      random: this.simulation.fork(`process/${name}`),
      network: new ProcessNetwork(this, this.simulation.network),
      files: new SimFiles(this),
      host: machine.host,
    };
  }

  get state(): ProcessState {
    return this.#state;
  }

  get #network(): SimNetwork {
    return this.simulation.network;
  }

  /** Runs `code` in this process: now, after `resume` when paused, never once killed. */
  enter(code: () => void): void {
    switch (this.#state) {
      case 'running':
        // What came while it was paused goes first.
        if (this.#backlog.length > 0) {
          this.#backlog.push(code);
          return;
        }
        this.simulation.entered();
        code();
        return;
      case 'paused':
        this.#backlog.push(code);
        return;
      case 'dying':
      case 'gone':
    }
  }

  note(what: string): void {
    this.simulation.note(this.name, what);
  }

  /** SIGSTOP: no timer, no callback; its sockets stay open and its clock goes on. */
  pause(): void {
    if (this.#state !== 'running') return;
    this.note('paused');
    this.#state = 'paused';
  }

  /** SIGCONT: what came meanwhile happens now, in the order in which it came. */
  resume(): void {
    if (this.#state !== 'paused') return;
    this.note('resumed');
    this.#state = 'running';
    this.#startWaiting();
    this.#drainBacklog();
  }

  pauseFor(durationMs: number): void {
    this.pause();
    this.simulation.after(durationMs, () => this.resume());
  }

  /**
   * SIGKILL. Nothing of it is called again. Operations that a thread has begun still happen, as the
   * kernel cannot interrupt them; those that wait for a thread never do. Sockets are closed, and
   * `onGone` is told, when the last thread is out of the kernel.
   *
   * @param reapedAtOnce gone now, while begun writes still land later: what a supervisor does that
   * starts the successor without waiting for the real end.
   */
  kill({ reapedAtOnce = false }: { readonly reapedAtOnce?: boolean } = {}): void {
    if (this.#state === 'gone') return;
    this.note('killed');
    this.#state = 'dying';
    this.#waitingForThread.length = 0;
    this.#backlog.length = 0;
    if (reapedAtOnce || this.#threadsBusy === 0) this.#vanish('killed');
  }

  /** The machine lost its power: gone without a word to anybody. */
  losePower(): void {
    if (this.#state === 'gone') return;
    this.#waitingForThread.length = 0;
    this.#backlog.length = 0;
    this.#vanish('powerLost');
  }

  /** Tells the scenario, not another process, that it is gone and may be replaced. */
  onGone(listener: () => void): void {
    if (this.#state === 'gone') listener();
    else this.#goneListeners.push(listener);
  }

  /**
   * Runs a file operation when a thread of the pool is free. `operation` calls its argument when
   * the system call has returned.
   */
  useThread(operation: (finished: () => void) => void): void {
    if (this.#state === 'dying' || this.#state === 'gone') return;
    this.#waitingForThread.push(() => operation(() => this.#threadFinished()));
    this.#startWaiting();
  }

  #startWaiting(): void {
    while (this.#state === 'running' && this.#threadsBusy < POOL_THREADS) {
      const start = this.#waitingForThread.shift();
      if (start === undefined) return;
      this.#threadsBusy += 1;
      start();
    }
  }

  #threadFinished(): void {
    this.#threadsBusy -= 1;
    assert(this.#threadsBusy >= 0, 'a thread finishes once');
    if (this.#state === 'dying' && this.#threadsBusy === 0) this.#vanish('killed');
    this.#startWaiting();
  }

  #drainBacklog(): void {
    this.simulation.schedule(0, () => {
      if (this.#state !== 'running') return;
      const code = this.#backlog.shift();
      if (code === undefined) return;
      if (this.#backlog.length > 0) this.#drainBacklog();
      this.simulation.entered();
      code();
    });
  }

  #vanish(how: 'killed' | 'powerLost'): void {
    this.#state = 'gone';
    this.#network.processGone(this, how);
    this.machine.processGone(this);
    for (const listener of this.#goneListeners) {
      this.simulation.entered();
      listener();
    }
    this.#goneListeners.length = 0;
  }
}
