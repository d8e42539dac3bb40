/**
 * Data-path promise 8. When the record begins to count a rebuilt member, no write is let in until
 * all members have been compared: they are the same.
 */
import type { MakeChecker } from './checker.ts';

export const healthyWasVerified: MakeChecker = (world, fail) => {
  let counted: readonly string[] = [];
  return {
    name: 'healthy-was-verified',
    heard(event) {
      if (event.kind === 'membersDiffer' && event.occasion === 'admission') fail(event.difference);
      if (event.kind !== 'committed') return;
      const { replicas } = event.commit.record;
      const inSync = replicas.filter(({ state }) => state === 'inSync').map(({ id }) => id);
      const admitted = inSync.some((id) => !counted.includes(id));
      if (admitted && counted.length > 0) world.intermissions.begin('admission');
      counted = inSync;
    },
  };
};
