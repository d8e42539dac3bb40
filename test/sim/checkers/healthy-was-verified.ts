/**
 * Data-path promise 8. When the record begins to count a rebuilt member, no write is let in until
 * all members have been compared: they are the same. Where no medium failed, a rebuild gives what
 * its verification expects: a difference there is an alarm (R24).
 */
import type { MakeChecker } from './checker.ts';

const MEDIUM_FAULTS = ['readErrors', 'writeErrors', 'noSpace'] as const;

export const healthyWasVerified: MakeChecker = (world, fail) => {
  let counted: readonly string[] = [];
  const mayDiffer =
    world.options.rebuildsMayDiffer || MEDIUM_FAULTS.some((name) => world.mayHappen(name));
  return {
    name: 'healthy-was-verified',
    heard(event) {
      if (event.kind === 'membersDiffer' && event.occasion === 'admission') fail(event.difference);
      if (event.kind === 'rebuildMismatch' && !mayDiffer) fail(`a rebuild differs: ${event.what}`);
      if (event.kind !== 'committed') return;
      const { replicas } = event.commit.record;
      const inSync = replicas.filter(({ state }) => state === 'inSync').map(({ id }) => id);
      const admitted = inSync.some((id) => !counted.includes(id));
      if (admitted && counted.length > 0) world.intermissions.begin('admission');
      counted = inSync;
    },
  };
};
