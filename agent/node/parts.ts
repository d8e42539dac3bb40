/** What an agent is made of, wired by hand. */
import { ApiserverClient } from '../../core/api/index.ts';
import type { HttpTransport, Logger, Platform } from '../../core/platform/index.ts';
import { Attachments } from '../attach/attachments.ts';
import { chooseMethod, type MethodChoice } from '../attach/choose.ts';
import type { AttachMethod, DeviceAttacher } from '../attach/device.ts';
import { nodeInitiatorName } from '../attach/initiator-name.ts';
import { OpenIscsiAttacher } from '../attach/open-iscsi.ts';
import { Publications } from '../attach/publications.ts';
import { AttachSteps } from '../attach/steps.ts';
import { UserspaceAttacher } from '../attach/userspace.ts';
import { BindMounts } from '../filesystem/bind-mounts.ts';
import { FileSystems } from '../filesystem/file-systems.ts';
import type { Commands } from '../host/commands.ts';
import type { Places } from '../host/places.ts';
import type { Processes } from '../host/processes.ts';
import type { SystemFiles } from '../host/system-files.ts';
import { Turns } from '../host/turns.ts';
import type { LogFiles } from '../instances/process/log-file.ts';
import { Replicas } from '../instances/replicas.ts';
import { Targets } from '../instances/targets.ts';
import type { PoolOption } from '../pools/pool-option.ts';
import { Pools } from '../pools/pools.ts';
import { JsonFolder } from '../state/json-folder.ts';
import {
  type Attachment,
  attachmentSchema,
  type ReplicaSpec,
  replicaSpecSchema,
  type TargetSpec,
  targetSpecSchema,
} from '../state/schemas.ts';
import type { StateFolder } from '../state/state-folder.ts';
import { KnownVolumes } from '../volumes/known-volumes.ts';
import { Volumes } from '../volumes/volumes.ts';
import { StoreGuard } from './store-guard.ts';

export interface AgentOptions {
  readonly node: string;
  readonly zone?: string | null;
  /** Absolute. */
  readonly stateFolder: string;
  readonly pools: readonly PoolOption[];
  /** `unix:/path` or `http://127.0.0.1:PORT`. */
  readonly apiserver: string;
  /** Kept free on each file system with a pool, in bytes; null: 5 %, at least 1 GiB. */
  readonly keepBytes: number | null;
  readonly attachMethod: AttachMethod | 'auto';
  readonly version: string;
  /** Program and arguments before `replica …` and `target …`. */
  readonly launcher: readonly string[];
}

export interface AgentDependencies {
  readonly platform: Pick<Platform, 'clock' | 'random' | 'files' | 'host'>;
  readonly system: SystemFiles;
  readonly places: Places;
  readonly commands: Commands;
  readonly processes: Processes;
  readonly logFiles: LogFiles;
  readonly transport: (address: string) => HttpTransport;
  readonly log: Logger;
  readonly isRoot: boolean;
  readonly pid: number;
}

export interface Parts {
  readonly folder: StateFolder;
  readonly choice: MethodChoice;
  readonly guard: StoreGuard;
  readonly known: KnownVolumes;
  readonly pools: Pools;
  readonly replicas: Replicas;
  readonly targets: Targets;
  readonly attachments: Attachments;
  readonly publications: Publications;
  readonly volumes: Volumes;
  readonly apiserver: ApiserverClient;
  readonly damages: () => readonly string[];
}

/** Reads the durable state and wires the parts; nothing is started yet. */
export async function openParts(
  options: AgentOptions,
  dependencies: AgentDependencies,
  folder: StateFolder,
): Promise<Parts> {
  const { node } = options;
  const { platform, system, places, commands, log, transport } = dependencies;
  const { files, random, clock } = platform;
  const { paths } = folder;
  const bootId = platform.host.bootId();
  const guard = await StoreGuard.open({ path: paths.revisionFile, files, log });
  const known = await KnownVolumes.open(files, paths.volumesFile);
  const folders = await openFolders(dependencies, folder);
  const apiserver = new ApiserverClient(transport(options.apiserver));
  const pools = new Pools(
    { node, pools: options.pools, keepBytes: options.keepBytes, bootId },
    {
      files,
      random,
      system,
      known: () => folder.agentFile.pools,
      saveKnown: (known) => folder.savePools(known),
    },
  );
  const shared = { ...dependencies, ...platform, node, launcher: options.launcher, paths };
  const replicas = new Replicas({ ...shared, specs: folders.replicas, pools });
  const targets: Targets = new Targets({
    ...shared,
    specs: folders.targets,
    volumeName: (volumeId) => known.nameOf(volumeId),
    isUsedHere: (volumeId, token) => attachments.usesTarget(volumeId, token),
  });
  const choice = await chooseMethod(options.attachMethod, dependencies);
  const fileSystems = new FileSystems({ commands, files, system, random, log });
  const binds = new BindMounts({ commands, system, places });
  const turns = new Turns();
  const common = {
    clock,
    binds,
    turns,
    commands,
    log,
    paths,
    system,
    known,
    guard,
    apiserver,
    fileSystems,
    node,
    store: folders.attachments,
    initiatorName: nodeInitiatorName(node),
    attacher: attacherOf(choice, { ...shared }),
  };
  const steps = new AttachSteps({ ...common, targets, attacherLack: choice.reason });
  const resolve = (reference: string) => volumes.resolve(reference);
  const attachments: Attachments = new Attachments({ ...common, steps, bootId, resolve });
  const local = (volumeId: string) => attachments.local(volumeId);
  const volumes: Volumes = new Volumes({ apiserver, guard, known, node, local });
  const publications = new Publications({
    ...common,
    steps,
    places,
    volumeIdOf: (reference) => attachments.volumeIdOf(reference),
    look: (reference) => volumes.get(reference),
  });
  const damages = () => [...folders.replicas.damages(), ...folders.targets.damages()];
  const instances = { pools, replicas, targets };
  const doors = { attachments, publications, volumes };
  return { folder, choice, guard, known, ...instances, ...doors, apiserver, damages };
}

interface Folders {
  readonly replicas: JsonFolder<ReplicaSpec>;
  readonly targets: JsonFolder<TargetSpec>;
  readonly attachments: JsonFolder<Attachment>;
}

async function openFolders(
  { platform: { files } }: AgentDependencies,
  { paths }: StateFolder,
): Promise<Folders> {
  const instances = paths.instances;
  const replica = { folder: instances, prefix: 'replica-', schema: replicaSpecSchema };
  const target = { folder: instances, prefix: 'target-', schema: targetSpecSchema };
  const attachment = { folder: paths.attachments, prefix: '', schema: attachmentSchema };
  return {
    replicas: await JsonFolder.open(files, replica),
    targets: await JsonFolder.open(files, target),
    attachments: await JsonFolder.open(files, attachment),
  };
}

function attacherOf(
  { method }: MethodChoice,
  dependencies: ConstructorParameters<typeof UserspaceAttacher>[0],
): DeviceAttacher | null {
  switch (method) {
    case 'kernel':
      return new OpenIscsiAttacher(dependencies);
    case 'userspace':
      return new UserspaceAttacher(dependencies);
    case 'none':
      return null;
  }
}
