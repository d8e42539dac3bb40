/** Composition root: `maya agent --docker-socket PATH` runs the plugin beside the agent. */
import { AgentClient } from '../../core/api/index.ts';
import { NodeHttpTransport } from '../../core/platform/node/index.ts';
import type { PluginLog } from './driver.ts';
import { type DockerPlugin, startDockerPlugin } from './plugin.ts';

export interface DockerPluginPlace {
  readonly socketPath: string;
  /** `unix:/path`: the agent of this node. It need not answer yet. */
  readonly agentAddress: string;
}

export async function runDockerPlugin(
  { socketPath, agentAddress }: DockerPluginPlace,
  log: PluginLog,
): Promise<DockerPlugin> {
  const transport = new NodeHttpTransport({ address: agentAddress });
  const plugin = await startDockerPlugin({ socketPath, agent: new AgentClient(transport), log });
  return {
    async close() {
      await plugin.close();
      transport.close();
    },
  };
}
