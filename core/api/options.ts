/** Volume options as strings: the same words at every front door (docker -o, CSI, dvdcli). */

import { messageOf } from '../errors.ts';
import { parseVolumeSize } from '../units.ts';
import { type ApiError, apiError } from './errors.ts';
import { type CreateVolume, REPLICAS_MAX, volumeNameSchema } from './volumes.ts';

const VALID = ['size', 'replicas', 'fs', 'fsOptions', 'pool', 'nodes', 'zones'] as const;

/** Words that other versions of this system know; said so, instead of "unknown". */
const LATER = ['iops', 'bandwidth', 'from', 'snapshotSchedule', 'encrypted'];

/**
 * @throws ApiError badRequest that names volume and option, what is wrong and what is valid.
 */
export function parseVolumeOptions(
  name: string,
  options: Readonly<Record<string, string>>,
): CreateVolume {
  const label = volumeNameSchema.safeParse(name);
  if (!label.success) throw wrong(name, label.error.issues[0]?.message ?? 'this is no name');
  const request: CreateVolume = { name };
  for (const [option, value] of Object.entries(options)) {
    switch (option) {
      case 'size':
        request.sizeBytes = sizeOf(name, value);
        break;
      case 'replicas':
        request.replicas = replicasOf(name, value);
        break;
      case 'fs':
        request.fileSystem = fileSystemOf(name, value);
        break;
      case 'fsOptions':
        request.fileSystemOptions = value;
        break;
      case 'pool':
        request.pool = value;
        break;
      case 'nodes':
        request.nodes = namesOf(name, option, value);
        break;
      case 'zones':
        request.zones = namesOf(name, option, value);
        break;
      default:
        throw unknownOption(name, option);
    }
  }
  if (request.fileSystem === 'none' && request.fileSystemOptions !== undefined) {
    throw wrong(name, 'options fs=none and fsOptions contradict each other');
  }
  return request;
}

function sizeOf(volume: string, value: string): number {
  try {
    return parseVolumeSize(value);
  } catch (cause) {
    throw wrong(volume, messageOf(cause));
  }
}

function replicasOf(volume: string, value: string): number {
  const replicas = /^[0-9]{1,2}$/.test(value) ? Number(value) : 0;
  if (replicas >= 1 && replicas <= REPLICAS_MAX) return replicas;
  throw wrong(volume, `option replicas=${shown(value)} is not a number from 1 to ${REPLICAS_MAX}`);
}

function fileSystemOf(volume: string, value: string): 'ext4' | 'xfs' | 'none' {
  if (value === 'ext4' || value === 'xfs' || value === 'none') return value;
  throw wrong(volume, `option fs=${shown(value)} is not one of ext4, xfs, none`);
}

/** Separated by commas or blanks. What a name may be is the schema's. */
function namesOf(volume: string, option: string, value: string): string[] {
  const names = value.split(/[ ,]+/).filter((name) => name !== '');
  if (names.length > 0) return names;
  throw wrong(volume, `option ${option} names nothing: give names, separated by commas`);
}

function unknownOption(volume: string, option: string): ApiError {
  const what = LATER.includes(option) ? 'is not available in this version' : 'is unknown';
  return wrong(volume, `option ${shown(option)} ${what}; valid options: ${VALID.join(', ')}`);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}

function wrong(volume: string, detail: string): ApiError {
  return apiError('badRequest', `volume ${shown(volume)}: ${detail}`, { volume });
}
