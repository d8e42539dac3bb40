import { resolve } from 'node:path';
import type { VolumeView } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import type { CliContext, GlobalOptions } from '../context.ts';
import { failure, usageError } from '../failure.ts';
import { note, print } from '../output/print.ts';
import { fetchVolume } from './volume-read.ts';

export interface NomadVolumeOptions extends GlobalOptions {
  readonly pluginId?: string;
  readonly namespace?: string;
  readonly file?: string;
}

/** Of the jobs in deploy/nomad. */
const DEFAULT_PLUGIN_ID = 'openebs';
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** A `capability` block. */
interface Capability {
  readonly access_mode: string;
  readonly attachment_mode: string;
}

/** What `nomad volume register` reads (command/volume_register_csi.go), as data. */
export interface NomadVolumeFile {
  readonly type: 'csi';
  readonly id: string;
  readonly name: string;
  readonly external_id: string;
  readonly plugin_id: string;
  readonly namespace?: string;
  readonly capability: readonly Capability[];
  readonly mount_options?: { readonly fs_type: string };
}

/** Writes the file that tells Nomad of a volume that is there, or prints it. */
export async function nomadVolume(
  context: CliContext,
  name: string,
  options: NomadVolumeOptions,
): Promise<void> {
  for (const [option, value] of [
    ['--plugin-id', options.pluginId],
    ['--namespace', options.namespace],
  ] as const) {
    if (value === undefined || NAME.test(value)) continue;
    throw usageError(`${option} ${JSON.stringify(value)} is not letters, digits and _ . -`);
  }
  const file = nomadVolumeFile(await fetchVolume(context, name, options), options);
  const text = volumeFileText(file);
  if (options.file === undefined) {
    print(context, options.output, { data: file, text: () => text.trimEnd() });
    return;
  }
  const path = resolve(options.file);
  try {
    await context.files.replace(path, text);
  } catch (error) {
    throw failure(`${path} is not written: ${messageOf(error)}`, error);
  }
  note(context, `${path} is written; next: nomad volume register ${path}`);
}

/** By the volume's id: another one that gets its name after a deletion is not meant. */
export function nomadVolumeFile(
  { id, name, fileSystem }: Pick<VolumeView, 'id' | 'name' | 'fileSystem'>,
  { pluginId = DEFAULT_PLUGIN_ID, namespace }: NomadVolumeOptions,
): NomadVolumeFile {
  const isRaw = fileSystem === 'none';
  const attachment_mode = isRaw ? 'block-device' : 'file-system';
  return {
    type: 'csi',
    id: name,
    name,
    external_id: id,
    plugin_id: pluginId,
    ...(namespace === undefined ? {} : { namespace }),
    capability: [
      { access_mode: 'single-node-writer', attachment_mode },
      { access_mode: 'single-node-reader-only', attachment_mode },
    ],
    ...(isRaw ? {} : { mount_options: { fs_type: fileSystem } }),
  };
}

/** In HCL, in the layout of `nomad fmt`. No value has a character that HCL would want escaped. */
export function volumeFileText({ capability, mount_options, ...words }: NomadVolumeFile): string {
  return [
    '# nomad volume register FILE',
    ...linesOf(words),
    ...capability.flatMap((one) => ['', ...blockOf('capability', { ...one })]),
    ...(mount_options === undefined ? [] : ['', ...blockOf('mount_options', mount_options)]),
    '',
  ].join('\n');
}

function blockOf(kind: string, words: Readonly<Record<string, string>>): readonly string[] {
  return [`${kind} {`, ...linesOf(words).map((line) => `  ${line}`), '}'];
}

function linesOf(words: Readonly<Record<string, string>>): readonly string[] {
  const width = Math.max(...Object.keys(words).map((name) => name.length));
  return Object.entries(words).map(([name, value]) => `${name.padEnd(width)} = "${value}"`);
}
