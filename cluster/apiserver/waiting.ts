/** What a volume waits for, in words. */
import type { Hindrance } from '../reconciler/loop.ts';
import { type Nodes, silence } from '../reconciler/observed.ts';
import type { VolumeDocument } from '../reconciler/volume.ts';

export function waitsFor(
  volume: VolumeDocument,
  nodes: Nodes,
  hindrances: readonly Hindrance[],
): string {
  const pending = pendingNodes(volume);
  if (pending.length === 0) return 'the store';
  return pending
    .map((name) => {
      const node = nodes.get(name);
      if (node === undefined) return `node ${name} (never heard of since it was made)`;
      if (node.state === 'lost') return `node ${name} (${silence(node)})`;
      const hindrance = hindrances.find((one) => one.node === name);
      return hindrance === undefined ? `node ${name}` : `node ${name} (${hindrance.detail})`;
    })
    .join(', ');
}

/** Nodes that have still to do something for it, and cannot while they are lost. */
export function lostPendingNodes(volume: VolumeDocument, nodes: Nodes): readonly string[] {
  return pendingNodes(volume).filter((name) => nodes.get(name)?.state !== 'online');
}

/** Every node that has still to do something is lost. */
export function isStuck(volume: VolumeDocument, nodes: Nodes): boolean {
  const pending = pendingNodes(volume);
  return pending.length > 0 && lostPendingNodes(volume, nodes).length === pending.length;
}

function pendingNodes(volume: VolumeDocument): readonly string[] {
  const { phase, record, replicas } = volume;
  switch (phase.kind) {
    case 'creating':
      return replicas.filter(({ folder }) => folder === 'wanted').map(({ node }) => node);
    case 'deleting':
      return replicas.filter(({ folder }) => folder !== 'removed').map(({ node }) => node);
    case 'ready':
      return phase.detaching && record.attachment !== null ? [record.attachment.node] : [];
  }
}
