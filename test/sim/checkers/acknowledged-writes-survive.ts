/**
 * Data-path promise 1. What was written and answered GOOD is read again, whatever happened, but for
 * what was not flushed when every in-sync replica lost its power (the history knows).
 */
import { textOf } from '../client/command.ts';
import type { MakeChecker } from './checker.ts';

export const acknowledgedWritesSurvive: MakeChecker = (_world, fail) => ({
  name: 'acknowledged-writes-survive',
  heard(event) {
    if (event.kind !== 'impossibleRead' || event.violation.kind !== 'lostWrite') return;
    fail(`${textOf(event.command)}: ${event.violation.sentence}`);
  },
});
