/**
 * Data-path promise 6. While the target serves, the store is there and two members in sync are
 * well, every command is answered in the time that it takes to remove the third, without an error.
 */
import { DATA_DEADLINE_MS, FLUSH_DEADLINE_MS, PING_DEADLINE_MS } from '../../../core/limits.ts';
import { type Command, textOf } from '../client/command.ts';
import type { MakeChecker } from './checker.ts';

/** From a missed deadline to the removal that is durable everywhere. */
const REMOVAL_MS = 2_500;

export const slowReplicaIsNoOutage: MakeChecker = (world, fail) => {
  const boundMs = (command: Command): number =>
    REMOVAL_MS +
    (command.kind === 'flush' ? FLUSH_DEADLINE_MS : Math.max(DATA_DEADLINE_MS, PING_DEADLINE_MS));
  const wasCalm = (command: Command): boolean => {
    const { calmSinceMs } = world.health;
    return calmSinceMs !== null && calmSinceMs < command.attemptMs;
  };
  return {
    name: 'slow-replica-is-no-outage',
    heard(event) {
      if (event.kind === 'answered' && event.error !== null) {
        const { command, error } = event;
        if (event.target !== world.currentTarget || !wasCalm(command)) return;
        fail(`${textOf(command)} was answered ${error.code} (${error.message}) with all it needs`);
      }
      if (event.kind !== 'tick') return;
      for (const command of world.initiator?.openCommands ?? []) {
        const takesMs = world.simulation.nowMs - command.attemptMs;
        if (command.attempts === 0 || takesMs <= boundMs(command) || !wasCalm(command)) continue;
        fail(`${textOf(command)} takes ${takesMs.toFixed(0)} ms with two members well`);
      }
    },
  };
};
