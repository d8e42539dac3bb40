/** Errors are part of the simulated faults: the 100 frames that jest records of each cost too much. */
const STACK_FRAMES_MAX = 20;

/** The process itself, as a jest environment; what jest changes of it is put back after each file. */
export default class ProcessEnvironment {
  readonly global = globalThis;
  /** Nothing is mocked. Jest asks this at the end of each file all the same. */
  readonly moduleMocker = { restoreAllMocks: () => {} };
  readonly fakeTimers = null;
  readonly fakeTimersModern = null;
  readonly #console = globalThis.console;
  readonly #exit = Object.getOwnPropertyDescriptor(process, 'exit') ?? {};

  getVmContext(): null {
    return null;
  }

  exportConditions(): string[] {
    return ['node', 'node-addons'];
  }

  async setup(): Promise<void> {
    Error.stackTraceLimit = STACK_FRAMES_MAX;
  }

  async teardown(): Promise<void> {
    globalThis.console = this.#console;
    Object.defineProperty(process, 'exit', this.#exit);
  }
}
