/** Latencies to the microsecond up to 100 ms, coarser above, in constant space. */
const FINE_US_MAX = 100_000;
/** Above that one bucket a millisecond, up to a minute. */
const COARSE_BUCKETS = 60_000;

export class LatencyHistogram {
  readonly #fine = new Uint32Array(FINE_US_MAX);
  readonly #coarse = new Uint32Array(COARSE_BUCKETS);
  #count = 0;
  #maxUs = 0;

  get count(): number {
    return this.#count;
  }

  get maxUs(): number {
    return this.#maxUs;
  }

  add(latencyUs: number): void {
    this.#count += 1;
    if (latencyUs > this.#maxUs) this.#maxUs = latencyUs;
    if (latencyUs < FINE_US_MAX) {
      const bucket = Math.floor(latencyUs);
      this.#fine[bucket] = (this.#fine[bucket] ?? 0) + 1;
    } else {
      const bucket = Math.min(Math.floor(latencyUs / 1000), COARSE_BUCKETS - 1);
      this.#coarse[bucket] = (this.#coarse[bucket] ?? 0) + 1;
    }
  }

  /** The latency that `share` (0 to 1) of all stay at or under; 0 when there are none. */
  percentileUs(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let bucket = 0; bucket < FINE_US_MAX; bucket += 1) {
      seen += this.#fine[bucket] ?? 0;
      if (seen >= wanted) return bucket;
    }
    for (let bucket = 0; bucket < COARSE_BUCKETS; bucket += 1) {
      seen += this.#coarse[bucket] ?? 0;
      if (seen >= wanted) return bucket * 1000;
    }
    return 0;
  }
}
