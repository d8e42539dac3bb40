/** What a target tells about itself on its admin socket. */
export interface TargetStatus {
  readonly volumeId: string;
  readonly instance: string;
  readonly attachmentToken: string;
  readonly state: 'starting' | 'serving' | 'waiting' | 'stopped' | 'failed';
  readonly epoch: number;
  readonly generation: number;
  readonly portal: string;
  /** Why it waits, or why it failed; empty otherwise. */
  readonly reason: string;
  readonly members: readonly TargetMemberStatus[];
  readonly sessionCount: number;
  readonly pid: number;
}

export interface TargetMemberStatus {
  readonly replicaId: string;
  readonly state: string;
  readonly rebuild: { readonly copiedBytes: number; readonly totalBytes: number } | null;
  readonly reason: string;
}
