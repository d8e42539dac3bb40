import { request } from 'node:http';
import { AgentClient } from '../../../../core/api/index.ts';
import type { PluginLog } from '../../../../plugins/docker/driver.ts';
import { startDockerPlugin } from '../../../../plugins/docker/plugin.ts';
import { FakeAgent } from '../../../fixtures/fake-agent.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

export type EngineAnswer = { readonly status: number; readonly body: unknown };

export type SendOptions = {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
};

/** A plugin on a socket in a temporary folder, and the way dockerd speaks to it. */
export async function engineWithPlugin() {
  const folder = await temporaryFolder('docker');
  const socketPath = `${folder.path}/plugins/openebs.sock`;
  const agent = new FakeAgent();
  const bugs: unknown[] = [];
  const log: PluginLog = {
    info: () => undefined,
    error: (message, fields) => bugs.push(message, fields),
  };
  const plugin = await startDockerPlugin({ socketPath, agent: new AgentClient(agent), log });

  return {
    agent,
    plugin,
    socketPath,
    /** Everything that was logged as an error. */
    bugs,
    /** What dockerd does: one call, and its answer. */
    call: (name: string, body?: unknown) =>
      send(socketPath, name, body === undefined ? '' : JSON.stringify(body)),
    send: (name: string, text: string | Buffer, options?: SendOptions) =>
      send(socketPath, name, text, options),
    async [Symbol.asyncDispose]() {
      await plugin.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Rejects when the connection breaks before the answer. */
export async function send(
  socketPath: string,
  name: string,
  text: string | Buffer,
  options: SendOptions = {},
): Promise<EngineAnswer> {
  const answered = Promise.withResolvers<EngineAnswer>();
  const outgoing = request(
    {
      socketPath,
      path: `/${name}`,
      method: options.method ?? 'POST',
      headers: {
        Host: 'plugin.moby.localhost',
        Accept: 'application/vnd.docker.plugins.v1.2+json',
        'Content-Length': `${Buffer.byteLength(text)}`,
        ...options.headers,
      },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    },
    (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
      incoming.on('error', answered.reject);
      incoming.on('end', () => {
        const body: unknown = JSON.parse(Buffer.concat(chunks).toString());
        answered.resolve({ status: incoming.statusCode ?? 0, body });
      });
    },
  );
  outgoing.on('error', answered.reject);
  outgoing.end(text);
  return answered.promise;
}
