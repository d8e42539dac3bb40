/** Text requests of the full feature phase (RFC 7143 §6.2, appendix C). */
import { NEGOTIATED_KEYS, NOT_UNDERSTOOD, REJECT } from '../login/keys.ts';
import type { TextPair } from '../login/text.ts';

export interface TextContext {
  readonly kind: 'normal' | 'discovery';
  readonly targetName: string;
  /** This initiator may use the target, and so may know of it. */
  readonly isAdmitted: boolean;
  /** `host:port,tag`: where the initiator came in. */
  readonly address: string;
}

export function answerText(pairs: readonly TextPair[], context: TextContext): TextPair[] {
  return pairs.flatMap(([key, value]): TextPair[] => {
    if (key === 'SendTargets') return sendTargets(value, context);
    // Declared by the initiator for itself; what is under way goes on with the old one.
    if (key === 'MaxRecvDataSegmentLength') return [];
    // All others belong to the login.
    return [[key, Object.hasOwn(NEGOTIATED_KEYS, key) ? REJECT : NOT_UNDERSTOOD]];
  });
}

/** `All` only in a discovery session; nothing, or its own name, in a normal one. */
function sendTargets(value: string, context: TextContext): TextPair[] {
  const isAll = value === 'All';
  if (isAll && context.kind === 'normal') return [['SendTargets', REJECT]];
  if (value === '' && context.kind === 'discovery') return [['SendTargets', REJECT]];
  const isOurs = isAll || value === '' || value.toLowerCase() === context.targetName.toLowerCase();
  if (!isOurs || !context.isAdmitted) return [];
  return [
    ['TargetName', context.targetName],
    ['TargetAddress', context.address],
  ];
}
