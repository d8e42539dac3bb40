import { VOLUME_BYTES_MAX, VOLUME_BYTES_MIN, VOLUME_BYTES_STEP } from '../../core/units.ts';
import { place } from './place.ts';
import type { PlacementRequest, SchedulerNode } from './pools.ts';

/** The largest size, a multiple of the step, that could be placed now; 0 when none could. */
export function largestVolumeBytes(
  request: Omit<PlacementRequest, 'sizeBytes'>,
  nodes: readonly SchedulerNode[],
): number {
  const fits = (steps: number) =>
    place({ ...request, sizeBytes: steps * VOLUME_BYTES_STEP }, nodes).kind === 'placed';
  // What fits is a range from 0 on: a smaller volume fits wherever a larger one does.
  let fitting = 0;
  let tooMany = VOLUME_BYTES_MAX / VOLUME_BYTES_STEP + 1;
  while (tooMany - fitting > 1) {
    const middle = Math.floor((fitting + tooMany) / 2);
    if (fits(middle)) fitting = middle;
    else tooMany = middle;
  }
  const sizeBytes = fitting * VOLUME_BYTES_STEP;
  return sizeBytes < VOLUME_BYTES_MIN ? 0 : sizeBytes;
}
