export { Chain, type ChainOptions } from './chain.ts';
export {
  BLOCK_BYTES,
  type ByteRange,
  type FetchBlock,
  NO_BREAKS,
  type ReplicaBreak,
} from './chain-parts.ts';
export { decodeIndexPage, INDEX_PAGE_BYTES } from './index-page.ts';
export {
  INDEX_HEADER_BYTES,
  indexFileBytes,
  indexPageCount,
  LayerIndex,
} from './layer-index.ts';
export type { Layer } from './layer-stack.ts';
export {
  SEALED_HEADER_BYTES,
  type SealedKind,
  sealPage,
  unsealPage,
} from './sealed-page.ts';
export {
  asStorageError,
  corruptFile,
  isNoSpace,
  missingFile,
  newerFormat,
  StorageError,
  type StorageErrorCode,
  storageError,
} from './storage-error.ts';
export {
  parseSyncFlag,
  SYNC_FLAG_AT,
  SYNC_FLAG_BYTES,
  SyncFlag,
  type SyncFlagState,
} from './sync-flag.ts';
