import type { Action } from './actions.ts';
import { creationActions } from './creation.ts';
import { deletionActions, orphanActions } from './deletion.ts';
import { replicaActions } from './replicas.ts';
import { targetActions } from './targets.ts';
import type { World } from './world.ts';

/** All that should be done now, by all duties. Pure: the same world gives the same plan. */
export function plan(world: World): Action[] {
  return [
    ...targetActions(world),
    ...creationActions(world),
    ...deletionActions(world),
    ...replicaActions(world),
    ...orphanActions(world),
  ];
}
