import type { NodeView, StatusView } from '../../core/api/index.ts';
import { formatBytes } from '../../core/units.ts';
import { facts, table } from './table.ts';
import { type Palette, painted, printable } from './text.ts';

export function nodeTable(nodes: readonly NodeView[], palette: Palette): string {
  return table<NodeView>(
    [
      { head: 'NAME', cell: (node) => node.name },
      { head: 'STATE', cell: (node) => node.state, paint: (text) => painted(text, palette) },
      { head: 'POOLS', align: 'right', cell: (node) => `${node.pools.length}` },
      { head: 'AVAILABLE', align: 'right', cell: (node) => formatBytes(availableBytes(node)) },
      { head: 'REPLICAS', align: 'right', cell: (node) => `${node.replicaCount}` },
      { head: 'TARGETS', align: 'right', cell: (node) => `${node.targetCount}` },
      { head: 'VERSION', cell: (node) => node.version },
      { head: 'DOCKER SOCKET', cell: (node) => node.sockets.docker ?? '' },
    ],
    nodes,
  );
}

/** Pools of one file system share its free space: it counts once. */
function availableBytes(node: NodeView): number {
  const byFileSystem = new Map<string, number>();
  for (const pool of node.pools) {
    const known = byFileSystem.get(pool.fileSystemId) ?? 0;
    byFileSystem.set(pool.fileSystemId, Math.max(known, pool.availableBytes));
  }
  return [...byFileSystem.values()].reduce((sum, bytes) => sum + bytes, 0);
}

export function statusText(status: StatusView, palette: Palette): string {
  const onlineCount = status.nodes.filter((node) => node.state === 'online').length;
  const allOnline = onlineCount === status.nodes.length;
  const degraded = status.degraded.map(printable).join(', ');
  const lines: [string, string][] = [
    ['apiserver', status.version],
    ['nodes', paintedIf(allOnline, `${onlineCount} of ${status.nodes.length} online`, palette)],
    ['volumes', `${status.volumeCount}`],
    ['degraded', degraded === '' ? palette.good('none') : palette.warning(degraded)],
    ...status.warnings.map((warning): [string, string] => ['warning', printable(warning)]),
  ];
  const failedPools = status.nodes.flatMap((node) =>
    node.pools
      .filter((pool) => pool.state === 'failed')
      .map(({ name, reason }): [string, string] => [
        'failed pool',
        palette.bad(printable(`${name} of ${node.name}: ${reason}`)),
      ]),
  );
  return facts([...lines, ...failedPools]);
}

function paintedIf(isGood: boolean, text: string, palette: Palette): string {
  return isGood ? palette.good(text) : palette.warning(text);
}
