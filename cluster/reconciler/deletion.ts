/** Duty: of a volume with a tombstone the target stops, the files go, then the document goes. */
import type { Action } from './actions.ts';
import type { NodeSight } from './observed.ts';
import { hasNoFiles, type VolumeDocument } from './volume.ts';
import { onlineNode, onlineNodes, type World } from './world.ts';

export function deletionActions(world: World): Action[] {
  return world.volumes
    .filter((volume) => volume.phase.kind === 'deleting')
    .flatMap((volume) => deletionOf(volume, world));
}

function deletionOf(volume: VolumeDocument, world: World): Action[] {
  const names = { volumeId: volume.id, volumeName: volume.name };
  const targets = onlineNodes(world).filter((node) => runsTarget(node, volume.id));
  if (targets.length > 0) {
    return targets.map(({ name }) => ({
      kind: 'stopTarget',
      node: name,
      ...names,
      detaches: false,
    }));
  }
  if (hasNoFiles(volume)) return [{ kind: 'bury', node: null, ...names }];
  // A folder that was only wanted may be there all the same: the answer may have been lost.
  return volume.replicas
    .filter(({ folder, node }) => folder !== 'removed' && onlineNode(world, node) !== null)
    .map(({ id, node }) => ({ kind: 'removeReplica', node, ...names, replicaId: id }));
}

/**
 * Duty: what still shows up of a buried volume is removed: a folder whose making was answered
 * too late, or one on a restored disk. What has no tombstone is left alone (R7).
 */
export function orphanActions(world: World): Action[] {
  return onlineNodes(world).flatMap((node): Action[] => {
    const names = (volumeId: string) => ({ node: node.name, volumeId, volumeName: '' });
    const targets = [...world.buried].filter((id) => runsTarget(node, id));
    const replicas = [...node.replicas].filter(([, { volumeId }]) => world.buried.has(volumeId));
    return [
      ...targets.map((id): Action => ({ kind: 'stopTarget', ...names(id), detaches: false })),
      ...replicas.map(
        ([replicaId, { volumeId }]): Action => ({
          kind: 'removeReplica',
          ...names(volumeId),
          replicaId,
        }),
      ),
    ];
  });
}

function runsTarget(node: NodeSight, volumeId: string): boolean {
  const target = node.targets.get(volumeId);
  return target !== undefined && target.process !== 'stopped';
}
