/** `maya agent`: the agent of this node, with the front doors beside it that are asked for. */
import { type AgentHandle, main as agentMain, type StartBeside } from '../agent/main.ts';
import type { Logger } from '../core/platform/index.ts';

export async function main(argv: string[]): Promise<number> {
  return agentMain(argv, startDoors);
}

const startDoors: StartBeside = async (agent, { dockerSocket, csiSocket }, log) => {
  await using started = new AsyncDisposableStack();
  if (dockerSocket !== null) started.use(await startDocker(agent, dockerSocket, log));
  if (csiSocket !== null) started.use(await startCsi(agent, csiSocket, log));
  return started.move();
};

async function startDocker(
  agent: AgentHandle,
  socketPath: string,
  log: Logger,
): Promise<AsyncDisposable> {
  const { startDockerPlugin } = await import('../plugins/docker/main.ts');
  const plugin = await startDockerPlugin({
    socketPath,
    agent: agent.client,
    log: log.with({ part: 'docker' }),
  });
  agent.announce({ docker: socketPath });
  return { [Symbol.asyncDispose]: () => plugin.close() };
}

async function startCsi(
  agent: AgentHandle,
  socketPath: string,
  log: Logger,
): Promise<AsyncDisposable> {
  const { startCsi: start } = await import('../plugins/csi/main.ts');
  const plugin = await start({
    endpoint: { kind: 'unix', path: socketPath },
    mode: 'all',
    door: 'csi',
    agent: agent.client,
    log: log.with({ part: 'csi' }),
  });
  agent.announce({ csi: socketPath });
  return { [Symbol.asyncDispose]: () => plugin.close() };
}
