import { apiError } from '../../core/api/errors.ts';
import type { ClusterContext } from './context.ts';
import type { VersionedVolume } from './volume-documents.ts';

/** @throws ApiError `notFound`. */
export async function requireVolume(
  { volumes }: ClusterContext,
  reference: string,
): Promise<VersionedVolume> {
  const found = await volumes.find(reference);
  if (found !== null) return found;
  throw apiError('notFound', `volume ${JSON.stringify(reference.slice(0, 128))} does not exist`);
}
