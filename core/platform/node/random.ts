import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import type { Random } from '../random.ts';

export class NodeRandom implements Random {
  below(limit: number): number {
    // randomInt asks for a range under 2^48; one less than the limit is the largest result.
    return limit === 2 ** 48 ? randomBytes(6).readUIntBE(0, 6) : randomInt(limit);
  }

  bytes(length: number): Buffer {
    return randomBytes(length);
  }

  uuid(): string {
    return randomUUID();
  }
}
