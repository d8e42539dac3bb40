import { AgentClient, type Door } from '../../../../core/api/index.ts';
import { GiB } from '../../../../core/units.ts';
import type { Endpoint } from '../../../../plugins/csi/grpc/endpoint.ts';
import { type CsiMode, type PluginLog, startCsiPlugin } from '../../../../plugins/csi/plugin.ts';
import { CsiClient } from '../../../fixtures/csi-client.ts';
import { FakeAgent } from '../../../fixtures/fake-agent.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

export const MOUNT = {
  mount: { fsType: '', mountFlags: [] as string[] },
  accessMode: { mode: 'SINGLE_NODE_WRITER' },
};
export const BLOCK = { block: {}, accessMode: { mode: 'SINGLE_NODE_WRITER' } };
export const mode = (name: string | number) => ({ mount: {}, accessMode: { mode: name } });

/** The first volume of a fake agent has it. */
export const FIRST_ID = '00000000-0000-4000-8000-000000000000';
export const UNKNOWN_ID = '11111111-1111-4111-8111-111111111111';

export const STAGING = '/var/lib/kubelet/plugins/staging';
export const TARGET = '/var/lib/kubelet/pods/a/mount';

/** A plugin on a socket in a temporary folder, over a fake agent, and the way it is called. */
export async function orchestratorWithPlugin(
  options: { mode?: CsiMode; door?: Door; endpoint?: Endpoint } = {},
) {
  const folder = await temporaryFolder('csi');
  const socketPath = `${folder.path}/csi.sock`;
  const agent = new FakeAgent();
  const bugs: unknown[] = [];
  const logged: string[] = [];
  const log: PluginLog = {
    info: (message, fields) => logged.push(JSON.stringify([message, fields])),
    error: (message, fields) => bugs.push(message, fields),
  };
  const plugin = await startCsiPlugin({
    endpoint: options.endpoint ?? { kind: 'unix', path: socketPath },
    mode: options.mode ?? 'all',
    door: options.door ?? 'csi',
    agent: new AgentClient(agent),
    version: '1.2.3',
    log,
  });
  const client = new CsiClient(`unix:${socketPath}`);
  return {
    agent,
    plugin,
    client,
    socketPath,
    /** Everything that was logged as an error. */
    bugs,
    /** Everything that was logged else. */
    logged,
    /** A volume as CreateVolume makes it: its id. */
    async createVolume(name: string, capability: object = MOUNT): Promise<string> {
      const request = {
        name,
        volumeCapabilities: [capability],
        capacityRange: { requiredBytes: GiB },
      };
      const outcome = await client.controller('CreateVolume', request);
      if (!('ok' in outcome)) throw new Error(`${outcome.code}: ${outcome.message}`);
      return (outcome.ok['volume'] as { volumeId: string }).volumeId;
    },
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await plugin.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}
