import { join } from 'node:path';
import { UsageError } from './command-line.ts';

export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly isRoot: boolean;
  readonly homeFolder: string;
  readonly exists: (path: string) => boolean;
}

/**
 * This node's agent: `--agent`, else OPENEBS_AGENT, else its socket in the state folder
 * (OPENEBS_STATE, else where `maya agent` and `maya up` keep theirs for this user). Mesos hands the
 * environment of its own agent on to this command.
 *
 * @throws UsageError when none is told and none is there.
 */
export function agentAddress(given: string | null, around: Surroundings): string {
  const told = given ?? filled(around.environment['OPENEBS_AGENT']);
  if (told !== null) return checkedAddress(told.startsWith('/') ? `unix:${told}` : told);
  const ownState = around.isRoot
    ? '/var/lib/openebs'
    : join(around.homeFolder, '.local/share/openebs');
  const state = filled(around.environment['OPENEBS_STATE']) ?? ownState;
  // The agent of a machine; the first node of `maya up`. The folder stays while the agent restarts.
  const folder = ['agent', 'node-1'].map((name) => join(state, name)).find(around.exists);
  if (folder !== undefined) return `unix:${join(folder, 'agent.sock')}`;
  throw new UsageError(
    { code: 'usage' },
    `no agent of OpenEBS is on this node: there is neither agent/ nor node-1/ in ${state}; ` +
      'start it, or say where it is with OPENEBS_AGENT or --agent',
  );
}

function checkedAddress(address: string): string {
  const isHttp = address.startsWith('http://') && URL.canParse(address);
  if (isHttp || address.startsWith('unix:/')) return address;
  throw new UsageError(
    { code: 'usage' },
    `${JSON.stringify(address)} is no address of an agent: give unix:/path or http://host:port`,
  );
}

/** An empty environment variable is none. */
function filled(text: string | undefined): string | null {
  return text === undefined || text === '' ? null : text;
}
