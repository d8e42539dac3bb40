/**
 * The store: desired state as versioned JSON documents. Every call is linearizable, and what a
 * call has returned survives a power cut. One implementation a folder; all pass
 * test/contract/store.test.ts.
 */
import { CodedError } from '../../core/errors.ts';

export interface StoredDocument {
  readonly kind: string;
  readonly id: string;
  /**
   * The store's revision at which this was written. No version is ever used twice, not even for
   * another document, so a swap can never hit a document that was removed and made again.
   */
  readonly version: number;
  /** JSON; a fresh copy that the caller may keep. */
  readonly value: unknown;
}

export interface DocumentList {
  /** Of the store, at the moment of the list. */
  readonly revision: number;
  /** Sorted by id. */
  readonly documents: readonly StoredDocument[];
}

export interface Store extends AsyncDisposable {
  /** Goes up by one with every change, and never down. */
  revision(): Promise<number>;
  get(kind: string, id: string): Promise<StoredDocument | null>;
  list(kind: string): Promise<DocumentList>;
  /** @throws StoreError `exists`. */
  create(kind: string, id: string, value: unknown): Promise<StoredDocument>;
  /** Replaces the document if it still has `version`. @throws StoreError `conflict`. */
  swap(expected: DocumentVersion, value: unknown): Promise<StoredDocument>;
  /** Removes the document if it still has `version`. @throws StoreError `conflict`. */
  remove(expected: DocumentVersion): Promise<void>;
  close(): Promise<void>;
}

export type DocumentVersion = Pick<StoredDocument, 'kind' | 'id' | 'version'>;

export type StoreErrorData =
  | { readonly code: 'exists' }
  /** Nothing was changed; `current` is what stands there now, null when nothing does. */
  | { readonly code: 'conflict'; readonly current: StoredDocument | null }
  /** Somebody else has the store open. */
  | { readonly code: 'locked' }
  /** Written by a newer version of this program. */
  | { readonly code: 'newer' }
  /** Cut short, overwritten, or no store of ours. */
  | { readonly code: 'damaged' }
  /** No space: nothing was changed. */
  | { readonly code: 'full' }
  /** The medium failed, or the store is closed: whether a change was made is not known. */
  | { readonly code: 'unavailable' };

export class StoreError extends CodedError<StoreErrorData> {
  override readonly name = 'StoreError';
}
