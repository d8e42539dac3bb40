import { type CreateVolume, parseVolumeOptions, type VolumeView } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import { formatBytes, parseByteCount } from '../../core/units.ts';
import { type CliContext, type GlobalOptions, serverOf } from '../context.ts';
import { usageError } from '../failure.ts';
import { note, print } from '../output/print.ts';
import { withProgress } from '../output/progress.ts';

export interface CreateOptions extends GlobalOptions {
  readonly size?: string;
  readonly replicas?: string;
  readonly fs?: string;
  readonly fsOptions?: string;
  readonly pool?: string;
  readonly nodes?: string;
  readonly zones?: string;
}

/** Creating what is there with equal options is done at once; with others the cluster refuses. */
export async function createVolume(
  context: CliContext,
  name: string,
  options: CreateOptions,
): Promise<void> {
  const request = requestOf(name, options);
  if (options.size !== undefined && parseByteCount(options.size) !== request.sizeBytes) {
    const rounded = `size ${options.size} is rounded up to ${request.sizeBytes} bytes`;
    note(context, `volume "${name}": ${rounded} (4 KiB steps)`);
  }
  const { client } = serverOf(context, options);
  const volume = await withProgress(context, `creating volume "${name}"`, () =>
    client.createVolume(request, { signal: context.interrupted }),
  );
  print(context, options.output, { data: volume, text: () => createdText(volume) });
}

function requestOf(name: string, options: CreateOptions): CreateVolume {
  const { size, replicas, fs, fsOptions, pool, nodes, zones } = options;
  const words = { size, replicas, fs, fsOptions, pool, nodes, zones };
  const given = Object.entries(words).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, value] as const],
  );
  try {
    return parseVolumeOptions(name, Object.fromEntries(given));
  } catch (error) {
    throw usageError(messageOf(error), error);
  }
}

function createdText(volume: VolumeView): string {
  const nodes = volume.members.map((member) => member.node).join(', ');
  const copies = volume.replicas === 1 ? '1 replica' : `${volume.replicas} replicas`;
  const size = formatBytes(volume.sizeBytes);
  return `volume "${volume.name}" is there: ${size}, ${copies} on ${nodes}`;
}
