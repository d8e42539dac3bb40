/** Duty: a volume that is being made gets its folders, and only then its record (R6). */
import { type Action, replicaOrder } from './actions.ts';
import { published } from './volume.ts';
import { onlineNode, type World } from './world.ts';

export function creationActions(world: World): Action[] {
  return world.volumes.flatMap((volume): Action[] => {
    if (volume.phase.kind !== 'creating') return [];
    const names = { volumeId: volume.id, volumeName: volume.name };
    if (published(volume) !== null) return [{ kind: 'publish', node: null, ...names }];
    return volume.replicas
      .filter(({ folder, node }) => folder === 'wanted' && onlineNode(world, node) !== null)
      .map((replica) => ({
        kind: 'runReplica',
        node: replica.node,
        ...names,
        order: replicaOrder(volume, replica, true),
      }));
  });
}
