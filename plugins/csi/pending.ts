import { grpcError } from './grpc/grpc-error.ts';

/**
 * One operation per volume at a time; a second is told so ("Operation pending for volume"). By the
 * volume's id or name as the caller gives it: a caller that uses both has the agent to keep its
 * calls apart.
 */
export class PendingOperations {
  readonly #methods = new Map<string, string>();

  get count(): number {
    return this.#methods.size;
  }

  /** @throws GrpcError ABORTED */
  async run<Answer>(
    volume: string,
    method: string,
    operation: () => Promise<Answer>,
  ): Promise<Answer> {
    const pending = this.#methods.get(volume);
    if (pending !== undefined) {
      const detail = `volume ${JSON.stringify(volume)}: ${pending} is still under way`;
      throw grpcError('ABORTED', `${detail}; try again when it has ended`);
    }
    this.#methods.set(volume, method);
    try {
      return await operation();
    } finally {
      this.#methods.delete(volume);
    }
  }
}
