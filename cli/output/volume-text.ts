import { holderText, type MemberView, type VolumeView } from '../../core/api/index.ts';
import { formatBytes } from '../../core/units.ts';
import { facts, table } from './table.ts';
import { type Palette, painted, printable } from './text.ts';

export function volumeTable(volumes: readonly VolumeView[], palette: Palette): string {
  return table<VolumeView>(
    [
      { head: 'NAME', cell: (volume) => volume.name },
      { head: 'SIZE', align: 'right', cell: (volume) => formatBytes(volume.sizeBytes) },
      { head: 'FS', cell: (volume) => volume.fileSystem },
      { head: 'IN SYNC', align: 'right', cell: inSync },
      { head: 'CONDITION', cell: stateOf, paint: (text) => painted(text, palette) },
      { head: 'NODE', cell: (volume) => volume.attachment?.node ?? '' },
      { head: 'MESSAGE', cell: (volume) => volume.message },
    ],
    volumes,
  );
}

export function volumeText(volume: VolumeView, palette: Palette): string {
  const { attachment, target } = volume;
  const consumers = volume.consumers.map((one) => `${holderText(one)} on ${one.node}`);
  const { claim } = volume;
  const lines: [string, string][] = [
    ['name', volume.name],
    ['id', volume.id],
    ['size', formatBytes(volume.sizeBytes)],
    ['file system', `${volume.fileSystem} ${volume.fileSystemOptions}`.trim()],
    ['condition', `${painted(stateOf(volume), palette)} ${suffix(volume.message)}`.trimEnd()],
    ['in sync', inSync(volume)],
    ['attached to', attachment === null ? '-' : attachment.node],
    ['target', target === null ? '-' : `${painted(target.state, palette)} at ${target.portal}`],
    ['used by', consumers.length === 0 ? '-' : printable(consumers.join(', '))],
    ['claimed by', claim === null ? '-' : `${claim.door} for ${claim.node}`],
    ['created', volume.createdAt],
  ];
  if (target !== null && target.reason !== '')
    lines.push(['target says', printable(target.reason)]);
  return `${facts(lines)}\n\n${memberTable(volume.members, palette)}`;
}

export function memberTable(members: readonly MemberView[], palette: Palette): string {
  return table<MemberView>(
    [
      { head: 'REPLICA', cell: (member) => member.id.slice(0, 8) },
      { head: 'NODE', cell: (member) => member.node },
      { head: 'STATE', cell: memberState, paint: (text, row) => paintMember(text, row, palette) },
      {
        head: 'PROCESS',
        cell: (member) => member.process,
        paint: (text) => painted(text, palette),
      },
      { head: 'STORED', align: 'right', cell: (member) => formatBytes(member.allocatedBytes) },
      { head: 'REASON', cell: (member) => member.reason },
    ],
    members,
  );
}

/** `3/3`: members in sync of copies asked for. */
export function inSync(volume: VolumeView): string {
  const count = volume.members.filter((member) => member.state === 'inSync').length;
  return `${count}/${volume.replicas}`;
}

function stateOf(volume: VolumeView): string {
  return volume.phase === 'ready' ? volume.condition : volume.phase;
}

function memberState({ state, rebuild }: MemberView): string {
  if (state === 'inSync') return 'in sync';
  if (rebuild === null) return state;
  const share = rebuild.totalBytes === 0 ? 0 : rebuild.copiedBytes / rebuild.totalBytes;
  return `${state} ${Math.floor(share * 100)}%`;
}

function paintMember(text: string, { state }: MemberView, palette: Palette): string {
  return state === 'inSync' ? palette.good(text) : palette.warning(text);
}

function suffix(message: string): string {
  return message === '' ? '' : `(${printable(message)})`;
}
