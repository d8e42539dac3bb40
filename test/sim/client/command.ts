import type { ReadEntry, WriteEntry } from './history.ts';

interface CommandBase {
  readonly id: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly invokedMs: number;
  /** When it was last given to a target. */
  attemptMs: number;
  attempts: number;
}

/** A SCSI command that touches the medium, as the initiator keeps it until it has its end. */
export type Command =
  | (CommandBase & { readonly kind: 'write' | 'unmap'; readonly entry: WriteEntry })
  | (CommandBase & { readonly kind: 'read'; entry: ReadEntry })
  | (CommandBase & { readonly kind: 'flush' });

export function textOf(command: Command): string {
  const { id, kind, offsetBytes, lengthBytes } = command;
  return kind === 'flush' ? `${id} flush` : `${id} ${kind} ${offsetBytes}+${lengthBytes}`;
}
