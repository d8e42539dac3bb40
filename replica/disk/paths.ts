/**
 *     POOL/pool.json                        the pool's id, made by the agent
 *     POOL/write-back-errors                how many were found (write-back-check.ts)
 *     POOL/replicas/REPLICA/                one replica:
 *       identity.json                       who it is
 *       promise  failed  record  current    slot files (slot-file.ts)
 *       lock                                held by the process that serves it
 *       layers-N/                           a chain; `current` says which N
 *         chain.json                        its layers, newest first
 *         volume-head-000.img|.index|.live  data, durable index, index of this boot
 *       dropped-…/                          being removed
 */
export function poolIdPath(poolPath: string): string {
  return `${poolPath}/pool.json`;
}

export function replicasPath(poolPath: string): string {
  return `${poolPath}/replicas`;
}

export function replicaPath(poolPath: string, replicaId: string): string {
  return `${replicasPath(poolPath)}/${replicaId}`;
}

export function identityPath(folder: string): string {
  return `${folder}/identity.json`;
}

export function lockPath(folder: string): string {
  return `${folder}/lock`;
}

export function slotPath(
  folder: string,
  name: 'promise' | 'failed' | 'record' | 'current',
): string {
  return `${folder}/${name}`;
}

export const LAYERS_PREFIX = 'layers-';
export const DROPPED_PREFIX = 'dropped-';

export function chainPath(layersFolder: string): string {
  return `${layersFolder}/chain.json`;
}

export function layerPaths(
  layersFolder: string,
  name: string,
): { readonly data: string; readonly index: string; readonly live: string } {
  const stem = `${layersFolder}/${name}`;
  return { data: `${stem}.img`, index: `${stem}.index`, live: `${stem}.live` };
}
