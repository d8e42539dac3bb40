/**
 * "Who may import whom" of docs/ARCHITECTURE.md, as data. The row with the longest matching folder
 * (or file) rules a file; a file without a row fails. Everything may import its own folder.
 */
export type ImportRow = {
  /** A folder, or one file. */
  readonly folder: string;
  /** Folders or files that it may import, with all that is below them. */
  readonly imports: readonly string[];
  /** npm packages that it may import; a name ending in `/*` means a whole scope. */
  readonly libraries: readonly string[];
  /** Modules of Node that it may import. */
  readonly node: 'any' | readonly string[];
  /** Takes time, chance, network and disk as arguments: mentions no Date.now, setTimeout, ... */
  readonly pure: boolean;
  /** When given, only these may import it (besides itself): composition roots and tests. */
  readonly importedBy: 'any' | 'mains and tests' | 'tests';
};

const base = { libraries: [], node: [], importedBy: 'any' } as const;

/** Logic and protocol: no I/O of its own. */
function pure(folder: string, imports: readonly string[], more: Partial<ImportRow> = {}) {
  return { ...base, folder, imports, pure: true, ...more } satisfies ImportRow;
}

/** Code that meets the operating system or the network. */
function edge(folder: string, imports: readonly string[], more: Partial<ImportRow> = {}) {
  return { ...base, folder, imports, pure: false, node: 'any', ...more } satisfies ImportRow;
}

/** A composition root: reads configuration, wires, handles signals. */
function main(folder: string, more: Partial<ImportRow> = {}) {
  const imports = [folder, 'core', 'package.json'];
  return edge(`${folder}/main.ts`, imports, { importedBy: 'mains and tests', ...more });
}

/** What the front doors may know of core: the API, and the words and seams it is written in. */
const API = [
  'core/api',
  'core/assert.ts',
  'core/errors.ts',
  'core/limits.ts',
  'core/units.ts',
  'core/platform',
  'core/api/options.ts',
];

export const IMPORT_TABLE: readonly ImportRow[] = [
  pure('core', ['core/crc32c']),
  pure('core/crc32c', ['core'], { libraries: ['@node-rs/crc32'] }),
  pure('core/api', ['core'], { libraries: ['zod'] }),
  edge('core/config', ['core'], { node: ['node:util'], importedBy: 'mains and tests' }),
  pure('core/platform/sim', ['core'], { importedBy: 'tests' }),
  edge('core/platform/node', ['core'], { libraries: ['koffi'], importedBy: 'mains and tests' }),
  edge('core/log', ['core'], { libraries: ['winston'], importedBy: 'mains and tests' }),
  edge('core/metrics', ['core'], { libraries: ['prom-client'], importedBy: 'mains and tests' }),
  edge('core/tracing', ['core'], {
    libraries: ['@opentelemetry/*'],
    importedBy: 'mains and tests',
  }),

  main('target'),
  pure('target/config.ts', ['core']),
  pure('target/serve.ts', ['core', 'target']),
  pure('target/status-of.ts', ['core', 'target']),
  pure('target/iscsi', ['core', 'target/iscsi', 'target/scsi']),
  pure('target/iscsi/pdu', ['core', 'target/iscsi']),
  pure('target/iscsi/login', ['core', 'target/iscsi']),
  pure('target/iscsi/session', ['core', 'target/iscsi', 'target/scsi']),
  pure('target/iscsi/portal', ['core', 'target/iscsi', 'target/scsi']),
  pure('target/scsi', ['core']),
  pure('target/replication', ['core']),
  pure('target/remote', ['core']),
  pure('target/store', ['core']),
  pure('target/qos', ['core']),
  pure('target/admin', ['core'], { node: ['node:http'] }),

  main('replica'),
  pure('replica', ['core', 'replica']),
  pure('replica/server', ['core', 'replica']),
  pure('replica/chain', ['core']),
  pure('replica/disk', ['core', 'replica/chain']),
  pure('replica/rebuild', ['core', 'replica']),
  pure('replica/admin', ['core'], { node: ['node:http'] }),

  main('agent'),
  edge('agent/api', ['core', 'agent'], { libraries: ['express'] }),
  edge('agent/host', ['core', 'agent']),
  edge('agent/node', ['core', 'agent']),
  edge('agent/state', ['core', 'agent'], { libraries: ['zod'] }),
  edge('agent/volumes', ['core', 'agent']),
  edge('agent/pools', ['core', 'agent']),
  edge('agent/instances', ['core', 'agent']),
  edge('agent/instances/docker', ['core', 'agent'], { libraries: ['dockerode'] }),
  edge('agent/attach', ['core', 'agent']),
  edge('agent/filesystem', ['core', 'agent']),

  main('cluster'),
  edge('cluster/apiserver', ['core', 'cluster'], { libraries: ['express'] }),
  pure('cluster/store', ['core']),
  edge('cluster/store/sqlite', ['core', 'cluster/store']),
  edge('cluster/store/etcd', ['core', 'cluster/store'], { libraries: ['@grpc/*'] }),
  edge('cluster/store/kubernetes', ['core', 'cluster/store'], {
    libraries: ['@kubernetes/client-node'],
  }),
  pure('cluster/scheduler', ['core']),
  pure('cluster/reconciler', ['core']),
  pure('cluster/runtime', ['core']),
  edge('cluster/runtime/agents', ['core', 'cluster/runtime']),
  edge('cluster/runtime/kubernetes', ['core', 'cluster/runtime'], {
    libraries: ['@kubernetes/client-node'],
  }),
  edge('cluster/runtime/nomad', ['core', 'cluster/runtime']),
  edge('cluster/runtime/mesos', ['core', 'cluster/runtime']),
  pure('cluster/mulebot', ['core']),
  edge('cluster/connect', ['core']),

  edge('plugins/sockets', API),
  edge('plugins/docker', [...API, 'plugins/sockets']),
  main('plugins/docker'),
  edge('plugins/csi', [...API, 'plugins/csi']),
  edge('plugins/csi/grpc', [...API, 'plugins/sockets'], { libraries: ['@grpc/*'] }),
  edge('plugins/csi/registration', [...API, 'plugins/csi/grpc']),
  main('plugins/csi'),
  pure('plugins/kubernetes', [...API, 'plugins/kubernetes']),
  edge('plugins/kubernetes/client', [...API, 'plugins/kubernetes'], {
    libraries: ['@kubernetes/client-node'],
  }),
  main('plugins/kubernetes'),
  edge('plugins/nomad', API),
  main('plugins/nomad'),
  edge('plugins/mesos', API),
  main('plugins/mesos'),
  edge('cli', [...API, 'cli/mesos'], { libraries: ['commander', 'cli-table3', 'yaml'] }),
  pure('cli/mesos', ['core/errors.ts']),
  main('cli', { libraries: ['commander'] }),
  edge('dashboard', API),
  edge('deploy/image', []),

  edge('bin', ['core'], { importedBy: 'mains and tests' }),
  edge('package.json', [], { importedBy: 'mains and tests' }),
  edge('test', ['.'], { libraries: ['*'], importedBy: 'tests' }),
];

/**
 * Processes that stay small: nothing that they load when they start may be another library than
 * these, however far down the chain of imports it stands.
 */
export const SMALL_PROCESSES = {
  entries: ['target/main.ts', 'replica/main.ts'],
  libraries: ['@node-rs/crc32', 'koffi'],
} as const;
