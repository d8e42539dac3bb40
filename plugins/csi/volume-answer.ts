/** A volume of the agent's in the specification's messages. */
import type { AgentVolume } from '../../core/api/index.ts';
import type { Volume, VolumeCondition, VolumeStatus } from './messages.ts';

/** "General size limit" of a string. */
const MESSAGE_CHARACTERS_MAX = 128;

/**
 * Its context is empty, for nothing but its id is needed to use it; and there is no
 * accessible_topology, for it is reachable from every node.
 */
export function volumeMessage({ id, sizeBytes }: AgentVolume): Volume {
  return { volumeId: id, capacityBytes: sizeBytes };
}

export function volumeStatus(volume: AgentVolume): VolumeStatus {
  const { claim, attachedTo } = volume;
  const nodes = [claim?.node ?? null, attachedTo].filter((node) => node !== null);
  return { publishedNodeIds: [...new Set(nodes)], volumeCondition: conditionMessage(volume) };
}

/** Not known (the apiserver is away) is not called abnormal: nothing is known to be wrong. */
export function conditionMessage({
  condition,
  message,
}: Pick<AgentVolume, 'condition' | 'message'>): VolumeCondition {
  return {
    abnormal: condition === 'degraded' || condition === 'faulted',
    message: (message === '' ? `the volume is ${textOf(condition)}` : message).slice(
      0,
      MESSAGE_CHARACTERS_MAX,
    ),
  };
}

function textOf(condition: AgentVolume['condition']): string {
  return condition === 'unknown' ? 'in a condition that is not known now' : condition;
}
