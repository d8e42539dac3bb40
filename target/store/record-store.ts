/**
 * The volume's record in the cluster store, over the apiserver's HTTP API. Checked by hand: a
 * target loads no schema library.
 */
import { CodedError } from '../../core/errors.ts';
import type { HttpResponse, HttpTransport } from '../../core/platform/index.ts';
import { parseRecord, type VolumeRecord } from '../../core/volume/record.ts';

export class StoreError extends CodedError<{
  /** No usable answer: what was asked may have been done, or may still be. */
  readonly code: 'unanswered';
  readonly status: number;
}> {
  override readonly name = 'StoreError';
}

export interface StoredRecord {
  readonly version: number;
  readonly record: VolumeRecord;
  readonly addresses: Readonly<Record<string, string>>;
}

export type SwapResult =
  | { readonly kind: 'committed'; readonly version: number }
  | { readonly kind: 'conflict' };

const READ_TIMEOUT_MS = 3_000;
const SWAP_TIMEOUT_MS = 5_000;

export interface HttpRecordStoreOptions {
  readonly transport: HttpTransport;
  readonly volumeId: string;
  readonly instance: string;
}

export class HttpRecordStore {
  readonly #options: HttpRecordStoreOptions;

  constructor(options: HttpRecordStoreOptions) {
    this.#options = options;
  }

  async read(): Promise<StoredRecord> {
    const { transport, volumeId } = this.#options;
    const path = `/v1/volumes/${volumeId}/record`;
    const response = await transport.request({ method: 'GET', path, timeoutMs: READ_TIMEOUT_MS });
    const fields = fieldsOf(response);
    const { version, addresses } = fields;
    if (response.status !== 200 || typeof version !== 'number') throw unanswered(response);
    return { version, record: parseRecord(fields['record']), addresses: addressesOf(addresses) };
  }

  /** Rejects when the outcome is unknown (R1); `conflict` when nothing was changed. */
  async swap(version: number, next: VolumeRecord): Promise<SwapResult> {
    const { transport, volumeId, instance } = this.#options;
    const response = await transport.request({
      method: 'PUT',
      path: `/v1/volumes/${volumeId}/record`,
      body: { version, record: next, actor: { kind: 'target', instance } },
      timeoutMs: SWAP_TIMEOUT_MS,
    });
    if (response.status === 409 || response.status === 403) return { kind: 'conflict' };
    const committed = fieldsOf(response)['version'];
    if (response.status !== 200 || typeof committed !== 'number') throw unanswered(response);
    return { kind: 'committed', version: committed };
  }
}

function fieldsOf(response: HttpResponse): Readonly<Record<string, unknown>> {
  const { body } = response;
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body);
  return isObject ? (body as Readonly<Record<string, unknown>>) : {};
}

function addressesOf(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return {};
  const addresses: Record<string, string> = {};
  for (const [id, address] of Object.entries(value)) {
    if (typeof address === 'string') addresses[id] = address;
  }
  return addresses;
}

function unanswered(response: HttpResponse): StoreError {
  const { detail } = fieldsOf(response);
  const said = typeof detail === 'string' ? `: ${detail}` : '';
  return new StoreError(
    { code: 'unanswered', status: response.status },
    `the apiserver answered ${response.status}${said}`,
  );
}
