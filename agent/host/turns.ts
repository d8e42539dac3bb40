import { apiError } from '../../core/api/index.ts';

/** So many may wait for one key; more are turned away instead of piling up. */
const WAITING_COUNT_MAX = 64;

/** One operation at a time per key (a volume, a replica), in the order they came. */
export class Turns {
  readonly #last = new Map<string, { turn: Promise<unknown>; count: number }>();

  /** @throws ApiError unavailable when too many wait already. */
  async take<Answer>(key: string, work: () => Promise<Answer>): Promise<Answer> {
    const before = this.#last.get(key);
    const count = (before?.count ?? 0) + 1;
    if (count > WAITING_COUNT_MAX) {
      throw apiError('unavailable', `too many operations wait for ${key}: try again later`);
    }
    const turn = (before?.turn ?? Promise.resolve()).then(work, work);
    const entry = { turn, count };
    this.#last.set(key, entry);
    try {
      return await turn;
    } finally {
      const last = this.#last.get(key);
      if (last === entry) this.#last.delete(key);
      else if (last !== undefined) last.count -= 1;
    }
  }

  /** Resolves when everything that was under way has ended. */
  async settled(): Promise<void> {
    while (this.#last.size > 0) {
      await Promise.allSettled([...this.#last.values()].map(({ turn }) => turn));
    }
  }
}
