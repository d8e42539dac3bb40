import type { VolumeView } from '../../core/api/index.ts';
import { formatBytes } from '../../core/units.ts';
import { type CliContext, type GlobalOptions, serverOf } from '../context.ts';
import { failure, usageError } from '../failure.ts';
import { note, print } from '../output/print.ts';
import { withProgress } from '../output/progress.ts';
import { findVolume } from './volume-read.ts';

export interface DeleteOptions extends GlobalOptions {
  readonly yes?: boolean;
}

/** Asks first, for there is no way back. A volume that is not there is deleted already. */
export async function deleteVolume(
  context: CliContext,
  name: string,
  options: DeleteOptions,
): Promise<void> {
  const volume = await findVolume(context, name, options);
  if (volume === null) {
    note(context, `volume "${name}" does not exist: nothing to delete`);
    return;
  }
  if (options.yes !== true) await confirm(context, volume);
  const { client } = serverOf(context, options);
  const left = await withProgress(context, `deleting volume "${name}"`, () =>
    client.deleteVolume(volume.id, { signal: context.interrupted }),
  );
  const identity = { id: volume.id, name: volume.name };
  const data = left === null ? { deleted: identity } : { deleting: identity };
  print(context, options.output, { data, text: () => outcome(volume.name, left) });
}

/** Not everything is gone while a node with a replica is away. */
function outcome(name: string, left: VolumeView | null): string {
  if (left === null) return `volume "${name}" is deleted`;
  const why = left.message === '' ? '' : ` (${left.message})`;
  return (
    `volume "${name}" is being deleted${why}: ` +
    'it goes on by itself, and the name is free again when all its files are gone'
  );
}

async function confirm(context: CliContext, volume: VolumeView): Promise<void> {
  const { name } = volume;
  if (!context.stdinIsTerminal) {
    throw usageError(
      `volume "${name}" was not deleted: nobody is there to confirm it; add --yes to go ahead`,
    );
  }
  const size = formatBytes(volume.sizeBytes);
  const copies = volume.replicas === 1 ? '1 replica' : `${volume.replicas} replicas`;
  const answer = await context.ask(
    `Delete volume "${name}" (${size}, ${copies}) and all its data? [y/N] `,
  );
  if (/^\s*y(es)?\s*$/i.test(answer)) return;
  throw failure(`volume "${name}" was not deleted`);
}
