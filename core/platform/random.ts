export interface Random {
  /** An integer, 0 ≤ result < limit ≤ 2^48. */
  below(limit: number): number;
  bytes(length: number): Buffer;
  /** RFC 9562 version 4. */
  uuid(): string;
}
