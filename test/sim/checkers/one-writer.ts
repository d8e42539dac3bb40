/**
 * Data-path promise 3. From the first answer of a target on, no target of a lower epoch answers
 * GOOD to a change that it was given later; from its first change on, none answers a read.
 */
import { textOf } from '../client/command.ts';
import type { MakeChecker } from './checker.ts';

interface Reign {
  readonly epoch: number;
  readonly firstAnswerMs: number;
  firstChangeMs: number | null;
}

export const oneWriter: MakeChecker = (world, fail) => {
  let newest: Reign | null = null;
  return {
    name: 'one-writer',
    heard(event) {
      if (event.kind !== 'answered' || event.error !== null) return;
      const { command, target } = event;
      const epoch = target.coordinator.state.record?.epoch ?? 0;
      const { nowMs } = world.simulation;
      if (newest === null || epoch > newest.epoch) {
        newest = { epoch, firstAnswerMs: nowMs, firstChangeMs: null };
      }
      const isRead = command.kind === 'read';
      if (epoch === newest.epoch) {
        if (!isRead) newest.firstChangeMs ??= nowMs;
        return;
      }
      const who = `the target of epoch ${epoch} answered ${textOf(command)}`;
      if (isRead && newest.firstChangeMs !== null) {
        fail(`${who} after that of epoch ${newest.epoch} had changed something`);
      }
      if (!isRead && command.attemptMs > newest.firstAnswerMs) {
        fail(`${who}, given to it after that of epoch ${newest.epoch} had answered something`);
      }
    },
  };
};
