/** What runs, is mounted and hangs on loop devices of this machine, and belongs to one folder. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { codeOf } from '../../core/errors.ts';

export interface FoundProcess {
  readonly pid: number;
  readonly argv: readonly string[];
}

/** Processes that have one of the words, or part of it, in their command line. */
export function processesNaming(text: string): readonly FoundProcess[] {
  const pids = readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name));
  return pids.flatMap((pid) => {
    const argv = textOf(`/proc/${pid}/cmdline`).split('\0').slice(0, -1);
    const isOther = Number(pid) !== process.pid;
    return isOther && argv.some((word) => word.includes(text)) ? [{ pid: Number(pid), argv }] : [];
  });
}

export function killHard(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

/** Mount points below the folder, the deepest last. */
export function mountsBelow(folder: string): readonly string[] {
  // proc(5): the fifth field is the mount point, blanks are written in octal.
  return textOf('/proc/self/mountinfo')
    .split('\n')
    .map((line) => (line.split(' ')[4] ?? '').replaceAll('\\040', ' '))
    .filter((mountpoint) => mountpoint.startsWith(`${folder}/`));
}

export function loopDevicesOn(folder: string): readonly string[] {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .filter((name) => textOf(`/sys/block/${name}/loop/backing_file`).startsWith(`${folder}/`))
    .map((name) => `/dev/${name}`);
}

export function socketsBelow(folder: string): readonly string[] {
  return textOf('/proc/net/unix')
    .split('\n')
    .map((line) => line.slice(line.indexOf('/')).trim())
    .filter((path) => path.startsWith(`${folder}/`));
}

/** Everything that still is of the folder, the folder included: nothing when all is gone. */
export function leftovers(folder: string): readonly string[] {
  return [
    ...processesNaming(folder).map(({ pid, argv }) => `process ${pid} (${argv.join(' ')})`),
    ...mountsBelow(folder).map((mountpoint) => `mount ${mountpoint}`),
    ...loopDevicesOn(folder).map((device) => `loop device ${device}`),
    ...socketsBelow(folder).map((path) => `socket ${path}`),
    ...(existsSync(folder) ? [`folder ${folder}`] : []),
  ];
}

/** Asks again for a while: the kernel lets go of things a moment after it was told to. */
export async function leftoversAfter(
  folder: string,
  timeoutMs: number,
): Promise<readonly string[]> {
  const untilMs = performance.now() + timeoutMs;
  for (;;) {
    const left = leftovers(folder);
    if (left.length === 0 || performance.now() >= untilMs) return left;
    await delay(50);
  }
}

/**
 * Takes everything of the folder away by force: for a story that ended badly. Top down, because
 * each layer holds the one below: mounts, loop devices, then processes, then files.
 */
export async function removeByForce(folder: string): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    for (const { pid, argv } of processesNaming(folder)) {
      // Agents and `up` first, or they start again what is taken away here.
      if (argv.includes('agent') || argv.includes('apiserver') || argv.includes('up'))
        killHard(pid);
    }
    // Looked for first: a loop device whose file system has gone has lost the name of its file.
    const devices = loopDevicesOn(folder);
    for (const mountpoint of mountsBelow(folder).toReversed()) {
      spawnSync('umount', ['--lazy', mountpoint], { stdio: 'ignore' });
    }
    for (const device of devices) {
      spawnSync('losetup', ['--detach', device], { stdio: 'ignore' });
    }
    for (const { pid } of processesNaming(folder)) killHard(pid);
    await delay(200);
  }
  // Without a look at the mounts this could delete what is on a volume.
  if (mountsBelow(folder).length === 0) rmSync(folder, { recursive: true, force: true });
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
