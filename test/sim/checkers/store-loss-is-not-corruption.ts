/**
 * Data-path promise 9. Without the store or too many replicas commands wait and are answered BUSY:
 * no other error, unless a medium failed or all caches were lost, and within 20 s (R18). No target
 * goes on with a record that was rolled back (R5), while none stops for that without cause.
 */
import type { BlockErrorData } from '../../../core/block/block-device.ts';
import { type Command, textOf } from '../client/command.ts';
import type { TargetHost } from '../world/target-host.ts';
import type { World } from '../world/world.ts';
import type { MakeChecker } from './checker.ts';

/** Where nothing is written in place, a mark whose space was reserved may lack it all the same. */
const MEDIUM_FAULTS = ['readErrors', 'writeErrors', 'syncErrors', 'noSpace'] as const;
/** R18: under 20 s an initiator does not give up; the way to it and back takes its time as well. */
const ANSWERED_WITHIN_MS = 20_000;

export const storeLossIsNotCorruption: MakeChecker = (world, fail) => {
  const firstLate = lateCommands(world);
  return {
    name: 'store-loss-is-not-corruption',
    heard(event) {
      if (event.kind === 'tick') {
        const late = firstLate();
        if (late !== null) fail(`${textOf(late)} has no answer after ${ANSWERED_WITHIN_MS} ms`);
      }
      if (event.kind === 'targetStopped' && event.why.code === 'evidence') {
        if (!world.keeper.rolledBack) fail(`a target stopped without cause: ${event.why.detail}`);
      }
      if (event.kind === 'answered' && event.error !== null) {
        const { command, error } = event;
        if (mayBe(world, error.code)) return;
        fail(`${textOf(command)} was answered ${error.code}: ${error.message}`);
      }
    },
  };
};

/** Asked every now and then: a command that waits for too long at a target that runs (R18). */
function lateCommands(world: World): () => Command | null {
  const lastPausedMs = new Map<TargetHost, number>();
  return () => {
    const { nowMs } = world;
    for (const target of world.targets) if (target.paused) lastPausedMs.set(target, nowMs);
    for (const initiator of world.initiators) {
      for (const [command, target] of initiator.given()) {
        const sinceMs = Math.max(command.attemptMs, lastPausedMs.get(target) ?? 0);
        if (target.reachable && nowMs - sinceMs > ANSWERED_WITHIN_MS) return command;
      }
    }
    return null;
  };
}

function mayBe(world: World, code: BlockErrorData['code']): boolean {
  switch (code) {
    case 'busy':
      return true;
    case 'noSpace':
      return world.mayHappen('noSpace');
    case 'mediumError':
      return MEDIUM_FAULTS.some((name) => world.mayHappen(name));
    case 'cachesLost':
      return world.powerLosses.length > 0;
    case 'disconnected':
    case 'fenced':
    case 'outOfRange':
    case 'refused':
      return false;
  }
}
