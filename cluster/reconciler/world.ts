import type { NodeSight, Nodes } from './observed.ts';
import type { VolumeDocument } from './volume.ts';

/** All that a plan is made of: what is wanted, and what is known to be. */
export interface World {
  readonly volumes: readonly VolumeDocument[];
  readonly nodes: Nodes;
  /** Ids of volumes that have a tombstone and nothing else. */
  readonly buried: ReadonlySet<string>;
}

export function onlineNode(world: World, name: string): NodeSight | null {
  const node = world.nodes.get(name);
  return node?.state === 'online' ? node : null;
}

export function onlineNodes(world: World): readonly NodeSight[] {
  return [...world.nodes.values()].filter((node) => node.state === 'online');
}

/** Volume ids that nodes report and the volumes do not have: perhaps deleted, perhaps not ours. */
export function strangerIds(volumes: readonly VolumeDocument[], nodes: Nodes): readonly string[] {
  const known = new Set(volumes.map((volume) => volume.id));
  const reported = new Set<string>();
  for (const node of nodes.values()) {
    for (const { volumeId } of node.replicas.values()) reported.add(volumeId);
    for (const volumeId of node.targets.keys()) reported.add(volumeId);
  }
  return [...reported].filter((id) => !known.has(id));
}
