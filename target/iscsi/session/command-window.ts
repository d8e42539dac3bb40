import { distance, next } from '../pdu/serial.ts';

/**
 * The command window (RFC 7143 §4.2.2.1). Requests run in the order of CmdSN; one that came early
 * is held until the gap before it is filled. MaxCmdSN goes up by one with each request that is
 * over, so it never goes back.
 */
export class CommandWindow<Request> {
  #expected: number;
  #max: number;
  readonly #held = new Map<number, Request>();

  /** @param first CmdSN of the login, which the first request after it has too. */
  constructor(first: number, size: number) {
    this.#expected = first;
    this.#max = (first + size - 1) | 0;
  }

  get expected(): number {
    return this.#expected;
  }

  get max(): number {
    return this.#max;
  }

  /**
   * @returns `run` now, after which `takeNext` gives those that it held up; `hold` it, with the
   * request; `ignore` it: outside of the window or a repetition (§4.2.2.1: silently).
   */
  classify(number: number): 'run' | 'hold' | 'ignore' {
    if (number === this.#expected && distance(this.#max, number) >= 0) {
      this.#expected = next(number);
      return 'run';
    }
    const isWithin = distance(number, this.#expected) > 0 && distance(this.#max, number) >= 0;
    return isWithin && !this.#held.has(number) ? 'hold' : 'ignore';
  }

  /** Also to put something else in the place of what is held. */
  hold(number: number, request: Request): void {
    this.#held.set(number, request);
  }

  /** The held request whose turn it is now, or undefined. */
  takeNext(): Request | undefined {
    if (this.#held.size === 0) return undefined;
    const request = this.#held.get(this.#expected);
    if (request === undefined) return undefined;
    this.#held.delete(this.#expected);
    this.#expected = next(this.#expected);
    return request;
  }

  /** A request that was not immediate is over. */
  release(): void {
    this.#max = next(this.#max);
  }

  contains(number: number): boolean {
    return distance(number, this.#expected) >= 0 && distance(this.#max, number) >= 0;
  }

  isHeld(number: number): boolean {
    return this.#held.has(number);
  }
}
