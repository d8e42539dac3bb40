import { ApiError, type VolumeView } from '../../core/api/index.ts';
import { type CliContext, type GlobalOptions, serverOf } from '../context.ts';
import { failure } from '../failure.ts';
import { note, print } from '../output/print.ts';
import { withProgress } from '../output/progress.ts';
import { paletteOf } from '../output/text.ts';
import { volumeTable, volumeText } from '../output/volume-text.ts';

export async function listVolumes(context: CliContext, options: GlobalOptions): Promise<void> {
  const { client } = serverOf(context, options);
  const { volumes } = await withProgress(context, 'listing volumes', () =>
    client.listVolumes({ signal: context.interrupted }),
  );
  if (volumes.length === 0 && options.output === 'table') {
    note(context, 'there are no volumes; make one: mayactl volume create NAME --size 1G');
    return;
  }
  const palette = paletteOf(context, context.stdout);
  print(context, options.output, { data: volumes, text: () => volumeTable(volumes, palette) });
}

export async function showVolume(
  context: CliContext,
  name: string,
  options: GlobalOptions,
): Promise<void> {
  const volume = await fetchVolume(context, name, options);
  const palette = paletteOf(context, context.stdout);
  print(context, options.output, { data: volume, text: () => volumeText(volume, palette) });
}

/** The `iscsi://` URL alone, as QEMU and libiscsi's tools take it. */
export async function volumeUrl(
  context: CliContext,
  name: string,
  options: GlobalOptions,
): Promise<void> {
  const volume = await fetchVolume(context, name, options);
  if (volume.attachment === null || volume.target === null) {
    throw failure(
      `volume "${name}" is not attached, so nothing serves it: ` +
        `mayactl volume attach ${name} --no-mount --initiator any`,
    );
  }
  const url = `iscsi://${volume.target.portal}/${volume.target.iqn}/0`;
  print(context, options.output, { data: { url }, text: () => url });
}

export async function fetchVolume(
  context: CliContext,
  name: string,
  options: GlobalOptions,
): Promise<VolumeView> {
  const { client } = serverOf(context, options);
  return withProgress(context, `asking for volume "${name}"`, () =>
    client.getVolume(name, { signal: context.interrupted }),
  );
}

/** Null when there is none. */
export async function findVolume(
  context: CliContext,
  name: string,
  options: GlobalOptions,
): Promise<VolumeView | null> {
  try {
    return await fetchVolume(context, name, options);
  } catch (error) {
    if (error instanceof ApiError && error.data.code === 'notFound') return null;
    throw error;
  }
}
