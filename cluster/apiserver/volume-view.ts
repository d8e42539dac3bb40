/** A volume as people and front doors see it. No token and no secret is ever in it. */
import type { MemberView, VolumeView } from '../../core/api/volumes.ts';
import type { Hindrance } from '../reconciler/loop.ts';
import { type Nodes, silence } from '../reconciler/observed.ts';
import { iqnOf, type VolumeDocument } from '../reconciler/volume.ts';
import { waitsFor } from './waiting.ts';

export function volumeView(
  volume: VolumeDocument,
  nodes: Nodes,
  hindrances: readonly Hindrance[],
): VolumeView {
  const { attachment } = volume.record;
  const members = volume.record.replicas.map((member) => memberView(volume, member, nodes));
  return {
    id: volume.id,
    name: volume.name,
    sizeBytes: volume.record.sizeBytes,
    replicas: volume.options.replicaCount,
    fileSystem: volume.options.fileSystem,
    fileSystemOptions: volume.options.fileSystemOptions,
    pool: volume.options.pool,
    nodes: [...volume.options.nodes],
    zones: [...volume.options.zones],
    createdAt: volume.createdAt,
    phase: volume.phase.kind,
    ...conditionOf(volume, members, { nodes, hindrances }),
    members,
    attachment:
      attachment === null
        ? null
        : { node: attachment.node, initiatorNames: [...attachment.initiatorNames] },
    target: targetView(volume, nodes),
    door: volume.door,
    claim: volume.claim,
    consumers: consumersOf(volume, nodes),
  };
}

export function consumersOf(volume: VolumeDocument, nodes: Nodes): VolumeView['consumers'] {
  return [...nodes.values()].flatMap(({ name, heartbeat }) =>
    heartbeat.consumers
      .filter(({ volumeId }) => volumeId === volume.id)
      .flatMap(({ holders }) => holders.map((holder) => ({ ...holder, node: name }))),
  );
}

function memberView(
  volume: VolumeDocument,
  member: VolumeDocument['record']['replicas'][number],
  nodes: Nodes,
): MemberView {
  const node = nodes.get(member.node);
  const replica = node?.replicas.get(member.id);
  const isOnline = node?.state === 'online';
  const told = toldByTarget(volume, member.id, nodes);
  return {
    id: member.id,
    node: member.node,
    state: member.state,
    poolId: volume.replicas.find(({ id }) => id === member.id)?.poolId ?? '',
    process: isOnline ? (replica?.process ?? 'stopped') : 'unknown',
    allocatedBytes: replica?.report?.allocatedBytes ?? 0,
    rebuild: told?.rebuild ?? null,
    reason: reasonOf([
      node === undefined ? 'its node was never heard' : '',
      node?.state === 'lost' ? `its node is lost (${silence(node)})` : '',
      isOnline ? (replica?.report?.reason ?? '') : '',
      told?.reason ?? '',
    ]),
  };
}

function reasonOf(reasons: readonly string[]): string {
  return [...new Set(reasons.filter((reason) => reason !== ''))].join('; ');
}

/** What the volume's target says of a member. */
function toldByTarget(volume: VolumeDocument, replicaId: string, nodes: Nodes) {
  const { attachment } = volume.record;
  const node = attachment === null ? undefined : nodes.get(attachment.node);
  if (node?.state !== 'online') return undefined;
  const report = node.targets.get(volume.id)?.report;
  if (report?.attachmentToken !== attachment?.token) return undefined;
  return report?.members.find((member) => member.replicaId === replicaId);
}

function targetView(volume: VolumeDocument, nodes: Nodes): VolumeView['target'] {
  const { attachment } = volume.record;
  if (attachment === null) return null;
  const where = { node: attachment.node, portal: volume.portal, iqn: iqnOf(volume.id) };
  const node = nodes.get(attachment.node);
  if (node === undefined) return { ...where, state: 'unknown', reason: 'its node was never heard' };
  if (node.state === 'lost') {
    return { ...where, state: 'unknown', reason: `its node is lost (${silence(node)})` };
  }
  const target = node.targets.get(volume.id);
  if (target === undefined || target.attachmentToken !== attachment.token) {
    return { ...where, state: 'starting', reason: '' };
  }
  const { report } = target;
  return { ...where, state: report?.state ?? 'starting', reason: report?.reason ?? '' };
}

interface Surroundings {
  readonly nodes: Nodes;
  readonly hindrances: readonly Hindrance[];
}

function conditionOf(
  volume: VolumeDocument,
  members: readonly MemberView[],
  { nodes, hindrances }: Surroundings,
): Pick<VolumeView, 'condition' | 'message'> {
  switch (volume.phase.kind) {
    case 'creating':
      return {
        condition: 'unknown',
        message: `is being made, waits for ${waitsFor(volume, nodes, hindrances)}`,
      };
    case 'deleting': {
      const because = volume.phase.failure === null ? '' : ` (${volume.phase.failure.detail})`;
      const waits = waitsFor(volume, nodes, hindrances);
      return { condition: 'unknown', message: `is being deleted${because}, waits for ${waits}` };
    }
    case 'ready':
      return readyCondition(members);
  }
}

function readyCondition(members: readonly MemberView[]): Pick<VolumeView, 'condition' | 'message'> {
  const good = members.filter(isGood);
  if (good.length === members.length) return { condition: 'healthy', message: '' };
  const bad = members
    .filter((member) => !isGood(member))
    .map(memberSentence)
    .join(', ');
  if (good.length > 0) {
    const message = `${good.length} of ${members.length} replicas in sync and running: ${bad}`;
    return { condition: 'degraded', message };
  }
  if (members.every((member) => member.process === 'unknown')) {
    return { condition: 'unknown', message: `no node of its replicas is heard: ${bad}` };
  }
  return { condition: 'faulted', message: `no replica in sync is running: ${bad}` };
}

function isGood(member: MemberView): boolean {
  return member.state === 'inSync' && member.process === 'running';
}

function memberSentence(member: MemberView): string {
  const state = member.state === 'inSync' ? `in sync but ${member.process}` : stateOf(member);
  const reason = member.reason === '' ? '' : ` (${member.reason})`;
  return `node ${member.node} ${state}${reason}`;
}

function stateOf({ state, rebuild }: MemberView): string {
  if (rebuild === null || rebuild.totalBytes === 0) return state;
  return `${state} ${Math.floor((100 * rebuild.copiedBytes) / rebuild.totalBytes)} %`;
}
