import {
  type AgentAttach,
  type AgentAttachAnswer,
  holderText,
  type NodeView,
  type VolumeView,
} from '../../core/api/index.ts';
import { agentOf, type CliContext, type GlobalOptions, serverOf } from '../context.ts';
import { failure, usageError } from '../failure.ts';
import { note, print } from '../output/print.ts';
import { withProgress } from '../output/progress.ts';
import { fetchVolume } from './volume-read.ts';

/** Under this name mayactl's references count at the agents. */
const CONSUMER = 'mayactl';

export interface AttachOptions extends GlobalOptions {
  readonly node?: string;
  /** False with `--no-mount`. */
  readonly mount: boolean;
  readonly device?: boolean;
  readonly initiator?: readonly string[];
}

export async function attachVolume(
  context: CliContext,
  name: string,
  options: AttachOptions,
): Promise<void> {
  checkAttachOptions(options);
  const volume = await fetchVolume(context, name, options);
  const node = nodeForAttach(volume, await listNodes(context, options), options.node);
  const request = attachRequest(volume, options);
  const answer = await withProgress(context, `attaching volume "${name}" on ${node.name}`, () =>
    agentOf(context, node).attach(volume.name, request, { signal: context.interrupted }),
  );
  print(context, options.output, {
    data: { node: node.name, ...answer },
    text: () => attachedText(volume, node, answer),
  });
}

export interface DetachOptions extends GlobalOptions {
  readonly node?: string;
  readonly all?: boolean;
}

/** Drops mayactl's reference. What is not attached is detached already. */
export async function detachVolume(
  context: CliContext,
  name: string,
  options: DetachOptions,
): Promise<void> {
  const volume = await fetchVolume(context, name, options);
  const nodeName = options.node ?? volume.attachment?.node ?? volume.consumers[0]?.node;
  if (nodeName === undefined) {
    note(context, `volume "${name}" is not attached`);
    return;
  }
  const node = nodeNamed(nodeName, await listNodes(context, options));
  const agent = agentOf(context, node);
  const body = options.all === true ? { all: true } : { consumer: CONSUMER };
  const left = await withProgress(context, `detaching volume "${name}"`, async () => {
    await agent.detach(volume.name, body, { signal: context.interrupted });
    const { holders } = await agent.getVolume(volume.name, { signal: context.interrupted });
    return holders.filter((holder) => holder.node === node.name);
  });
  const data = { node: node.name, volumeId: volume.id, consumers: left.map(({ id }) => id) };
  const users = left.map(holderText).join(', ');
  const stillUsed = `volume "${name}" is still used on ${node.name} by ${users}`;
  const detached = isOn(volume, node)
    ? `volume "${name}" is detached from ${node.name}`
    : `volume "${name}" is not attached on ${node.name}`;
  print(context, options.output, { data, text: () => (left.length > 0 ? stillUsed : detached) });
}

function isOn({ attachment, consumers }: VolumeView, { name }: NodeView): boolean {
  return attachment?.node === name || consumers.some(({ node }) => node === name);
}

function checkAttachOptions({ mount, device, initiator }: AttachOptions): void {
  if (mount && initiator !== undefined) {
    throw usageError('--initiator goes with --no-mount: a mounted volume has its own initiator');
  }
  if (!mount && device === true) {
    throw usageError('--device and --no-mount contradict each other: give one of them');
  }
  if (!mount && initiator === undefined) {
    throw usageError(
      'say who may log in: --initiator IQN (again for each one), or --initiator any for all',
    );
  }
  if (initiator !== undefined && initiator.length > 1 && initiator.includes('any')) {
    throw usageError('--initiator any stands alone: it admits all initiators');
  }
}

function attachRequest(volume: VolumeView, options: AttachOptions): AgentAttach {
  if (!options.mount) {
    return { consumer: CONSUMER, as: 'portal', initiatorNames: [...(options.initiator ?? [])] };
  }
  // A raw volume has no file system to mount: the device is all there is to have.
  const asDevice = options.device === true || volume.fileSystem === 'none';
  return { consumer: CONSUMER, as: asDevice ? 'device' : 'mount' };
}

/** The node that was asked for, else the one that has it, else one with a good copy at hand. */
export function nodeForAttach(
  volume: VolumeView,
  nodes: readonly NodeView[],
  wanted: string | undefined,
): NodeView {
  const named = wanted ?? volume.attachment?.node;
  if (named !== undefined) return nodeNamed(named, nodes);
  const online = nodes
    .filter((node) => node.state === 'online')
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const withCopy = online.find((node) =>
    volume.members.some((member) => member.node === node.name && member.state === 'inSync'),
  );
  const chosen = withCopy ?? online[0];
  if (chosen !== undefined) return chosen;
  throw failure(
    `volume "${volume.name}" cannot be attached: no node is online; see mayactl node list`,
  );
}

function nodeNamed(name: string, nodes: readonly NodeView[]): NodeView {
  const node = nodes.find((candidate) => candidate.name === name);
  if (node !== undefined) return node;
  const names = nodes.map((candidate) => candidate.name).join(', ');
  throw failure(`there is no node "${name}"; there are: ${names === '' ? 'none' : names}`);
}

async function listNodes(
  context: CliContext,
  options: GlobalOptions,
): Promise<readonly NodeView[]> {
  const { client } = serverOf(context, options);
  return (await client.listNodes({ signal: context.interrupted })).nodes;
}

function attachedText(volume: VolumeView, node: NodeView, answer: AgentAttachAnswer): string {
  const { mountpoint, device, url } = answer;
  if (mountpoint !== null)
    return `volume "${volume.name}" is mounted on ${node.name}: ${mountpoint}`;
  if (device !== null) return `volume "${volume.name}" is a device on ${node.name}: ${device}`;
  return `volume "${volume.name}" is served on ${node.name}: ${url}`;
}
