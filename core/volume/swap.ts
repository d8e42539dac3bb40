/**
 * Which change of the record is whose (R1, R2, R4): the store refuses any other, so that a bug or
 * a stale process cannot commit what it has no right to.
 */
import type { VolumeRecord } from './record.ts';

export type SwapActor =
  | { readonly kind: 'target'; readonly instance: string }
  /** The node's agent: the state of the file system only. */
  | { readonly kind: 'agent' }
  /** The control plane: attachment, new members (stale only), members that leave. */
  | { readonly kind: 'controlPlane' };

/** Null, or one sentence that says why `actor` may not change `current` into `next`. */
export function swapRefusal(
  current: VolumeRecord,
  next: VolumeRecord,
  actor: SwapActor,
): string | null {
  if (next.volumeId !== current.volumeId) return 'the volume id never changes';
  if (next.incarnation !== current.incarnation) return 'only an operator mints an incarnation';
  if (next.blockSizeBytes !== current.blockSizeBytes) return 'the block size never changes';
  if (next.generation !== current.generation + 1) return 'the generation goes up by one';
  if (next.sizeBytes < current.sizeBytes) return 'a volume never shrinks';
  if (!next.replicas.some((member) => member.state === 'inSync')) return 'inSync is never emptied';
  const moved = membersRefusal(current, next);
  if (moved !== null) return moved;
  switch (actor.kind) {
    case 'target':
      return targetRefusal(current, next, actor.instance);
    case 'agent':
      return onlyChanges(current, next, ['fileSystem']);
    case 'controlPlane':
      return controlPlaneRefusal(current, next);
  }
}

/** Whoever swaps: a member has one entry, and stays where its data is. */
function membersRefusal(current: VolumeRecord, next: VolumeRecord): string | null {
  const ids = new Set(next.replicas.map((member) => member.id));
  if (ids.size !== next.replicas.length) return 'a member is named once';
  for (const { id, node } of current.replicas) {
    const after = next.replicas.find((member) => member.id === id);
    if (after !== undefined && after.node !== node) return 'a member stays on its node';
  }
  return null;
}

function targetRefusal(current: VolumeRecord, next: VolumeRecord, instance: string): string | null {
  if (next.targetInstance !== instance) return 'a target commits only under its own instance id';
  if (!sameIds(current, next)) return 'a target does not add or drop members';
  const starts = next.epoch === current.epoch + 1;
  if (starts) {
    if (current.attachment === null) return 'a target starts only for an attachment';
    // releasedBy stays: with the members' promises it tells whether anybody wrote since (R11).
    if (gains(current, next)) return 'a starting target admits nobody';
    return onlyChanges(current, next, ['epoch', 'targetInstance', 'replicas']);
  }
  if (next.epoch !== current.epoch) return 'a starting target raises the epoch by one';
  if (current.targetInstance !== instance) return 'another target has the record';
  if (current.releasedBy === instance) return 'a target that released changes nothing';
  if (next.releasedBy !== current.releasedBy && next.releasedBy !== instance) {
    return 'a target releases only itself';
  }
  return onlyChanges(current, next, ['releasedBy', 'replicas', 'snapshots', 'sizeBytes']);
}

function controlPlaneRefusal(current: VolumeRecord, next: VolumeRecord): string | null {
  const known = new Map(current.replicas.map((member) => [member.id, member]));
  for (const member of next.replicas) {
    const before = known.get(member.id);
    if (before === undefined && member.state !== 'stale') return 'new members are added as stale';
    if (before !== undefined && before.state !== member.state) {
      return 'only the target changes who is in sync';
    }
    known.delete(member.id);
  }
  for (const gone of known.values()) {
    if (gone.state === 'inSync') return 'a member in sync is not dropped';
  }
  return onlyChanges(current, next, ['attachment', 'replicas', 'minInSync']);
}

function sameIds(current: VolumeRecord, next: VolumeRecord): boolean {
  return (
    current.replicas.length === next.replicas.length &&
    current.replicas.every((member, index) => member.id === next.replicas[index]?.id)
  );
}

/** Somebody is in sync in `next` who was not in `current`. */
function gains(current: VolumeRecord, next: VolumeRecord): boolean {
  return next.replicas.some(
    (member, index) => member.state === 'inSync' && current.replicas[index]?.state !== 'inSync',
  );
}

function onlyChanges(
  current: VolumeRecord,
  next: VolumeRecord,
  allowed: readonly (keyof VolumeRecord)[],
): string | null {
  for (const key of Object.keys(current) as (keyof VolumeRecord)[]) {
    if (key === 'generation' || allowed.includes(key)) continue;
    if (JSON.stringify(current[key]) !== JSON.stringify(next[key])) {
      return `the record's ${key} is not its to change`;
    }
  }
  return null;
}
