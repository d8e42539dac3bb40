/** What each command means for the agent of this node. */
import {
  type AgentClient,
  type AgentVolume,
  ApiError,
  apiError,
  badRequestFrom,
  type CallOptions,
  type CreateVolume,
  createVolumeSchema,
  isRefusal,
  NAMELESS_CONSUMER,
  parseVolumeOptions,
} from '../../core/api/index.ts';
import { assert } from '../../core/assert.ts';
import type { Clock } from '../../core/platform/index.ts';
import type { Command, VolumeOptions } from './command-line.ts';

/** The isolator kills a command that takes 120 s, which would tell nobody why: we end before. */
export const DEADLINE_MS = 110_000;
/** Kept of it for taking back a mount that was not to be. */
const UNDO_MS = 15_000;
/** A mount waits for an agent that is away no longer than a restart of it takes. */
const MOUNT_PATIENCE_MS = 30_000;
const RETRY_INTERVAL_MS = 500;
assert(MOUNT_PATIENCE_MS + UNDO_MS < DEADLINE_MS, 'a mount has time left after waiting');

/** How "in use by" shows the one reference that the isolator has, for it names no container. */
const LABEL = 'docker/volume isolator';

export interface CommandContext {
  readonly agent: AgentClient;
  readonly clock: Pick<Clock, 'nowMs' | 'timer'>;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly interrupted: AbortSignal;
}

export interface Outcome {
  readonly stdout: string;
  /** Takes it back when nobody reads the answer. */
  readonly undo: () => Promise<void>;
}

type AgentCommand = Exclude<Command, { readonly kind: 'help' | 'version' }>;

/** @throws ApiError */
export async function runCommand(command: AgentCommand, context: CommandContext): Promise<Outcome> {
  const call = new AgentCall(context);
  switch (command.kind) {
    case 'mount':
      return mount(command, call);
    case 'unmount':
      return said(await unmount(command.name, call));
    case 'create':
      await call.create(requestOf(command.name, command.options));
      return said('');
    case 'remove':
      await unlessNotFound(call.agent.deleteVolume(command.name, call.limits()));
      return said('');
    case 'path':
      return said(line((await existing(command.name, call)).mountpoint));
    case 'get':
      return said(line((await existing(command.name, call)).name));
    case 'list': {
      const { volumes } = await call.agent.listVolumes(call.limits());
      return said(volumes.map(({ name }) => line(name)).join(''));
    }
  }
}

/** One command's dealings with the agent, all within its deadline. */
class AgentCall {
  readonly agent: AgentClient;
  readonly #clock: CommandContext['clock'];
  readonly #interrupted: AbortSignal;
  readonly #startMs: number;

  constructor({ agent, clock, interrupted }: CommandContext) {
    this.agent = agent;
    this.#clock = clock;
    this.#interrupted = interrupted;
    this.#startMs = clock.nowMs();
  }

  /** @param keepMs of the time that is left, for what may come after. */
  limits(keepMs = 0): CallOptions {
    return { timeoutMs: this.#leftMs(keepMs), signal: this.#interrupted };
  }

  /** Goes on when interrupted. */
  undoLimits(): CallOptions {
    return { timeoutMs: this.#leftMs(0) };
  }

  /** Goes on in the cluster when we give up: the next mount finds the volume made. */
  async create(request: CreateVolume): Promise<AgentVolume> {
    return this.agent.createVolume(request, this.limits(UNDO_MS));
  }

  /** Null when there is none. One that only has this id goes by another name: there is none. */
  async find(name: string): Promise<AgentVolume | null> {
    try {
      const volume = await this.agent.getVolume(name, this.limits(UNDO_MS));
      return volume.name === name ? volume : null;
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }

  /** Asks again while the agent is away, as it is for a moment when it is restarted. */
  async patiently<Answer>(patienceMs: number, ask: () => Promise<Answer>): Promise<Answer> {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        const waitedMs = this.#clock.nowMs() - this.#startMs;
        const isAway = error instanceof ApiError && error.data.code === 'unavailable';
        if (!isAway || this.#interrupted.aborted || waitedMs >= patienceMs) throw error;
        await this.#pause();
      }
    }
  }

  #leftMs(keepMs: number): number {
    return Math.max(1, this.#startMs + DEADLINE_MS - keepMs - this.#clock.nowMs());
  }

  async #pause(): Promise<void> {
    const over = Promise.withResolvers<void>();
    const end = () => over.resolve();
    const timer = this.#clock.timer(RETRY_INTERVAL_MS, end);
    this.#interrupted.addEventListener('abort', end);
    await over.promise;
    this.#interrupted.removeEventListener('abort', end);
    timer.cancel();
  }
}

type Mount = Extract<Command, { readonly kind: 'mount' }>;

/**
 * Makes the volume where it is not there and mounts it. One that is there is taken as it is, as the
 * original does, but options that are wrong are told at once.
 */
async function mount(command: Mount, call: AgentCall): Promise<Outcome> {
  const { name } = command;
  const request = requestOf(name, command.options);
  const found = await call.patiently(MOUNT_PATIENCE_MS, () => call.find(name));
  if (found === null) await createForMount(command, request, call);
  const wasHeld = found?.consumers.includes(NAMELESS_CONSUMER) ?? false;
  // The one reference may be another container's, who would lose the mount under its feet.
  const undo = async () => {
    if (!wasHeld) await call.agent.detach(name, { door: 'mesos' }, call.undoLimits());
  };
  try {
    const body = { door: 'mesos', label: LABEL, as: 'mount' } as const;
    const attach = () => call.agent.attach(name, body, call.limits(UNDO_MS));
    const { mountpoint } = await call.patiently(MOUNT_PATIENCE_MS, attach);
    if (mountpoint === null) {
      throw apiError('internal', `volume "${name}": the agent attached it but did not mount it`);
    }
    return { stdout: line(mountpoint), undo };
  } catch (error) {
    // After a refusal there is nothing to take back. Otherwise there may be, or may come to be: the
    // agent finishes what we no longer wait for, and then lets go.
    if (!isRefusal(error)) await undo().catch(() => undefined);
    throw error;
  }
}

async function createForMount(
  { name, explicitCreate }: Mount,
  request: CreateVolume,
  call: AgentCall,
): Promise<void> {
  if (explicitCreate) {
    const detail = `volume "${name}" does not exist, and --explicitcreate makes none`;
    throw apiError('notFound', detail, { volume: name });
  }
  if (request.fileSystem === 'none') {
    const detail = `volume "${name}": fs=none has no file system to mount, as Mesos needs it`;
    throw apiError('badRequest', detail, { volume: name });
  }
  await call.patiently(MOUNT_PATIENCE_MS, () => call.create(request));
}

/**
 * Drops the one reference that any number of mounts made. Mesos does not ask again, so this waits
 * for an agent that is away as long as it may. A volume that is gone is not mounted.
 */
async function unmount(name: string, call: AgentCall): Promise<string> {
  await call.patiently(DEADLINE_MS, async () => {
    // Under its id nothing can have been mounted: the reference is that of its name.
    const volume = await call.agent.getVolume(name, call.limits()).catch(nullIfNotFound);
    if (volume !== null && volume.name !== name) return;
    await unlessNotFound(call.agent.detach(name, { door: 'mesos' }, call.limits()));
  });
  return '';
}

async function existing(name: string, call: AgentCall): Promise<AgentVolume> {
  const volume = await call.find(name);
  if (volume !== null) return volume;
  const shown = JSON.stringify(name.slice(0, 128));
  throw apiError('notFound', `volume ${shown} does not exist`, { volume: name.slice(0, 128) });
}

/**
 * Marathon's `external.size` arrives as `size=5` and means GiB, as it did for the original's
 * drivers. As bytes no such number could be a volume, so nothing is guessed.
 */
function requestOf(name: string, options: VolumeOptions): CreateVolume {
  const { size } = options;
  const isBareNumber = size !== undefined && /^[0-9]{1,5}$/.test(size);
  const spelled = isBareNumber ? { ...options, size: `${size}G` } : options;
  const request = createVolumeSchema.safeParse(parseVolumeOptions(name, spelled));
  if (!request.success) throw badRequestFrom(request.error);
  return request.data;
}

function said(stdout: string): Outcome {
  return { stdout, undo: async () => undefined };
}

function line(text: string): string {
  return text === '' ? '' : `${text}\n`;
}

function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.data.code === 'notFound';
}

function nullIfNotFound(error: unknown): null {
  if (isNotFound(error)) return null;
  throw error;
}

async function unlessNotFound(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
