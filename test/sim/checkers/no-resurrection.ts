/**
 * Data-path promise 4. The target that the committed record names reads from, and has copied from,
 * none but members that this record has in sync.
 */
import type { MakeChecker } from './checker.ts';

export const noResurrection: MakeChecker = (world, fail) => ({
  name: 'no-resurrection',
  heard(event) {
    if (event.kind !== 'memberRead' && event.kind !== 'sourceChosen') return;
    const { record } = world.keeper.current;
    if (record.targetInstance !== event.target.instance || world.keeper.rolledBack) return;
    const state = record.replicas.find(({ id }) => id === event.member)?.state ?? 'no member';
    if (state === 'inSync') return;
    const what = event.kind === 'memberRead' ? 'reads from' : 'has copied from';
    fail(`the target of epoch ${record.epoch} ${what} ${event.member}, which is ${state}`);
  },
});
