import type { ReplicaReport } from '../../core/api/index.ts';
import type { Processes, ProcessIdentity } from '../host/processes.ts';
import type { SupervisorState } from './process/supervisor.ts';

export type ProcessState = ReplicaReport['process'];

export interface ProcessView {
  readonly process: ProcessState;
  readonly reason: string;
}

/** The words of the heartbeat for what the supervisor knows. */
export function processView(state: SupervisorState): ProcessView {
  switch (state.kind) {
    case 'stopped':
      return { process: 'stopped', reason: state.reason };
    case 'waiting':
      return { process: state.reason === '' ? 'starting' : 'failed', reason: state.reason };
    case 'starting':
      return { process: 'starting', reason: '' };
    case 'running':
      return { process: 'running', reason: '' };
    case 'held':
      return { process: 'failed', reason: state.reason };
  }
}

/**
 * The living process that was started with this configuration file, whoever wrote its pid down:
 * an agent that was killed between starting it and writing must not start a second one.
 */
export async function processOfConfig(
  processes: Processes,
  configPath: string,
): Promise<ProcessIdentity | null> {
  return (await processesByConfig(processes)).get(configPath) ?? null;
}

/** All of them, by their configuration file: one look at /proc for a whole node. */
export async function processesByConfig(
  processes: Processes,
): Promise<ReadonlyMap<string, ProcessIdentity>> {
  const listed = await processes.list();
  return new Map(
    listed.flatMap(({ argv, identity }) => {
      const path = argv[argv.indexOf('--config') + 1];
      return argv.includes('--config') && path !== undefined ? [[path, identity] as const] : [];
    }),
  );
}
