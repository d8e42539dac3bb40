/** The agent's folder: its layout, its lock, and whose it is. */
import { chmod, mkdir, rm, symlink } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { codeOf, messageOf } from '../../core/errors.ts';
import type { FileLock, Files } from '../../core/platform/index.ts';
import { readJsonFile, writeJsonFile } from './json-file.ts';
import { type AgentFile, agentFileSchema } from './schemas.ts';
import { StateError } from './state-error.ts';

/** Below the 107 bytes of sockaddr_un (unix(7)), so that no peer with a smaller limit fails. */
const SOCKET_PATH_BYTES_MAX = 100;
/** What the longest socket name below the folder takes. */
const LONGEST_SOCKET_NAME = '/run/a-0123456789ab/nbd.sock';

const FOLDERS = ['api', 'instances', 'logs', 'attachments', 'run', 'mnt'] as const;

/** Every path that the agent uses below its folder. */
export class StatePaths {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  get agentFile(): string {
    return join(this.root, 'agent.json');
  }
  /**
   * In a folder of its own, which can be shown to a container without the mounts of volumes: its
   * copies of them would keep every volume in use.
   */
  get agentSocket(): string {
    return join(this.root, 'api', 'agent.sock');
  }
  get volumesFile(): string {
    return join(this.root, 'volumes.json');
  }
  get revisionFile(): string {
    return join(this.root, 'store-revision.json');
  }
  get instances(): string {
    return join(this.root, 'instances');
  }
  get attachments(): string {
    return join(this.root, 'attachments');
  }
  get mounts(): string {
    return join(this.root, 'mnt');
  }
  get run(): string {
    return join(this.root, 'run');
  }
  mountpoint(volumeId: string): string {
    return join(this.root, 'mnt', volumeId);
  }
  /** The configuration that a process is started with; holds secrets. */
  config(kind: 'replica' | 'target', id: string): string {
    return join(this.root, 'instances', `${kind}-${id}.config`);
  }
  log(kind: 'replica' | 'target' | 'attach' | 'fuse', id: string): string {
    return join(this.root, 'logs', `${kind}-${id}.log`);
  }
  replicaSocket(replicaId: string): string {
    return join(this.root, 'run', `r-${short(replicaId)}.sock`);
  }
  replicaAdminSocket(replicaId: string): string {
    return join(this.root, 'run', `ra-${short(replicaId)}.sock`);
  }
  targetAdminSocket(volumeId: string): string {
    return join(this.root, 'run', `t-${short(volumeId)}.sock`);
  }
  /** Folder of the user-space attach: the NBD socket, pid files, nbdfuse's mount. */
  attachFolder(volumeId: string): string {
    return join(this.root, 'run', `a-${short(volumeId)}`);
  }
}

/** 48 random bits of a UUID: enough to tell a node's volumes apart, short enough for a socket. */
function short(id: string): string {
  return id.replaceAll('-', '').slice(0, 12);
}

/** The folder with its lock, which is held until the process ends or `close` is called. */
export interface StateFolder extends AsyncDisposable {
  readonly paths: StatePaths;
  readonly agentFile: AgentFile;
  /** Adds what is known about pools. */
  savePools(pools: AgentFile['pools']): Promise<void>;
}

/** @param root absolute. @throws StateError, with one sentence. */
export async function openStateFolder(
  root: string,
  node: string,
  files: Files,
): Promise<StateFolder> {
  const lengthBytes = Buffer.byteLength(`${root}${LONGEST_SOCKET_NAME}`);
  if (lengthBytes > SOCKET_PATH_BYTES_MAX) {
    const rootBytesMax = SOCKET_PATH_BYTES_MAX - LONGEST_SOCKET_NAME.length;
    throw new StateError(
      { code: 'statePathTooLong', path: root },
      `the state folder ${root} has a path too long for the sockets in it: ` +
        `use one of at most ${rootBytesMax} bytes`,
    );
  }
  await makeFolders(root);
  const lock = await lockFolder(root, files);
  try {
    const paths = new StatePaths(root);
    await linkSocket(paths);
    let agentFile = await readOrMint(paths, node, files);
    return {
      paths,
      get agentFile() {
        return agentFile;
      },
      savePools: async (pools) => {
        agentFile = { ...agentFile, pools };
        await writeJsonFile(files, paths.agentFile, agentFile);
      },
      [Symbol.asyncDispose]: () => lock.release(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function makeFolders(root: string): Promise<void> {
  try {
    for (const folder of [root, ...FOLDERS.map((name) => join(root, name))]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await chmod(folder, 0o700);
    }
  } catch (error) {
    throw unusable(root, error);
  }
}

/** `agent.sock`, where people and `maya up` look for it, leads to where it is. */
async function linkSocket({ root, agentSocket }: StatePaths): Promise<void> {
  const link = join(root, 'agent.sock');
  await rm(link, { force: true });
  await symlink(relative(root, agentSocket), link);
}

function unusable(root: string, cause: unknown): StateError {
  return new StateError(
    { code: 'stateUnusable', path: root },
    `the state folder ${root} cannot be used: ${messageOf(cause)}`,
    cause,
  );
}

/** Gone with the process, however it ends: there is never a stale lock. */
async function lockFolder(root: string, files: Files): Promise<FileLock> {
  try {
    return await files.lock(join(root, 'agent.lock'));
  } catch (cause) {
    if (codeOf(cause) !== 'EBUSY') throw unusable(root, cause);
    throw new StateError(
      { code: 'stateInUse', path: root },
      `another agent runs on the state folder ${root}: stop it first, or use another folder`,
      cause,
    );
  }
}

async function readOrMint(paths: StatePaths, node: string, files: Files): Promise<AgentFile> {
  const found = await readJsonFile(files, paths.agentFile, agentFileSchema);
  if (found === null) {
    await refuseLeftovers(paths, files);
    const minted: AgentFile = { node, pools: [] };
    await writeJsonFile(files, paths.agentFile, minted);
    return minted;
  }
  if (found.node !== node) {
    throw new StateError(
      { code: 'stateForeign', path: paths.root },
      `the state folder ${paths.root} belongs to the node ${found.node}, not to ${node}: ` +
        'use another folder, or start with that name',
    );
  }
  return found;
}

/** Without agent.json nothing is known about the pools: what else is there must not be guessed. */
async function refuseLeftovers(paths: StatePaths, files: Files): Promise<void> {
  const names = [...(await files.list(paths.instances)), ...(await files.list(paths.attachments))];
  if (!names.some((name) => name.endsWith('.json'))) return;
  throw new StateError(
    { code: 'stateDamaged', path: paths.agentFile },
    `${paths.agentFile} is missing, but the folder holds replicas or attachments: ` +
      'restore it from a backup, or use an empty folder',
  );
}
