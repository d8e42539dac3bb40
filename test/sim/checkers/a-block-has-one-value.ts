/**
 * Data-path promise 2. A sector holds one write's bytes as a whole, and a value that was read stays
 * until another write; in the end every member in sync gives the same bytes.
 */
import { textOf } from '../client/command.ts';
import { differenceBetweenMembers } from '../world/members.ts';
import type { MakeChecker } from './checker.ts';

export const aBlockHasOneValue: MakeChecker = (world, fail) => ({
  name: 'a-block-has-one-value',
  heard(event) {
    if (event.kind === 'membersDiffer' && event.occasion !== 'admission') fail(event.difference);
    if (event.kind !== 'impossibleRead' || event.violation.kind === 'lostWrite') return;
    fail(`${textOf(event.command)}: ${event.violation.sentence}`);
  },
  async quiet() {
    const difference = await differenceBetweenMembers(world);
    if (difference !== null) fail(difference);
  },
});
