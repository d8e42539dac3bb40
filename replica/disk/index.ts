export type { ReplicaIdentity } from './identity.ts';
export { type CacheId } from './layer-files.ts';
export {
  allocatedBytesOf,
  cacheOfLayers,
  createLayersFolder,
  type OpenChainOptions,
  openLayersFolder,
} from './layers-folder.ts';
export {
  type CurrentLayers,
  closeReplicaFolder,
  createReplicaFolder,
  currentOf,
  type FailedMark,
  failedMarkOf,
  nextLayersName,
  openReplicaFolder,
  promiseOf,
  RECORD_BYTES_MAX,
  type ReplicaFolder,
  type ReplicaSpec,
  removeRetired,
  retireLayers,
  storeFailedMark,
} from './replica-folder.ts';
export { WriteBackCheck } from './write-back-check.ts';
