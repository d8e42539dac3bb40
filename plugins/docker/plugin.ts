/** The Docker volume plugin of one node. */
import { once } from 'node:events';
import type { AgentClient } from '../../core/api/index.ts';
import { listenOnSocket } from '../sockets/socket.ts';
import { type PluginLog, VolumeDriver } from './driver.ts';
import { makeServer } from './server.ts';

export interface DockerPluginOptions {
  /** `/run/docker/plugins/NAME.sock`: dockerd finds it there under NAME. */
  readonly socketPath: string;
  readonly agent: AgentClient;
  readonly log: PluginLog;
}

export interface DockerPlugin {
  /** Answers what is under way, takes nothing new, removes the socket. */
  close(): Promise<void>;
}

/** @throws SocketError when the path cannot be taken. */
export async function startDockerPlugin(options: DockerPluginOptions): Promise<DockerPlugin> {
  const { socketPath, agent, log } = options;
  const server = makeServer(new VolumeDriver(agent, log), log);
  await listenOnSocket(server, socketPath);
  log.info('the Docker plugin listens', { socket: socketPath });
  return {
    async close() {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      await closed;
    },
  };
}
