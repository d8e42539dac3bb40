/** A shutdown in stages, so that a cluster on one machine stops in the right order. */
import type { AgentClient, ShutdownAnswer } from '../../core/api/index.ts';
import type { Attachments } from '../attach/attachments.ts';
import type { Replicas } from '../instances/replicas.ts';
import type { Targets } from '../instances/targets.ts';

export type ShutdownRequest = Parameters<AgentClient['shutdown']>[0];

export interface ShutdownDependencies {
  readonly attachments: Attachments;
  readonly targets: Targets;
  readonly replicas: Replicas;
  readonly bootId: string;
  /** Ends the agent after the answer; what still runs is taken over by the next one. */
  readonly exit: () => void;
}

/**
 *     check         nothing is stopped; mounted volumes are synced; who uses them is named
 *     attachments   unmount, detach, release the targets: of all nodes before any replica stops
 *     instances     the replicas
 *     exit          the agent
 *     resume        instead of the next stage: the node goes on as before
 *
 * In use and not forced: nothing happens, and the answer names the users. @throws ApiError
 */
export async function shutdown(
  { stage, force = false }: ShutdownRequest,
  dependencies: ShutdownDependencies,
): Promise<ShutdownAnswer> {
  const { attachments, targets, replicas, bootId, exit } = dependencies;
  switch (stage) {
    case 'check':
      return { inUse: await attachments.inUse() };
    case 'attachments': {
      const inUse = await attachments.inUse();
      if (inUse.length > 0 && !force) return { inUse };
      try {
        await attachments.detachAll(force);
      } catch (error) {
        // Somebody came in between: the node goes on as before.
        attachments.reopen();
        throw error;
      }
      await targets.stopAll();
      return { inUse: [] };
    }
    case 'instances':
      await targets.stopAll();
      await replicas.stopAll();
      return { inUse: [] };
    case 'exit':
      exit();
      return { inUse: [] };
    case 'resume':
      await replicas.resume();
      await targets.resume(bootId);
      attachments.reopen();
      return { inUse: [] };
  }
}
