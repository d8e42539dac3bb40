/**
 * Data-path promise 8. When the record begins to count a rebuilt member, no write is let in until
 * all members have been compared: they are the same.
 */
import { differenceBetweenMembers } from '../world/members.ts';
import type { MakeChecker } from './checker.ts';

export const healthyWasVerified: MakeChecker = (world, fail) => ({
  name: 'healthy-was-verified',
  async quiet() {
    const difference = await differenceBetweenMembers(world);
    if (difference !== null) fail(difference);
  },
});
