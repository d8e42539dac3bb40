import type { TargetMemberStatus, TargetStatus } from './admin/status.ts';
import type { TargetConfig } from './config.ts';
import type { Coordinator } from './replication/coordinator.ts';
import type { MemberView, State } from './replication/state.ts';
import { isInSync } from './replication/views.ts';

/** What the target tells about itself: read by the agent, shown by mayactl. */
export function targetStatusOf(
  config: TargetConfig,
  coordinator: Coordinator,
): Omit<TargetStatus, 'sessionCount' | 'pid'> {
  const { state } = coordinator;
  return {
    volumeId: config.volumeId,
    instance: config.instance,
    attachmentToken: config.attachmentToken,
    state: stateOf(state),
    epoch: state.record?.epoch ?? 0,
    generation: state.record?.generation ?? 0,
    portal: config.portal,
    reason: state.phase.kind === 'serving' && state.waitingFor === '' ? '' : state.waitingFor,
    members: state.members.map((member) => memberStatusOf(member, coordinator)),
  };
}

function stateOf(state: State): TargetStatus['state'] {
  switch (state.phase.kind) {
    case 'serving':
      return 'serving';
    case 'reading':
    case 'inspecting':
    case 'claiming':
      return 'starting';
    case 'promising':
    case 'equalising':
    case 'releasing':
      return 'waiting';
    case 'cachesLost':
      return 'failed';
    case 'stopped':
      return 'stopped';
  }
}

function memberStatusOf(member: MemberView, coordinator: Coordinator): TargetMemberStatus {
  const { state, rebuilds } = coordinator;
  const rebuild = rebuilds.progressOf(member.id);
  const inSync = isInSync(state, member.id);
  const life = inSync ? 'inSync' : rebuild !== null ? 'rebuilding' : 'stale';
  const reason = member.missed ?? (member.link === 'away' ? 'it does not answer' : '');
  const why = inSync && reason === '' ? '' : reason || rebuilds.reasonOf(member.id);
  return { replicaId: member.id, state: life, rebuild, reason: why };
}
