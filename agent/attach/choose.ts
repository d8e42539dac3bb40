/** Which way of attaching this node has. */
import type { CommandLine, Commands } from '../host/commands.ts';
import type { SystemFiles } from '../host/system-files.ts';
import type { AttachMethod } from './device.ts';

export interface MethodChoice {
  readonly method: AttachMethod | 'none';
  /** Why this one, in a sentence. */
  readonly reason: string;
}

export interface ChooseDependencies {
  readonly commands: Commands;
  readonly system: SystemFiles;
  readonly isRoot: boolean;
}

const TIMEOUT_MS = 10_000;
const ISCSI_TRANSPORT = '/sys/class/iscsi_transport';
const USERSPACE_PROGRAMS: readonly CommandLine[] = [
  ['qemu-storage-daemon', '--version'],
  ['nbdfuse', '--version'],
  ['losetup', '--version'],
];

/** @param asked `auto` prefers the kernel's initiator. */
export async function chooseMethod(
  asked: AttachMethod | 'auto',
  dependencies: ChooseDependencies,
): Promise<MethodChoice> {
  if (!dependencies.isRoot) {
    return { method: 'none', reason: 'attaching and mounting need root' };
  }
  const kernel = asked === 'userspace' ? 'not asked for' : await kernelLack(dependencies);
  if (kernel === null) return { method: 'kernel', reason: 'iscsi_tcp and iscsiadm are there' };
  const userspace = asked === 'kernel' ? 'not asked for' : await userspaceLack(dependencies);
  if (userspace === null) {
    return { method: 'userspace', reason: `the kernel's initiator cannot be used: ${kernel}` };
  }
  return { method: 'none', reason: `kernel initiator: ${kernel}; user space: ${userspace}` };
}

async function kernelLack({ commands, system }: ChooseDependencies): Promise<string | null> {
  if (!(await runs(commands, ['iscsiadm', '--version']))) return 'iscsiadm is not installed';
  if (await hasTransport(system)) return null;
  await runs(commands, ['modprobe', '-q', 'iscsi_tcp']);
  return (await hasTransport(system)) ? null : 'the kernel has no iscsi_tcp';
}

async function userspaceLack({ commands, system }: ChooseDependencies): Promise<string | null> {
  for (const line of USERSPACE_PROGRAMS) {
    if (!(await runs(commands, line))) return `${line[0]} is not installed`;
  }
  const devices = await system.names('/dev');
  for (const [device, module] of [
    ['fuse', 'fuse'],
    ['loop-control', 'loop'],
  ] as const) {
    if (devices.includes(device)) continue;
    await runs(commands, ['modprobe', '-q', module]);
    if (!(await system.names('/dev')).includes(device)) return `there is no /dev/${device}`;
  }
  return null;
}

async function hasTransport(system: SystemFiles): Promise<boolean> {
  return (await system.names(ISCSI_TRANSPORT)).includes('tcp');
}

async function runs(commands: Commands, line: CommandLine): Promise<boolean> {
  try {
    return (await commands.run(line, { timeoutMs: TIMEOUT_MS })).exitCode === 0;
  } catch {
    return false;
  }
}
