/**
 * Duty: the target of an attachment runs on its node, and nowhere else. Two that run are no
 * danger to the data (the replicas fence), but only one of them is of use.
 */
import type { Action } from './actions.ts';
import { iqnOf, type VolumeDocument } from './volume.ts';
import { onlineNode, onlineNodes, type World } from './world.ts';

export function targetActions(world: World): Action[] {
  return world.volumes.flatMap((volume): Action[] => {
    if (volume.phase.kind !== 'ready') return [];
    if (volume.phase.detaching) return detachActions(volume, world);
    const strays = strayTargets(volume, world);
    return strays.length > 0 ? strays : startActions(volume, world);
  });
}

/** Released first; the attachment goes when that has been answered. */
function detachActions(volume: VolumeDocument, world: World): Action[] {
  const { attachment } = volume.record;
  if (attachment === null || onlineNode(world, attachment.node) === null) return [];
  return [stopTarget(volume, attachment.node, true)];
}

/** Targets of this volume that no attachment wants. */
function strayTargets(volume: VolumeDocument, world: World): Action[] {
  const { attachment } = volume.record;
  return onlineNodes(world)
    .filter((node) => {
      const target = node.targets.get(volume.id);
      if (target === undefined || target.process === 'stopped') return false;
      return attachment?.node !== node.name || attachment.token !== target.attachmentToken;
    })
    .map((node) => stopTarget(volume, node.name, false));
}

/** `failed` is left to the agent: it restarts what crashed; the rest is for an operator (R5). */
function startActions(volume: VolumeDocument, world: World): Action[] {
  const { attachment } = volume.record;
  if (attachment === null) return [];
  const node = onlineNode(world, attachment.node);
  if (node === null) return [];
  const target = node.targets.get(volume.id);
  if (target !== undefined && target.process !== 'stopped') return [];
  return [
    {
      kind: 'runTarget',
      node: node.name,
      volumeId: volume.id,
      volumeName: volume.name,
      order: {
        volumeId: volume.id,
        attachmentToken: attachment.token,
        iqn: iqnOf(volume.id),
        portal: volume.portal,
        replicaToken: volume.replicaToken,
      },
    },
  ];
}

function stopTarget(volume: VolumeDocument, node: string, detaches: boolean): Action {
  return { kind: 'stopTarget', node, volumeId: volume.id, volumeName: volume.name, detaches };
}
