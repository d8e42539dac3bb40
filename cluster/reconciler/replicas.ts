/**
 * Duty: every replica of a ready volume runs. One that its agent calls `failed` is left to the
 * agent: it restarts what crashed, and what it has given up is for an operator (R5, R6).
 */
import { type Action, replicaOrder } from './actions.ts';
import { onlineNode, type World } from './world.ts';

export function replicaActions(world: World): Action[] {
  return world.volumes.flatMap((volume): Action[] => {
    if (volume.phase.kind !== 'ready') return [];
    const members = new Set(volume.record.replicas.map((member) => member.id));
    return volume.replicas
      .filter((replica) => members.has(replica.id))
      .filter((replica) => {
        const node = onlineNode(world, replica.node);
        if (node === null) return false;
        const process = node.replicas.get(replica.id)?.process ?? 'stopped';
        return process === 'stopped';
      })
      .map((replica) => ({
        kind: 'runReplica',
        node: replica.node,
        volumeId: volume.id,
        volumeName: volume.name,
        order: replicaOrder(volume, replica, false),
      }));
  });
}
