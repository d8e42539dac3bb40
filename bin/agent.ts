/** `maya agent`: the agent of this node, and with `--docker-socket` the Docker plugin beside it. */
import { main as agentMain, type StartBeside } from '../agent/main.ts';

export async function main(argv: string[]): Promise<number> {
  return agentMain(argv, startDockerBeside);
}

const startDockerBeside: StartBeside = async (agent, { dockerSocket }, log) => {
  if (dockerSocket === null) return new AsyncDisposableStack();
  const { startDockerPlugin } = await import('../plugins/docker/main.ts');
  const plugin = await startDockerPlugin({
    socketPath: dockerSocket,
    agent: agent.client,
    log: log.with({ part: 'docker' }),
  });
  agent.announceDockerSocket(dockerSocket);
  return { [Symbol.asyncDispose]: () => plugin.close() };
};
