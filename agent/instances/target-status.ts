import { targetReportSchema } from '../../core/api/index.ts';
import type { HttpTransport } from '../../core/platform/index.ts';

/** GET /status on a target's admin socket. */
const statusSchema = targetReportSchema.pick({
  instance: true,
  state: true,
  epoch: true,
  portal: true,
  reason: true,
  members: true,
});

export interface TargetStatus {
  readonly instance: string;
  readonly state: 'starting' | 'serving' | 'waiting' | 'stopped' | 'failed';
  readonly epoch: number;
  readonly portal: string;
  readonly reason: string;
  readonly members: readonly {
    readonly replicaId: string;
    readonly state: string;
    readonly rebuild: { readonly copiedBytes: number; readonly totalBytes: number } | null;
    readonly reason: string;
  }[];
}

const STATUS_TIMEOUT_MS = 2_000;

/** Null: it does not answer, or not in this language. */
export async function readTargetStatus(transport: HttpTransport): Promise<TargetStatus | null> {
  try {
    const request = { method: 'GET', path: '/status', timeoutMs: STATUS_TIMEOUT_MS } as const;
    const { status, body } = await transport.request(request);
    if (status !== 200) return null;
    const parsed = statusSchema.safeParse(body);
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** Asks the target to flush, release the record and end. @throws when it does not answer 200. */
export async function askToRelease(transport: HttpTransport, timeoutMs: number): Promise<void> {
  const { status } = await transport.request({ method: 'POST', path: '/release', timeoutMs });
  if (status !== 200) throw new Error(`the target answered its release with ${status}`);
}
