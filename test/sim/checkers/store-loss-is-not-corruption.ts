/**
 * Data-path promise 9. Without the store or too many replicas commands wait and are answered BUSY:
 * no other error, unless a medium failed or all caches were lost; and no target goes on with a
 * record that was rolled back (R5), while none stops for that without cause.
 */
import type { BlockErrorData } from '../../../core/block/block-device.ts';
import { textOf } from '../client/command.ts';
import type { World } from '../world/world.ts';
import type { MakeChecker } from './checker.ts';

export const storeLossIsNotCorruption: MakeChecker = (world, fail) => ({
  name: 'store-loss-is-not-corruption',
  heard(event) {
    if (event.kind === 'targetStopped' && event.why.code === 'evidence') {
      if (!world.keeper.rolledBack) fail(`a target stopped without cause: ${event.why.detail}`);
    }
    if (event.kind === 'answered' && event.error !== null) {
      const { command, error } = event;
      if (mayBe(world, error.code)) return;
      fail(`${textOf(command)} was answered ${error.code}: ${error.message}`);
    }
  },
});

function mayBe(world: World, code: BlockErrorData['code']): boolean {
  const { faults } = world.options;
  switch (code) {
    case 'busy':
      return true;
    case 'noSpace':
      return faults.includes('noSpace');
    case 'mediumError':
      return ['readErrors', 'writeErrors', 'syncErrors'].some((name) =>
        faults.includes(name as (typeof faults)[number]),
      );
    case 'cachesLost':
      return world.powerLosses.length > 0;
    case 'disconnected':
    case 'fenced':
    case 'outOfRange':
    case 'refused':
      return false;
  }
}
