import { fileURLToPath } from 'node:url';
import type { UpOptions } from './options.ts';
import type { ServiceSpec } from './service.ts';

export interface NodePlace {
  readonly name: string;
  readonly folder: string;
  readonly address: string;
  /** Where its Docker plugin listens; null without one. */
  readonly dockerSocket: string | null;
  /** Where its CSI plugin listens. */
  readonly csiSocket: string;
  readonly service: ServiceSpec;
}

/** Where everything of a local cluster is, and how each part is started. */
export interface Layout {
  readonly state: string;
  readonly logs: string;
  readonly run: string;
  readonly apiserverAddress: string;
  readonly apiserver: ServiceSpec;
  readonly nodes: readonly NodePlace[];
}

const MAYA = [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  fileURLToPath(new URL('../maya.ts', import.meta.url)),
];

export function layoutOf(options: UpOptions, maya: readonly string[] = MAYA): Layout {
  const { state, portalPorts } = options;
  const logs = `${state}/logs`;
  const apiserverAddress = `unix:${state}/apiserver.sock`;
  const portArguments = portalPorts === null ? [] : ['--portal-ports', portalPorts];
  const nodes = Array.from({ length: options.nodeCount }, (_, index): NodePlace => {
    const name = `node-${index + 1}`;
    const folder = `${state}/${name}`;
    const dockerSocket = dockerSocketOf(options, index, folder);
    const dockerArguments = dockerSocket === null ? [] : ['--docker-socket', dockerSocket];
    const csiSocket = `${folder}/csi.sock`;
    const own = ['--state', folder, '--node', name, '--pool', `${folder}/pool`];
    const toOthers = ['--apiserver', apiserverAddress, '--csi-socket', csiSocket];
    const agentArguments = [...own, ...toOthers];
    return {
      name,
      folder,
      address: `unix:${folder}/agent.sock`,
      dockerSocket,
      csiSocket,
      service: {
        name,
        argv: [...maya, 'agent', ...agentArguments, ...dockerArguments],
        logPath: `${logs}/${name}.log`,
      },
    };
  });
  return {
    state,
    logs,
    run: `${state}/run`,
    apiserverAddress,
    apiserver: {
      name: 'apiserver',
      argv: [...maya, 'apiserver', '--state', state, ...portArguments],
      logPath: `${logs}/apiserver.log`,
    },
    nodes,
  };
}

/** dockerd looks in one folder: the first node's socket is there, the others' in their own. */
function dockerSocketOf(options: UpOptions, index: number, folder: string): string | null {
  if (!options.docker) return null;
  const isFirst = index === 0;
  return isFirst && options.dockerSocket !== null ? options.dockerSocket : `${folder}/docker.sock`;
}
