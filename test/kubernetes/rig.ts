/** OpenEBS and Kubernetes on one machine, as docs/kubernetes.md tells an operator to set them up. */
import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../../core/errors.ts';
import { type Cluster, withCluster } from '../fixtures/rigs/cluster.ts';
import { takeAwayByForce } from '../fixtures/rigs/force.ts';
import { missingBinaries } from '../fixtures/rigs/kubernetes/binaries.ts';
import { Kubernetes, openKubernetesNamespace } from '../fixtures/rigs/kubernetes/kubernetes.ts';
import { KUBELET_FOLDER } from '../fixtures/rigs/kubernetes/node.ts';
import {
  endHard,
  lastingLeftovers,
  loopDevicesOf,
  loopMountPointsOf,
} from '../fixtures/rigs/leftovers.ts';
import type { MountNamespace } from '../fixtures/rigs/mount-namespace.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { waitFor } from '../fixtures/wait-for.ts';

const DEPLOY = fileURLToPath(new URL('../../deploy/kubernetes/', import.meta.url));
const AGENT_FOLDER = '/var/lib/openebs/agent';
const ROLLOUT_TIMEOUT = '--timeout=90s';
/** Where the end of a Pod whose volume is unmounted is waited for. */
const GONE_TIMEOUT_MS = 60_000;

export class Rig {
  readonly cluster: Cluster;
  readonly kubernetes: Kubernetes;
  readonly #namespace: MountNamespace;

  constructor(cluster: Cluster, kubernetes: Kubernetes, namespace: MountNamespace) {
    this.cluster = cluster;
    this.kubernetes = kubernetes;
    this.#namespace = namespace;
  }

  /** Manifests of ours, as they are. */
  async deploy(...names: readonly string[]): Promise<void> {
    const files = names.flatMap((name) => ['--filename', join(DEPLOY, name)]);
    await this.kubernetes.kubectl('apply', ...files);
  }

  async undeploy(name: string): Promise<void> {
    await this.kubernetes.kubectl('delete', '--wait', '--filename', join(DEPLOY, name));
  }

  /** Until what was deployed runs: `daemonset/openebs-node`. */
  async untilRolledOut(...workloads: readonly string[]): Promise<void> {
    for (const workload of workloads) {
      const words = ['--namespace', 'openebs', 'rollout', 'status', workload, ROLLOUT_TIMEOUT];
      await this.kubernetes.kubectl(...words);
    }
  }

  /** Until the kubelet has registered the driver under the name that OpenEBS has for the node. */
  async untilRegistered(): Promise<void> {
    const id = '{.items[*].spec.drivers[?(@.name=="maya.csi.openebs.io")].nodeID}';
    await this.kubernetes.untilField([id, 'node-1'], ['csinodes']);
  }

  async create(...objects: readonly object[]): Promise<void> {
    await this.kubernetes.apply(...objects);
  }

  async untilPod(name: string, phase: 'Running' | 'Succeeded', timeoutMs = 90_000): Promise<void> {
    try {
      await this.kubernetes.untilField(['{.status.phase}', phase], ['pod', name], timeoutMs);
    } catch (error) {
      const described = await this.kubernetes.tryKubectl('describe', 'pod', name);
      const log = await this.kubernetes.tryKubectl('logs', name);
      throw new Error(`${messageOf(error)}\n${described.stdout}\n${log.stdout}`, { cause: error });
    }
  }

  /** Deleted, and its volumes unmounted. */
  async remove(kind: string, ...names: readonly string[]): Promise<void> {
    await this.kubernetes.kubectl('delete', kind, ...names, '--wait', '--timeout=90s');
  }

  /** SIGKILL for what runs in a Pod of ours, whose name it has for its host's. */
  async killIn(pod: string): Promise<void> {
    const processes = await this.kubernetes.node.podProcesses();
    const environments = await Promise.all(
      processes.map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')),
    );
    const found = processes.filter((_, index) =>
      environments[index]?.split('\0').includes(`HOSTNAME=${pod}`),
    );
    if (found.length !== 1) throw new Error(`${found.length} processes run in ${pod}`);
    for (const pid of found) endHard(pid);
  }

  /** Until a message of an event about the object matches; it is given back. */
  async untilEvent(object: string, wanted: RegExp): Promise<string> {
    const words = ['--field-selector', `involvedObject.name=${object}`];
    return waitFor(
      `${object} is told ${wanted}`,
      async () => {
        const messages = await this.kubernetes.field('{.items[*].message}', 'events', ...words);
        if (wanted.test(messages)) return messages;
        throw new Error(`it was told: ${messages}`);
      },
      30_000,
    );
  }

  /** Name of the volume that a claim is bound to, the same in Kubernetes and in OpenEBS. */
  volumeOf(claim: string): Promise<string> {
    return this.kubernetes.field('{.spec.volumeName}', 'pvc', claim);
  }

  /** Neither Kubernetes nor OpenEBS nor the kernel knows of any volume any more. */
  async untilNothingIsLeft(): Promise<void> {
    await waitFor(
      'nothing is left',
      async () => {
        const left = await this.#whatIsLeft();
        if (left.length > 0) throw new Error(left.join('\n'));
        return true;
      },
      GONE_TIMEOUT_MS,
    );
  }

  async #whatIsLeft(): Promise<readonly string[]> {
    const kinds = ['persistentvolumes', 'volumeattachments', 'pvc', 'pods'];
    const objects = await this.kubernetes.kubectl('get', kinds.join(','), '--output', 'name');
    const { volumes } = await this.cluster.client.listVolumes();
    const pid = this.#namespace.pid;
    const folders = [KUBELET_FOLDER, this.cluster.folder];
    const loops = await Promise.all(folders.map((folder) => loopDevicesOf(folder, pid)));
    const mounts = await Promise.all(folders.map((folder) => loopMountPointsOf(folder, pid)));
    return [
      ...objects.split('\n').filter(Boolean),
      ...volumes.map(({ name }) => `volume ${name}`),
      ...loops.flat().map(({ device, file }) => `loop device ${device} of ${file}`),
      ...mounts.flat().map((point) => `mount ${point}`),
    ];
  }
}

/** A rig that several tests use one after the other; `end` must be called, whatever they did. */
export async function openRig(): Promise<{ readonly rig: Rig; readonly end: () => Promise<void> }> {
  const ready = Promise.withResolvers<Rig>();
  const finished = Promise.withResolvers<void>();
  const running = withRig(async (rig) => {
    ready.resolve(rig);
    await finished.promise;
  });
  running.catch(ready.reject);
  const rig = await ready.promise;
  return {
    rig,
    async end() {
      finished.resolve();
      await running;
    },
  };
}

async function withRig(body: (rig: Rig) => Promise<void>): Promise<void> {
  const missing = await missingBinaries();
  if (missing !== undefined) throw new Error(missing);
  await using namespace = await openKubernetesNamespace();
  await using folder = await temporaryFolder('k8s');
  try {
    await withCluster({ in: namespace }, async (cluster) => {
      await showAgent(namespace, join(cluster.folder, 'node-1'));
      await using kubernetes = await Kubernetes.start(folder.path, namespace);
      await body(new Rig(cluster, kubernetes, namespace));
    });
    const left = await lastingLeftovers(folder.path, { viewPid: namespace.pid });
    if (left.length > 0) throw new Error(`left behind:\n  ${left.join('\n  ')}`);
  } finally {
    await takeAwayByForce(folder.path, namespace);
  }
}

/** The first node's folder where the manifests expect that of an agent. */
async function showAgent(namespace: MountNamespace, folder: string): Promise<void> {
  await symlink(folder, namespace.outside(AGENT_FOLDER));
}
