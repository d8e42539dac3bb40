/** ListVolumes in pages: by id, so that a page goes on behind a volume that is gone. */
import type { AgentVolume } from '../../core/api/index.ts';
import { invalid, shown } from './fields.ts';
import { grpcError } from './grpc/grpc-error.ts';
import type { ListVolumesRequest } from './messages.ts';

/** So many fit into the 4 MiB that callers take; they ask for more by the token. */
const PAGE_ENTRIES_MAX = 4_000;
const TOKEN_PREFIX = 'after:';
const TOKEN = /^after:([0-9a-f-]{36})$/;

export interface VolumePage {
  readonly volumes: readonly AgentVolume[];
  /** Empty: there are no more. */
  readonly nextToken: string;
}

/** @throws GrpcError ABORTED for a token that is not ours, as the specification says. */
export function pageOf(
  volumes: readonly AgentVolume[],
  { maxEntries, startingToken }: ListVolumesRequest,
): VolumePage {
  if (maxEntries < 0) throw invalid(`max_entries ${maxEntries} is negative`);
  const after = startingToken === '' ? '' : TOKEN.exec(startingToken)?.[1];
  if (after === undefined) {
    const detail = `starting_token ${shown(startingToken)} is not one of a next_token`;
    throw grpcError('ABORTED', `${detail}: start again without it`);
  }
  const left = volumes
    .filter(({ id }) => id > after)
    .toSorted((one, other) => (one.id < other.id ? -1 : 1));
  const size = Math.min(maxEntries === 0 ? PAGE_ENTRIES_MAX : maxEntries, PAGE_ENTRIES_MAX);
  const page = left.slice(0, size);
  const last = page.at(-1);
  const isEnd = last === undefined || page.length === left.length;
  return { volumes: page, nextToken: isEnd ? '' : `${TOKEN_PREFIX}${last.id}` };
}
