/**
 * Liveness. When nothing goes wrong any more, every member is in sync again, every command has its
 * end, nothing is left in flight, and the target releases the volume when asked.
 */
import type { MakeChecker } from './checker.ts';

export const itEndsWell: MakeChecker = (world, fail) => ({
  name: 'it-ends-well',
  async quiet() {
    const left = world.currentTarget?.coordinator.volume.inFlightCount ?? 0;
    if (left > 0) fail(`${left} commands are left in the volume though none is asked for`);
    for (const { node, id, replica } of world.replicas) {
      const status = await replica?.status();
      if (status?.state !== 'serving') fail(`replica ${id} on ${node} does not serve in the end`);
    }
  },
});
