/**
 * Waits until every command that it was given is over: what was handed to the device settles, the
 * rest is dropped (replication R12).
 */
export class TaskAbort {
  readonly #done: () => void;
  #waitingFor = 1;

  constructor(done: () => void) {
    this.#done = done;
  }

  add(): void {
    this.#waitingFor += 1;
  }

  /** One command is over; or, once, from who made it: all commands were added. */
  settle(): void {
    this.#waitingFor -= 1;
    if (this.#waitingFor === 0) this.#done();
  }
}
